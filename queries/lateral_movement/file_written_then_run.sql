-- id = "file_written_then_run"
-- title = "File that the agent wrote or fetched was made executable and run"
-- level = "medium"
-- status = "stable"
-- description = """
--   A program or script was written by a file tool, or fetched from the network, and a command ran it later in the session.
--   high: it was fetched (download to a file, then run). medium: it lies in a temporary or hidden folder. low: other scripts, which
--   coding agents write and run all day, only where the log shows that it was made executable first. One level less when the user spoke of running or installing.
--   Interpreters that take the file from standard input, and files that a build makes, are not followed.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "atlas.AML.T0050", "atlas.AML.T0011.002", "attack.T1059", "attack.T1105", "attack.T1222"]
-- falsepositives = ["installing a program on the user's request, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "24h"
-- params = { max_bytes = 65536 }
WITH written AS (                -- by a download, by being made executable, or by a file tool where programs do not belong
    SELECT o.session_id, o.call_id, o.time, regexp_replace(o.value, '^.*[/\\]', '') AS base,
           has_capability(c.capabilities, 'executes') AND regexp_like(c.arguments, '\b(curl|wget|iwr|Invoke-WebRequest)\s[^|;&"]*(-[oO]\s*|--output[= -]|-OutFile\s+)') AS fetched,
           has_capability(c.capabilities, 'executes') AND regexp_like(c.arguments, '\bchmod\s+(-\w+\s+)*(\+x|[0-7]*[1357][0-7]{0,2}\s|[ua]\+x)') AS made_executable
    FROM observables o
    JOIN calls c ON c.call_id = o.call_id
    WHERE o.type = 'file_path' AND o.origin = 'argument' AND c.event_kind = 'call' AND c.outcome IN ('success', 'unknown', 'no_response')
      AND CASE WHEN has_capability(c.capabilities, 'executes') THEN regexp_like(c.arguments, 'curl|wget|iwr|Invoke-WebRequest|chmod')
               ELSE has_capability(c.capabilities, 'writes') AND regexp_like(o.value, '^(/tmp/|/var/tmp/|/dev/shm/)|/\.[^/]+') END
),
ran AS (                         -- what stands where a program stands, in the commands that name such a file
    SELECT n.call_id AS run_id, n.session_id, n.agent, n.server, n.tool, n.time, n.arguments, w.base, w.call_id AS source_id, w.time AS source_time, w.fetched, w.made_executable,
           regexp_replace(n.arguments, '^.*?(["`;&|(]|\\n|\bsudo\b|\bnohup\b)\s*((ba|z|da)?sh\s+|python\d?\s+|node\s+|perl\s+|ruby\s+|php\s+|pwsh\s+(-File\s+)?)?((\./|/tmp/|/var/tmp/|/dev/shm/|~/|\$HOME/|/home/|/Users/|/opt/|/srv/)[\w./+-]*[\w+-]|[\w+-]+\.(sh|py|pl|rb|js|ps1|bin|run|exe|AppImage))(\s.*|["\s;&|\\].*)$', '\5', 's') AS program
    FROM written w
    JOIN calls n ON n.session_id = w.session_id AND w.time < n.time AND w.call_id <> n.call_id AND w.base <> '' AND strpos(n.arguments, w.base) > 0
    WHERE n.event_kind = 'call' AND n.method = 'tools/call' AND has_capability(n.capabilities, 'executes') AND n.arguments_bytes <= $max_bytes AND n.outcome NOT IN ('denied', 'cancelled', 'protocol_error')
      AND CASE WHEN w.base <> '' THEN regexp_like(n.arguments, '["\s;&|](\./|/|~/|\$HOME/)|sh |python|node |perl |ruby |php |pwsh ') END
),
pairs AS (
    SELECT *, regexp_like(program, '^(/tmp/|/var/tmp/|/dev/shm/)|/\.[^/]+') AS odd_place
    FROM ran
    WHERE program <> arguments AND length(program) <= 300 AND regexp_replace(program, '^.*/', '') = base
),
judged AS (
    SELECT run_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time, min(program) AS program, min(source_id) AS source_id, min(source_time) AS source_time,
           bool_or(fetched) AS fetched, bool_or(made_executable) AS made_executable, bool_or(odd_place) AS odd_place
    FROM pairs GROUP BY run_id
),
graded AS (
    SELECT j.run_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time, min(j.program) AS program, min(j.source_id) AS source_id, min(j.source_time) AS source_time,
           bool_or(j.fetched) AS fetched,
           CASE WHEN bool_or(j.fetched) THEN 3 WHEN bool_or(j.odd_place) THEN 2 WHEN bool_or(j.made_executable) THEN 1 ELSE 0 END - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM judged j
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time AND regexp_like(q.text, '\b(run|execute|install|start|download|set ?up|script|launch|test)\b', 'i')
    GROUP BY j.run_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(program) AS program, bool_or(fetched) AS fetched
    FROM (SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', run_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' ran ' || min(program) || CASE WHEN bool_or(fetched) THEN ', which had been fetched from the network' ELSE ', which the agent had written' END AS message,
       array_sort(array_agg(DISTINCT program)) AS programs
FROM evidence
GROUP BY session_id
