-- id = "scheduled_job_created"
-- title = "A job that runs later without the agent was scheduled"
-- level = "medium"
-- status = "test"
-- description = """
--   A scheduling tool or command put off an action: a recurring job, a delayed message, a scheduled workflow or payment, at/batch, sleep
--   in the background. What runs later runs without the checks of the session that ordered it.
--   high: the payload fetches, runs or deletes something and an earlier result of untrusted content was read in the session.
--   medium: the payload does so, or untrusted content was read. low: any other first use of a scheduling tool by the agent within the window.
--   One level less when the user spoke of a time. Calendar entries and reminders for people are no jobs. Cron files: see startup_file_written.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi03", "atlas.AML.T0094", "attack.T1053"]
-- falsepositives = ["agents whose work is to schedule jobs"]
-- needs = []
-- helps = ["argument_sizes", "arguments", "durations", "prompts"]
-- window = "7d"
-- params = { max_bytes = 65536 }
WITH jobs AS (
    SELECT call_id, session_id, agent, server, tool, time,
           coalesce(regexp_like(arguments, '\b(curl|wget|rm\s+-|bash\s+-c|sh\s+-c|python3?\s+-c|powershell|eval|exec|drop\s+table|delete\s+from|transfer|payment|base64)\b', 'i'), false) AS acts
    FROM (SELECT call_id, session_id, agent, server, tool, time, capabilities, arguments_bytes, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response'))
    WHERE ((regexp_like(tool, '(create|add|set|register|new|enable|update)[_.-]?\w*?(cron|schedule[dr]?|timer|recurring|automation|trigger|periodic|job_?schedule)|^(schedule|defer|delay|enqueue)[_.-]?\w*?(job|task|command|run|script|workflow|payment|transfer|transaction|query|message|email|function)', 'i')
            AND NOT regexp_like(tool, 'meeting|appointment|calendar|reminder|event$|interview|viewing', 'i'))
           OR (has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
               AND regexp_like(arguments, '[|;&"\n]\s*(sudo\s+)?at\s+(-f\s+\S+\s+)?(now\s*\+|midnight|noon|teatime|tomorrow|\d{1,2}:\d\d)|\|\s*(at|batch)\s+(now|-)|\bsystemd-run\s[^|;]*--on-|\bnohup\s[^;|]*\bsleep\s+\d{2,}|\(\s*sleep\s+\d{2,}[^)]*\)\s*&|\bgh\s+workflow\s+run\b[^|;]*schedule|\bgcloud\s+scheduler\s+jobs\s+create|\baws\s+(events\s+put-rule|scheduler\s+create-schedule)')))
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
graded AS (
    SELECT j.call_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time,
           bool_or(j.acts) AS acts, coalesce(bool_or(u.since < j.time), false) AS after_untrusted,
           1 + CASE WHEN bool_or(j.acts) THEN 1 ELSE 0 END + CASE WHEN bool_or(u.since < j.time) THEN 1 ELSE 0 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM jobs j
    LEFT JOIN untrusted u ON u.session_id = j.session_id
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time
         AND regexp_like(q.text, '\b(schedul\w*|every|daily|weekly|monthly|nightly|hourly|cron\w*|recurring|later|tomorrow|at \d|in \d+ (min|hour|day)|remind\w*|automat\w*)\b', 'i')
    GROUP BY j.call_id
),
first_use AS (                   -- who schedules all the time is no news, unless the payload says so
    SELECT *, lag(time) OVER (PARTITION BY agent, server, tool ORDER BY time, call_id) AS used_before
    FROM graded WHERE grade > 0
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' put off an action' || CASE WHEN bool_or(acts) THEN ' that runs code, deletes or pays' ELSE '' END
           || CASE WHEN bool_or(after_untrusted) THEN ' after untrusted content was read' ELSE '' END AS message,
       count(*) AS jobs
FROM first_use
WHERE grade > 1 OR used_before IS NULL
GROUP BY session_id
