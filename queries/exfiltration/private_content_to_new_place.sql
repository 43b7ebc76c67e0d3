-- id = "private_content_to_new_place"
-- title = "Content of a private result is sent to a place that is new or that only a stranger named"
-- level = "high"
-- status = "test"
-- description = """
--   A longer piece of what a private source returned (mail, files, database, account, memory) stands in what a tool sends to an outside destination.
--   high: only content that others wrote had named the destination, in this session, and neither the user nor an earlier argument had (private data, untrusted content, way
--   out). medium: the agent had not sent anything to that destination in an earlier session within the window, nobody had named it, and the payload is mostly that content;
--   or it had, and only such content had named it this time; or it is the sender of the mail that named it, in a log without requests. low: the same with little of
--   it, or the destination is within the domain of the user.
--   Each recipient counts, also one in copy. Answers to the sender of what was read are left out where the result names the destination as its sender. Re-encoded content is content_sent_encoded. Needs payloads; paraphrases are not seen.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp06", "owasp.asi02", "owasp.asi01", "atlas.AML.T0086", "atlas.AML.T0085.001", "attack.T1567", "attack.T1114"]
-- falsepositives = ["forwarding on the user's request, where the log holds no prompts (medium)"]
-- needs = ["arguments", "results"]
-- helps = ["prompts", "users"]
-- window = "14d"
-- params = { min_bytes = 80, min_share = 0.3 }
WITH shell AS (                  -- commands that send
    SELECT call_id
    FROM calls
    WHERE call_id IN (SELECT sink_call_id FROM flows WHERE kind = 'content' AND destination IS NOT NULL AND has_capability(sink_capabilities, 'executes'))
      AND command_sends(command_text(arguments))
),
sent AS (
    SELECT session_id, agent, sink_call_id, min(time) AS time, min(destination) AS destination, min(source_call_id) AS source_call_id, min(source_time) AS source_time,
           min(concat_ws('/', source_server, source_tool)) AS source, min(concat_ws('/', sink_server, sink_tool)) AS sink, sum(bytes) AS bytes, least(1.0, sum(sink_share)) AS share,
           coalesce(bool_or(user_named), false) AS user_named
    FROM flows
    WHERE kind = 'content' AND destination IS NOT NULL AND encoding NOT IN ('base64', 'hex', 'url', 'reversed') AND array_has_any(source_capabilities, make_array('reads_private', 'credentials'))
      AND ((has_capability(sink_capabilities, 'egress') AND NOT has_capability(sink_capabilities, 'executes')) OR sink_call_id IN (SELECT call_id FROM shell)
           -- Nothing is known of the tool but that it is given an address and this.
           OR coalesce(array_length(sink_capabilities), 0) = 0)
    GROUP BY session_id, agent, sink_call_id
    HAVING sum(bytes) >= $min_bytes
),
recipient AS (
    SELECT call_id, array_agg(DISTINCT lower(value)) AS addresses
    FROM observables
    WHERE call_id IN (SELECT sink_call_id FROM sent WHERE strpos(destination, '@') > 0) AND origin = 'argument' AND type = 'email'
      AND regexp_like(path, '(^|/)(to|cc|bcc|(to|cc|bcc)_?(recipients?|addresse?s?|emails?)|recipients?|attendees|guests|invitees|participants)(/\d+)?(/\w*(address|email|mail)\w*)*$', 'i')
    GROUP BY call_id
),
said AS (                        -- what only stands in a text is no place that anything goes to
    SELECT call_id, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END AS place
    FROM observables
    WHERE call_id IN (SELECT sink_call_id FROM sent) AND origin = 'argument' AND type IN ('url', 'domain', 'email')
    GROUP BY call_id, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END
    HAVING bool_and(is_mention(path))
),
outside AS (                     -- each recipient, also one in copy
    SELECT * FROM (SELECT s.session_id, s.agent, s.sink_call_id, s.time, unnest(array_distinct(array_append(coalesce(r.addresses, make_array(lower(s.destination))), lower(s.destination)))) AS destination, s.source_call_id, s.source_time,
                          s.source, s.sink, s.bytes, s.share, s.user_named
                   FROM sent s LEFT JOIN recipient r ON r.call_id = s.sink_call_id)
    WHERE NOT is_internal_address(destination) AND NOT EXISTS (SELECT 1 FROM said d WHERE d.call_id = sink_call_id AND d.place = lower(destination))
),
named AS (                       -- who named the destination: flows of its value into the same call
    SELECT o.sink_call_id, min(o.session_id) AS session_id, min(o.agent) AS agent, min(o.time) AS time, o.destination, min(o.source_call_id) AS source_call_id, min(o.source_time) AS source_time,
           min(o.source) AS source, min(o.sink) AS sink, max(o.bytes) AS bytes, max(o.share) AS share,
           coalesce(bool_or(v.first_origin AND array_has_any(v.source_capabilities, make_array('reads_untrusted'))), false) AS by_stranger, coalesce(bool_or(v.user_named), false) AS user_named,
           count(v.sink_call_id) > 0 AS in_result, min(v.source_call_id) FILTER (WHERE array_has_any(v.source_capabilities, make_array('reads_untrusted'))) AS named_by,
           min(v.source_time) FILTER (WHERE array_has_any(v.source_capabilities, make_array('reads_untrusted'))) AS named_at
    FROM outside o
    LEFT JOIN flows v ON v.sink_call_id = o.sink_call_id AND v.kind = 'value' AND (lower(v.value) = lower(o.destination) OR host_of(v.value) = o.destination)
    GROUP BY o.sink_call_id, o.destination
),
used AS (                        -- what the agent, and the session, sent there before
    SELECT n.sink_call_id, min(n.session_id) AS session_id, min(n.agent) AS agent, min(n.time) AS time, n.destination, min(n.source_call_id) AS source_call_id, min(n.source_time) AS source_time,
           min(n.source) AS source, min(n.sink) AS sink, max(n.bytes) AS bytes, max(n.share) AS share, bool_or(n.by_stranger) AS by_stranger, bool_or(n.in_result) AS in_result, bool_or(n.user_named) AS user_named,
           min(n.named_by) AS named_by, min(n.named_at) AS named_at, count(f.call_id) > 0 AS in_use
    FROM named n
    LEFT JOIN (SELECT b.call_id, b.time, k.agent, k.session_id, CASE b.type WHEN 'url' THEN host_of(b.value) ELSE lower(b.value) END AS place
               FROM observables b JOIN calls k ON k.call_id = b.call_id
               WHERE b.origin = 'argument' AND b.type IN ('url', 'domain', 'ip', 'email') AND has_capability(k.capabilities, 'egress')
                 AND NOT is_mention(b.path)
                 -- A page that was read is no place that was sent to.
                 AND NOT has_capability(k.capabilities, 'reads_untrusted') AND k.outcome NOT IN ('denied', 'cancelled', 'protocol_error')) f
           ON f.agent = n.agent AND f.session_id <> n.session_id AND f.time < n.source_time AND f.place = lower(n.destination)
    GROUP BY n.sink_call_id, n.destination
),
asked AS (
    SELECT u.sink_call_id, min(u.session_id) AS session_id, min(u.agent) AS agent, min(u.time) AS time, u.destination, min(u.source_call_id) AS source_call_id, min(u.source_time) AS source_time,
           min(u.source) AS source, min(u.sink) AS sink, max(u.bytes) AS bytes, max(u.share) AS share, bool_or(u.by_stranger) AS by_stranger, bool_or(u.in_result) AS in_result, min(u.named_by) AS named_by,
           min(u.named_at) AS named_at, bool_or(u.in_use) AS in_use,
           coalesce(bool_or(registrable_domain(lower(split_part(coalesce(k.user_email, CASE WHEN strpos(k.user_id, '@') > 0 THEN k.user_id END), '@', 2))) = registrable_domain(CASE WHEN strpos(u.destination, '@') > 0 THEN lower(split_part(u.destination, '@', 2)) ELSE u.destination END)), false) AS own_domain
    FROM used u
    LEFT JOIN calls k ON k.call_id = u.sink_call_id
    LEFT JOIN prompts q ON q.session_id = u.session_id AND q.time <= u.time 
         -- The address, or a person by a part of it.
         AND (strpos(lower(q.text), lower(u.destination)) > 0
              OR (strpos(u.destination, '@') > 0 AND regexp_like(lower(q.text), '\b(' || nullif(btrim(regexp_replace(regexp_replace(split_part(lower(u.destination), '@', 1), '[^a-z]+', '|', 'g'), '(^|\|)[a-z]{1,2}(\||$)', '|', 'g'), '|'), '') || ')\b')))
    WHERE NOT u.user_named
    GROUP BY u.sink_call_id, u.destination
    HAVING count(q.session_id) = 0
),
spoken AS (                      -- calls to several, of whom the user named one
    SELECT DISTINCT u.sink_call_id
    FROM used u LEFT JOIN (SELECT DISTINCT sink_call_id, destination FROM asked) a ON a.sink_call_id = u.sink_call_id AND a.destination = u.destination
    WHERE a.sink_call_id IS NULL
),
-- What was read, and what named the destination, with a character for the destination that no text has: one pattern serves all, where a pattern for each row is dear.
marked AS (
    SELECT a.*, replace(replace(lower(s.result), chr(1), ' '), lower(a.destination), chr(1)) AS source_text,
           replace(replace(lower(n.result), chr(1), ' '), lower(a.destination), chr(1)) AS naming_text,
           r.session_id IS NULL AS unspoken, p.sink_call_id IS NOT NULL AS spoken
    FROM asked a JOIN calls s ON s.call_id = a.source_call_id
    LEFT JOIN calls n ON n.call_id = a.named_by
    LEFT JOIN (SELECT DISTINCT session_id FROM prompts) r ON r.session_id = a.session_id
    LEFT JOIN spoken p ON p.sink_call_id = a.sink_call_id
),
-- The sender of what was read, as its result says it.
answers AS (
    SELECT *, coalesce(regexp_like(source_text, '(from|sender|reply_?to|author|organizer)\W{1,8}(\\"|[^"\\@\x01]){0,60}\x01'), false) AS answer,
           -- The sender of the mail that is answered, who may have asked for it; the user's requests would tell.
           coalesce(regexp_like(naming_text, '(from|sender|reply_?to|author|requester)\W{1,8}(\\"|[^"\\@\x01]){0,60}\x01'), false) AS asked_for,
           -- Who was written to besides; the user named somebody else of them.
           spoken AND coalesce(regexp_like(naming_text, '(\\n|[^a-z])(to|cc|recipients?)\W{1,8}(\\"|[^"\\\x01]){0,200}\x01'), false) AS in_thread
    FROM marked
),
graded AS (
    SELECT *, CASE WHEN (in_use AND (own_domain OR NOT by_stranger)) OR (answer AND share < 0.9) THEN 0 WHEN own_domain THEN 1 WHEN in_use THEN 2
                   WHEN by_stranger AND in_thread THEN 1 WHEN by_stranger AND named_by <> source_call_id AND NOT (asked_for AND unspoken) THEN 3 WHEN by_stranger THEN 2
                   WHEN in_result THEN 1 WHEN share >= $min_share THEN 2 ELSE 1 END AS grade
    FROM answers
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(sink) AS sink, min(destination) AS destination, array_agg(DISTINCT destination) AS places, max(bytes) AS bytes,
           bool_or(by_stranger) AS by_stranger
    FROM (SELECT *, unnest(CASE WHEN by_stranger THEN make_array(named_struct('id', named_by, 'at', named_at), named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))
                                ELSE make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time)) END) AS ev
          FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(max(bytes) AS VARCHAR) || ' bytes that ' || min(source) || ' returned went to ' || min(destination) || ' with ' || min(sink)
           || CASE WHEN bool_or(by_stranger) THEN '; only content that others wrote had named that destination' ELSE '; nobody had named that destination' END AS message,
       max(bytes) AS bytes,
       -- One place that is allowed must not stand for all.
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) = 1 THEN min(destination) END AS destination,
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) > 1 THEN array_sort(array_distinct(flatten(array_agg(places)))) END AS destinations
FROM evidence
GROUP BY session_id
