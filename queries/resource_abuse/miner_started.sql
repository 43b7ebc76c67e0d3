-- id = "miner_started"
-- title = "Command started mining a cryptocurrency"
-- level = "high"
-- status = "test"
-- description = """
--   A command runs a miner: it speaks to a pool (stratum), is one of the usual programs with options, or has options that only miners have. high: it worked. low: the user spoke of mining, or the command failed.
--   Looking for miners, and stopping them, is none. A program of another name whose settings stand in a file is not seen.
--   """
-- tags = ["owasp.mcp05", "owasp.asi02", "owasp.asi05", "atlas.AML.T0034.002", "attack.T1496"]
-- falsepositives = ["miners that the user runs"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH started AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_replace(text, '^.*?([^\s;|&"]*\s+[^;|&"]{0,60}(stratum[^\s"]*|--donate-level|--coin)|(xmrig|minerd|cpuminer|ethminer|nbminer|lolminer|t-rex|gminer|srbminer\S*|phoenixminer|cgminer|bfgminer)\s[^;|&"]{0,100}).*$', '\1', 'is') AS what
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome,
                 -- Who looks for miners, ends them or names them starts none, and excuses no other command: miners end their rivals first.
                 regexp_replace(command_text(arguments), '\b(grep|rg|ag|pgrep|pkill|killall|find|yara|clamscan|strings|echo)\s[^|;&"]*(xmrig|stratum|minerd|donate-level)[^|;&"]*', '', 'gi') AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE regexp_like(text, '(-o|-P|--url|--pool|--server|-a\s+\w+)[=\s]*[''\\]*\S{0,8}stratum[12]?(\+\w+)?://|\s--donate-level[=\s]\d|\s--randomx-|(["`;&|(]|\b(nohup|sudo|exec|nice(\s+-n\s*\S+)?|setsid|timeout\s+\S+))\s*[\w./~-]*\b(xmrig|minerd|cpuminer|ethminer|nbminer|lolminer|t-rex|gminer|srbminer\S*|phoenixminer|cgminer|bfgminer)\s+-', 'i')
)
SELECT s.session_id, min(s.agent) AS agent, CASE WHEN count(DISTINCT s.server) = 1 THEN min(s.server) END AS server,
       min(s.time) AS first_seen, max(s.time) AS last_seen, array_agg(DISTINCT s.call_id) AS call_ids,
       CASE WHEN bool_and(s.outcome NOT IN ('success', 'unknown', 'no_response', 'timeout')) OR count(q.session_id) > 0 THEN 'low' ELSE 'high' END AS level,
       min(concat_ws('/', s.server, s.tool)) || ' started a miner: ' || left(min(s.what), 160) AS message
FROM started s
LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.time AND regexp_like(q.text, '\b(miners?|mining|mine|hash ?rate|xmrig)\b', 'i')
GROUP BY s.session_id
