-- id = "server_asks_model"
-- title = "Server has the client's model work for it, or asks the user for secrets"
-- level = "medium"
-- status = "stable"
-- description = """
--   Requests that go from a server to the client: sampling/createMessage, by which a server uses the client's model, and elicitation/create, by which it asks the user.
--   high: an elicitation asks for a password, key, token, card or code; or a sampling request asks for the context of all servers, holds instruction markers, or brings tools that act.
--   medium: a burst of sampling requests, or one for very long answers. low: one that was answered without anybody being asked, as far as the log says.
--   A sampling request from a server whose tool is running, with a short answer and a user who allowed it, is normal.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi01", "owasp.asi02", "atlas.AML.T0034.002", "atlas.AML.T0051.001", "attack.T1056.002"]
-- falsepositives = ["servers that summarise with the client's model (low)"]
-- needs = ["arguments"]
-- helps = ["approvals"]
-- window = "24h"
-- params = { burst = 3, within = "5 minutes", max_tokens = 4000 }
WITH asked AS (
    SELECT call_id, session_id, agent, server, time, method, outcome, approval,
           CASE WHEN method = 'elicitation/create'
                THEN CASE WHEN regexp_like(arguments, 'pass(word|wort|code|phrase)|\bpin\b|api.?key|secret|token|credential|private.?key|card.?number|\bcvv\b|\bcvc\b|social.?security|\bssn\b|one.?time|\botp\b|seed phrase|recovery', 'i') THEN 3 ELSE 0 END
                WHEN regexp_like(arguments, '"includeContext"\s*:\s*"allServers"') OR has_marker(markers, 'override_phrase', 'argument') OR has_marker(markers, 'hidden_unicode', 'argument') OR has_marker(markers, 'chat_template', 'argument') THEN 3
                WHEN coalesce(json_get_int(arguments, 'maxTokens'), 0) >= $max_tokens THEN 2
                WHEN approval <> 'user_allowed' THEN 1 ELSE 0 END AS grade
    FROM calls
    WHERE method IN ('sampling/createMessage', 'elicitation/create') AND event_kind = 'call' AND initiator = 'server'
),
bursts AS (
    SELECT *, count(*) FILTER (WHERE method = 'sampling/createMessage') OVER (PARTITION BY session_id, server, date_bin(CAST($within AS INTERVAL), time)) AS together
    FROM asked
),
graded AS (
    SELECT *, CASE WHEN method = 'sampling/createMessage' AND together >= $burst THEN greatest(grade, 2) ELSE grade END AS final
    FROM bursts
)
SELECT session_id, min(agent) AS agent, server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(final) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       coalesce(server, 'a server') || concat_ws(' and', CASE WHEN bool_or(method = 'elicitation/create') THEN ' asked the user for a secret' END,
           CASE WHEN bool_or(method = 'sampling/createMessage') THEN ' had the client''s model answer ' || CAST(count(*) FILTER (WHERE method = 'sampling/createMessage') AS VARCHAR) || ' requests' END) AS message,
       count(*) AS requests
FROM graded
WHERE final > 0
GROUP BY session_id, server
