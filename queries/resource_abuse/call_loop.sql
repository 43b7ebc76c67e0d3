-- id = "call_loop"
-- title = "The same call over and over in a loop"
-- level = "medium"
-- status = "test"
-- description = """
--   Within five minutes one session made the same call (same server, tool and arguments, by hash) at least min_repeats times and nearly always got the
--   same result: the agent is caught in a loop. Loops over several calls count too, because each of them repeats.
--   high: the call has side effects (sends, pays, writes, destroys, runs) and worked each time. medium: at least many repeats, or it failed each
--   time. low: anything else, and where 20 seconds and more pass between calls that work: that is somebody who waits. Calls whose result changes are waiting for something, and are left out, as are tools whose name says that they wait. Needs no payloads.
--   """
-- tags = ["owasp.mcp06", "owasp.asi08", "owasp.asi02", "atlas.AML.T0034.002", "attack.T1496", "attack.T1499"]
-- falsepositives = ["polling a job whose answer stays the same"]
-- window = "1h"
-- needs = ["argument_sizes"]
-- helps = ["result_sizes"]
-- params = { min_repeats = 10, many = 50 }
WITH busy AS (
    -- The same arguments have the same size, which is cheaper to compare than hashes.
    SELECT session_id, tool, coalesce(arguments_bytes, -1) AS bytes
    FROM calls WHERE event_kind = 'call' AND method = 'tools/call'
    GROUP BY session_id, tool, coalesce(arguments_bytes, -1)
    HAVING count(*) >= $min_repeats
),
repeated AS (
    SELECT c.session_id, c.server, c.tool, c.arguments_hash, c.call_id, c.agent, c.time, c.outcome, c.result_hash, c.result_bytes,
           array_has_any(c.capabilities, make_array('writes', 'destructive', 'egress', 'executes', 'pays')) AS effect,
           lead(c.time, CAST($min_repeats - 1 AS BIGINT)) OVER (PARTITION BY c.session_id, c.server, c.tool, c.arguments_hash ORDER BY c.time, c.call_id) AS nth,
           count(*) OVER (PARTITION BY c.session_id, c.server, c.tool, c.arguments_hash) AS repeats
    FROM busy b JOIN calls c ON c.session_id = b.session_id AND c.tool = b.tool AND coalesce(c.arguments_bytes, -1) = b.bytes
    WHERE c.event_kind = 'call' AND c.method = 'tools/call' AND c.arguments_hash IS NOT NULL
),
looped AS (
    SELECT session_id, server, tool, arguments_hash, min(agent) AS agent, min(time) FILTER (WHERE nth <= time + INTERVAL '5 minutes') AS first_seen, max(time) AS last_seen,
           count(*) AS repeats, count(DISTINCT coalesce(result_hash, outcome || ' ' || coalesce(CAST(result_bytes AS VARCHAR), ''))) AS results,
           bool_or(effect) AS effect, count(*) FILTER (WHERE outcome = 'success') AS worked,
           array_agg(call_id ORDER BY time, call_id) AS call_ids
    FROM repeated
    WHERE repeats >= $min_repeats
    GROUP BY session_id, server, tool, arguments_hash
    HAVING bool_or(nth <= time + INTERVAL '5 minutes')
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, CASE WHEN count(*) = 1 THEN min(tool) END AS tool,
       min(first_seen) AS first_seen, max(last_seen) AS last_seen, array_slice(first_value(call_ids ORDER BY first_seen, arguments_hash), 1, 20) AS call_ids,
       CASE WHEN bool_or(effect AND worked >= $min_repeats) THEN 'high' WHEN bool_or((repeats >= $many AND date_part('epoch', last_seen) - date_part('epoch', first_seen) < 20 * (repeats - 1)) OR worked = 0) THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', first_value(server ORDER BY repeats DESC), first_value(tool ORDER BY repeats DESC)) || ' was called ' || CAST(max(repeats) AS VARCHAR) || ' times with the same arguments'
           || CASE WHEN bool_or(worked = 0) THEN ', and failed each time' ELSE ' and gave the same result' END
           || CASE WHEN count(*) > 1 THEN '; ' || CAST(count(*) AS VARCHAR) || ' calls repeat' ELSE '' END AS message,
       max(repeats) AS repeats, count(*) AS repeated_calls
FROM looped
WHERE 5 * results <= repeats AND NOT coalesce(regexp_like(tool, '(^|[_.-])(wait|poll|status|watch|ping|health|heartbeat|sleep|progress)', 'i'), false)
GROUP BY session_id
