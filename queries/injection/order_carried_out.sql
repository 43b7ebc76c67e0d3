-- id = "order_carried_out"
-- title = "Agent carried out an order that stood in a result"
-- level = "high"
-- status = "test"
-- description = """
--   A sentence of a result gives an order, and a later call that sends, writes, deletes, runs or pays does what it says with the values that it names, which the user had not named.
--   high: the match is strong, or it is good and the result comes from where others can write. medium: so it is, but the user handed the task over ("do what the mail says", "work through
--   the tickets"), or wrote in another language than English, of which this cannot be told, and the order may be the task. low: the match is fair, or good and the source is not known to hold other people's text; or the call was refused;
--   or it only answers the sender of the mail that asks, with nothing out of another private result.
--   How well sentence and call match is the flow's score, 1.5 to 4.2 (docs/model.md). Where the log has the user's requests, what they asked for is known, and less is enough.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi01", "owasp.asi02", "atlas.AML.T0051.001", "atlas.AML.T0053", "attack.T1204"]
-- falsepositives = ["tasks that consist of carrying out what a text says, in logs without the user's requests", "runbooks and tutorials that the agent was told to follow"]
-- window = "24h"
-- params = { strong = 2.95, good = 2.55, strong_with_requests = 2.8, good_with_requests = 2.15, fair = 1.8 }
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
WITH obeyed AS (
    SELECT session_id, sink_call_id, min(agent) AS agent, min(time) AS time, min(source_time) AS source_time,
           first_value(source_call_id ORDER BY score DESC, source_call_id) AS source_call_id, first_value(sentence ORDER BY score DESC, source_call_id) AS sentence,
           first_value(concat_ws('/', source_server, source_tool) ORDER BY score DESC, source_call_id) AS source, min(concat_ws('/', sink_server, sink_tool)) AS sink,
           max(score) AS score, bool_or(array_has(source_capabilities, 'reads_untrusted')) AS untrusted,
           CASE WHEN bool_or(user_named IS NOT NULL) THEN $strong_with_requests ELSE $strong END AS strong,
           CASE WHEN bool_or(user_named IS NOT NULL) THEN $good_with_requests ELSE $good END AS good
    FROM flows
    WHERE kind = 'directive' AND score >= $fair AND NOT coalesce(user_named, false)
    GROUP BY session_id, sink_call_id
),
handed_over AS (
    -- Whoever hands the task over to what is read, has asked for what it says.
    SELECT session_id, min(time) FILTER (WHERE handed) AS at, min(time) FILTER (WHERE other_language) AS foreign_at
    FROM (SELECT session_id, time, hands_over(text) AS handed,
                 -- No word of English: it may hand the task over.
                 is_other_language(text) AND NOT regexp_like(text, '\b(how|many|have|you|of|help|when|where|which|there|were|they|i)\b', 'i') AS other_language
          FROM prompts)
    WHERE handed OR other_language
    GROUP BY session_id
),
answer AS (                      -- to the sender of the mail that asks, to nobody else, and with nothing out of another private result
    SELECT o.sink_call_id
    FROM obeyed o
    JOIN (SELECT call_id, min(lower(value)) AS address FROM observables
          WHERE origin = 'argument' AND type = 'email' AND call_id IN (SELECT sink_call_id FROM obeyed) AND NOT is_mention(path)
          GROUP BY call_id HAVING count(DISTINCT lower(value)) = 1) a ON a.call_id = o.sink_call_id
    JOIN calls s ON s.call_id = o.source_call_id
    JOIN calls k ON k.call_id = o.sink_call_id
    LEFT JOIN flows f ON f.sink_call_id = o.sink_call_id AND f.source_call_id <> o.source_call_id AND f.kind IN ('content', 'secret')
         AND array_has_any(f.source_capabilities, make_array('reads_private', 'credentials'))
    WHERE has_capability(k.capabilities, 'egress') AND NOT array_has_any(k.capabilities, make_array('destructive', 'executes', 'pays'))
      AND regexp_like(replace(lower(s.result), a.address, chr(1)), '(from|sender|reply_?to|author)[^a-z0-9]{1,8}(\\"|[^"\\]){0,60}\x01', 'i')
    GROUP BY o.sink_call_id
    HAVING count(f.flow_id) = 0
),
graded AS (
    SELECT o.*, coalesce(h.at <= o.time, false) AS asked,
           CASE WHEN c.outcome IN ('denied', 'cancelled', 'protocol_error') OR w.sink_call_id IS NOT NULL OR o.score < o.good OR (o.score < o.strong AND NOT o.untrusted) THEN 1
                WHEN h.at <= o.time OR h.foreign_at <= o.time THEN 2 ELSE 3 END AS grade
    FROM obeyed o JOIN calls c ON c.call_id = o.sink_call_id LEFT JOIN answer w ON w.sink_call_id = o.sink_call_id LEFT JOIN handed_over h ON h.session_id = o.session_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, max(score) AS score, bool_or(asked) AS asked,
           first_value(sink ORDER BY grade DESC, score DESC, time) AS sink, first_value(source ORDER BY grade DESC, score DESC, time) AS source,
           first_value(sentence ORDER BY grade DESC, score DESC, time) AS sentence
    FROM (SELECT *, unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_slice(array_agg(call_id ORDER BY grade DESC, at, call_id), 1, 40) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level, max(score) AS score,
       first_value(sink ORDER BY grade DESC, score DESC, at) || ' did what a result of ' || first_value(source ORDER BY grade DESC, score DESC, at) || ' says: '
           || left(first_value(sentence ORDER BY grade DESC, score DESC, at), 200) || CASE WHEN bool_or(asked) THEN ' (the user had handed the task over)' ELSE '' END AS message,
       left(first_value(sentence ORDER BY grade DESC, score DESC, at), 500) AS sentence
FROM evidence
GROUP BY session_id
