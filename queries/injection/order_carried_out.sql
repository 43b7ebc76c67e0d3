-- id = "order_carried_out"
-- title = "Agent carried out an order that stood in a result"
-- level = "high"
-- status = "test"
-- description = """
--   A sentence of a result gives an order, and a later call that sends, writes, deletes, runs or pays does what it says with the values that it names, which the user had not named.
--   high: the match is strong, or it is good and the result comes from where others can write. medium: so it is, but the user handed the task over ("do what the mail says", "work through
--   the tickets"), or wrote in another language than English, of which this cannot be told, and the order may be the task; or the log holds no requests, and the session began with the one item of a work tracker
--   that says it, or nothing but a page is opened; or the user had asked for that in most of the order's own words, had asked to open a link and nothing but a page is opened, or had asked to pay somebody whose mail says where to. Who hands tasks over has not asked for everything: what pays to an account that the user did not name and without a word of paying, or deletes where keys lie, stays high. low: the match is fair, or good and the source is not known to hold other people's text; or the call was refused;
--   or it only answers the sender of the mail that asks, with nothing out of another private result.
--   How well sentence and call match is the flow's score, 1.5 to 4.2 (docs/model.md). Where the log has the user's requests, what they asked for is known, and less is enough.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi01", "owasp.asi02", "atlas.AML.T0051.001", "atlas.AML.T0053", "attack.T1204"]
-- falsepositives = ["tasks that consist of carrying out what a text says, in logs without the user's requests", "runbooks and tutorials that the agent was told to follow"]
-- window = "24h"
-- params = { strong = 2.95, good = 2.55, strong_with_requests = 2.95, good_with_requests = 2.25, fair = 1.8, usual = ["the", "and", "for", "you", "your", "with", "from", "this", "that", "please", "should", "must", "will", "into", "them", "their", "have", "can", "could", "also", "then", "need", "make", "sure", "all", "any", "its", "are", "not"] }
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
WITH obeyed AS (
    SELECT session_id, sink_call_id, min(agent) AS agent, min(time) AS time, min(source_time) AS source_time,
           first_value(source_call_id ORDER BY score DESC, source_call_id) AS source_call_id, first_value(sentence ORDER BY score DESC, source_call_id) AS sentence,
           first_value(concat_ws('/', source_server, source_tool) ORDER BY score DESC, source_call_id) AS source, min(concat_ws('/', sink_server, sink_tool)) AS sink,
           max(score) AS score, bool_or(array_has(source_capabilities, 'reads_untrusted')) AS untrusted, bool_or(user_named IS NOT NULL) AS requests,
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
    LEFT JOIN flows f ON f.sink_call_id = o.sink_call_id AND f.source_call_id <> o.source_call_id AND (f.kind IN ('content', 'secret')
              -- A code that came in another message.
              OR (f.kind = 'value' AND regexp_like(f.value, '^\d{4,8}$')))
         AND array_has_any(f.source_capabilities, make_array('reads_private', 'credentials'))
    WHERE has_capability(k.capabilities, 'egress') AND NOT array_has_any(k.capabilities, make_array('destructive', 'executes', 'pays'))
      AND regexp_like(replace(lower(s.result), a.address, chr(1)), '(from|sender|reply_?to|author)[^a-z0-9]{1,8}(\\"|[^"\\@]){0,60}\x01', 'i')
    GROUP BY o.sink_call_id
    HAVING count(f.flow_id) = 0
),
grave AS (                       -- what nobody asks for by handing a task over
    SELECT f.sink_call_id
    FROM flows f
    LEFT JOIN prompts q ON q.session_id = f.session_id AND q.time <= f.time AND has_capability(f.sink_capabilities, 'pays')
         AND (regexp_like(q.text, '\b(pay|paid|pays|paying|payments?|transfer\w*|wire|bills?|invoices?|refund\w*|purchas\w*|buy|orders?|donat\w+|settle|money|balance|top.?up|deposit\w*|salar\w+|fees?)\b', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    WHERE f.kind = 'value' AND f.sink_call_id IN (SELECT sink_call_id FROM obeyed) AND NOT coalesce(f.user_named, false)
      AND (has_capability(f.sink_capabilities, 'pays') AND regexp_like(f.value, '\d{6}|@|^0x') AND regexp_like(f.sink_path, '(recipient|account|iban|to|payee|beneficiary|destination|address|wallet|receiver)(_?(id|name|number|address|iban))?(/\d+)?$', 'i')
           OR has_capability(f.sink_capabilities, 'destructive') AND is_credential_path(f.value))
    GROUP BY f.sink_call_id
    HAVING count(q.session_id) = 0
),
item AS (                        -- the first call of a session read one item of a work tracker: by it the agent was told what to do
    SELECT session_id, call_id
    FROM (SELECT session_id, call_id, concat_ws('/', server, tool) AS operation, row_number() OVER (PARTITION BY session_id ORDER BY time, call_id) AS nth
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND session_id IN (SELECT session_id FROM obeyed WHERE NOT requests))
    WHERE nth = 1 AND is_work_item(operation)
),
own AS (                         -- the order says in the user's words what the user had asked for
    SELECT sink_call_id
    FROM (SELECT sink_call_id, array_except(said, $usual) AS said, asked
          FROM (SELECT o.sink_call_id,
                       array_distinct(string_to_array(btrim(regexp_replace(regexp_replace(regexp_replace(lower(min(o.sentence)), '\S*[@/.]\w\S*', ' ', 'g'), '\b(\w{1,2}|\d+)\b|[^a-z0-9]+', ' ', 'g'), '(\w{2})s?\s+', '\1 ', 'g')), ' ')) AS said,
                       array_distinct(string_to_array(btrim(regexp_replace(regexp_replace(lower(string_agg(q.text, ' ')), '[^a-z0-9]+', ' ', 'g'), '(\w{2})s?\s+', '\1 ', 'g')), ' ')) AS asked
                FROM obeyed o JOIN prompts q ON q.session_id = o.session_id AND q.time <= o.time
                WHERE o.score >= o.good
                GROUP BY o.sink_call_id))
    WHERE array_length(array_intersect(said, asked)) >= 2 AND 5 * array_length(array_intersect(said, asked)) >= 3 * array_length(said)
),
meant AS (                       -- a page that the user asked to have opened; a payment to somebody whom the user named, with the account out of that person's mail
    SELECT o.sink_call_id
    FROM obeyed o
    JOIN calls k ON k.call_id = o.sink_call_id
    JOIN calls s ON s.call_id = o.source_call_id
    JOIN prompts q ON q.session_id = o.session_id AND q.time <= o.time
    WHERE (has_capability(k.capabilities, 'reads_untrusted') AND NOT array_has_any(k.capabilities, make_array('writes', 'pays', 'executes', 'destructive'))
           AND regexp_like(q.text, '\b(open|visit|follow|click|go to|look at|check|read|see|browse)\b.{0,40}\b(links?|urls?|pages?|sites?|websites?)\b', 'i'))
       OR (has_capability(k.capabilities, 'pays')
           AND regexp_like(q.text, '\b(pay|paid|pays|paying|payments?|transfer\w*|wire|bills?|invoices?|refund\w*|settle)\b', 'i')
           AND array_has_any(string_to_array(regexp_replace(lower(q.text), '[^\w]+', ' ', 'g'), ' '),
                             string_to_array(regexp_replace(regexp_replace(lower(regexp_replace(s.result_text, '^.*?\b(from|sender)\W{1,6}([^\n\\"<@]{3,60}).*$|^.*$', '\2', 'is')), '\b\w{1,2}\b|\b(from|sender|info|the|mail|team|com)\b', ' ', 'g'), '[^\w]+', ' ', 'g'), ' ')))
    GROUP BY o.sink_call_id
),
graded AS (
    SELECT o.*, coalesce(h.at <= o.time, false) AS asked,
           CASE WHEN c.outcome IN ('denied', 'cancelled', 'protocol_error') OR w.sink_call_id IS NOT NULL OR o.score < o.good OR (o.score < o.strong AND NOT o.untrusted) THEN 1
                WHEN g.sink_call_id IS NULL AND ((NOT o.requests AND has_capability(c.capabilities, 'reads_untrusted') AND NOT array_has_any(c.capabilities, make_array('writes', 'pays', 'executes', 'destructive'))
                                                AND NOT regexp_like(c.arguments, '"(body|data|payload|json|form\w*|content|text|values?)"\s*:|"(POST|PUT|PATCH|DELETE)"', 'i')) OR h.at <= o.time OR h.foreign_at <= o.time OR i.call_id IS NOT NULL OR e.sink_call_id IS NOT NULL OR t.sink_call_id IS NOT NULL) THEN 2 ELSE 3 END AS grade
    FROM obeyed o JOIN calls c ON c.call_id = o.sink_call_id LEFT JOIN answer w ON w.sink_call_id = o.sink_call_id LEFT JOIN handed_over h ON h.session_id = o.session_id
    LEFT JOIN grave g ON g.sink_call_id = o.sink_call_id LEFT JOIN item i ON i.call_id = o.source_call_id
    LEFT JOIN meant t ON t.sink_call_id = o.sink_call_id
    LEFT JOIN own e ON e.sink_call_id = o.sink_call_id
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
