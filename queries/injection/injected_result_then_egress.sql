-- id = "injected_result_then_egress"
-- title = "Result that speaks to the model, then data sent to a new destination"
-- level = "high"
-- status = "stable"
-- description = """
--   A tool's result held instruction markers, and afterwards a tool that can send data out went to a destination that the session
--   had not used before that result and that the user had not named.
--   high: a strong marker, and a sentence beside it names the destination. medium: the destination stands elsewhere in that result,
--   or a link beside the marker was followed as it is. low: the destination comes from somewhere else or is not in the log, or there are
--   only weak markers (HTML comment, terminal escape, bidi character), of two kinds, beside it. One weak kind alone is nothing.
--   Destinations are hosts, e-mail addresses, accounts, phone numbers and wallets; internal ones are left out.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp10", "owasp.asi01", "atlas.AML.T0051.001", "atlas.AML.T0086", "attack.T1567"]
-- falsepositives = ["articles and tests about prompt injection that the agent works on", "replying to a mail that quotes a prompt"]
-- window = "4h"
-- params = { within = "30 minutes", around = 400 }
-- needs = ["results"]
-- helps = ["arguments", "durations", "prompts"]
WITH noticed AS (                -- without the texts, which are large, and most of which are not looked at
    SELECT call_id, session_id, time, known_at, source_file, known_offset, operation,
           bool_or(kind NOT IN ('html_comment', 'ansi', 'bidi')) AS strong, array_to_string(array_sort(array_agg(kind)), ', ') AS kinds, min(first_at) AS first_at, max(last_at) AS last_at
    FROM (
        SELECT call_id, session_id, time, known_at, source_file, known_offset, operation, m['kind'] AS kind, min(m['position']) AS first_at, max(m['position']) AS last_at
        FROM (SELECT call_id, session_id, time, coalesce(time_end, time) AS known_at, source_file,
                     coalesce(response_offset, source_offset) AS known_offset, concat_ws('/', server, tool, mcp_resource_uri) AS operation,
                     unnest(markers) AS m
              FROM calls
              WHERE event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get') AND array_length(markers) > 0)
        WHERE m['origin'] = 'result'
        GROUP BY call_id, session_id, time, known_at, source_file, known_offset, operation, m['kind'])
    GROUP BY call_id, session_id, time, known_at, source_file, known_offset, operation
    -- Half the pages of the web hold an HTML comment: one weak kind alone is no reason to look further.
    HAVING bool_or(kind NOT IN ('html_comment', 'ansi', 'bidi')) OR count(*) > 1
),
after AS (
    SELECT m.call_id AS source_id, m.known_at, m.source_file, m.known_offset, m.session_id, m.time AS source_time, m.operation AS source, m.strong, m.kinds, m.first_at, m.last_at,
           e.call_id AS sink_id, e.agent, e.time AS sink_time, concat_ws('/', e.server, e.tool) AS sink, e.arguments, e.arguments_bytes,
           has_capability(e.capabilities, 'reads_untrusted') AS reader, has_capability(e.capabilities, 'executes') AS command,
           has_capability(e.capabilities, 'egress') AS sends
    FROM noticed m
    JOIN calls e ON e.session_id = m.session_id AND e.call_id <> m.call_id
    WHERE e.event_kind = 'call' AND e.method = 'tools/call' AND array_has_any(e.capabilities, make_array('egress', 'reads_untrusted'))
      AND (m.strong OR NOT has_capability(e.capabilities, 'reads_untrusted'))
      AND e.outcome NOT IN ('denied', 'protocol_error', 'cancelled')
      AND e.time BETWEEN m.known_at AND m.known_at + CAST($within AS INTERVAL)
),
pair AS (
    SELECT a.* FROM after a JOIN calls x ON x.call_id = a.sink_id
    WHERE a.sink_time > a.known_at OR (x.source_file = a.source_file AND x.source_offset > a.known_offset)
),
sent AS (
    SELECT p.*, o.value, CASE WHEN o.type = 'url' THEN host_of(o.value) ELSE lower(o.value) END AS place,
           o.type IN ('url', 'domain', 'ip') AND is_internal_address(o.value) AS internal,
           strpos(p.arguments, '"' || o.value || '"') > 0 AS whole, o.type
    FROM pair p
    LEFT JOIN observables o ON o.call_id = p.sink_id AND o.origin = 'argument'
         AND o.type IN ('url', 'domain', 'ip', 'email', 'iban', 'phone', 'wallet')
),
named AS (                       -- what the marked results name: of these alone, and each once
    SELECT DISTINCT call_id, CASE type WHEN 'url' THEN host_of(value) ELSE lower(value) END AS place, CASE type WHEN 'url' THEN value END AS link
    FROM observables
    WHERE origin = 'result' AND type IN ('url', 'domain', 'ip', 'email', 'iban', 'phone', 'wallet') AND call_id IN (SELECT call_id FROM noticed)
),
traced AS (                      -- does the marked result name the place?
    SELECT s.source_id, s.sink_id, s.place, min(s.session_id) AS session_id, min(s.agent) AS agent, min(s.source_time) AS source_time,
           min(s.source) AS source, bool_or(s.strong) AS strong,
           min(s.first_at) AS first_at, max(s.last_at) AS last_at,
           bool_or(s.arguments IS NULL) AS unlogged, min(s.kinds) AS kinds, min(s.sink_time) AS sink_time, min(s.sink) AS sink,
           bool_or(s.reader) AS reader, bool_or(s.command) AS command, bool_or(s.internal) AS internal, bool_or(s.whole) AS whole, bool_or(s.sends) AS sends,
           coalesce(bool_or(s.whole AND s.type = 'url'), false) AS goes_to_url,
           count(r.call_id) > 0 AS in_result, coalesce(bool_or(r.link = s.value), false) AS same_link
    FROM sent s
    LEFT JOIN named r ON r.call_id = s.source_id AND r.place = s.place
    GROUP BY s.source_id, s.sink_id, s.place
),
aimed AS (                       -- whole arguments are destinations; without any, what a text names has to do
    SELECT * FROM (SELECT t.*, bool_or(coalesce(whole, false)) OVER (PARTITION BY source_id, sink_id) AS has_whole,
                          bool_or(coalesce(internal, false)) OVER (PARTITION BY source_id, sink_id) AS any_internal
                   FROM traced t)
    WHERE NOT coalesce(internal, false) AND (sends OR goes_to_url) AND (place IS NULL OR whole OR NOT (has_whole OR any_internal))
),
known AS (
    SELECT a.source_id, a.sink_id, a.place, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.source_time) AS source_time,
           min(a.source) AS source, bool_or(a.strong) AS strong, min(a.first_at) AS first_at, max(a.last_at) AS last_at, bool_or(a.unlogged) AS unlogged, min(a.kinds) AS kinds, min(a.sink_time) AS sink_time, min(a.sink) AS sink,
           bool_or(a.reader) AS reader, bool_or(a.command) AS command, bool_or(a.in_result) AS in_result, bool_or(a.same_link) AS same_link,
           coalesce(bool_or(f.since <= a.source_time), false) OR count(q.session_id) > 0 AS known
    FROM aimed a
    LEFT JOIN (SELECT session_id, place, min(time) AS since
               FROM (SELECT session_id, time, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END AS place
                     FROM observables
                     WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip', 'email', 'iban', 'phone', 'wallet'))
               GROUP BY session_id, place) f ON f.session_id = a.session_id AND f.place = a.place
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.sink_time AND strpos(lower(q.text), a.place) > 0
    GROUP BY a.source_id, a.sink_id, a.place
),
around AS (                      -- what stands around the markers. Their offsets are bytes; texts of one script have the same width throughout.
    SELECT k.*, lower(substr(c.result_text,
                             greatest(1, CAST(k.first_at * character_length(c.result_text) / octet_length(c.result_text) AS BIGINT) - $around),
                             least(16384, CAST(k.last_at - k.first_at AS BIGINT) + 3 * $around))) AS vicinity
    FROM known k
    LEFT JOIN calls c ON c.call_id = CASE WHEN k.in_result AND NOT k.known THEN k.source_id END
),
beside AS (                      -- in a sentence, that is: a field or a list item that happens to stand beside the marker gives no order
    SELECT *, coalesce(CASE WHEN strpos(vicinity, place) > 0          -- one sign for the place, so that the pattern is the same for all
                            THEN regexp_like(replace(vicinity, place, chr(57344)), '((\p{L}+[ ,:]+){3}|[\p{Han}\p{Hiragana}\p{Katakana}]{4})[^"\[\]{}\r\n]{0,80}["''`<(]{0,2}(https?://[^ ]{0,100})?\x{E000}') END,
                       false) AS beside_marker
    FROM around
),
graded AS (
    SELECT *, CASE WHEN known THEN 0
                   WHEN place IS NULL THEN CASE WHEN strong AND unlogged AND NOT reader AND NOT command THEN 1 ELSE 0 END
                   WHEN strong AND beside_marker AND in_result
                   THEN CASE WHEN reader AND same_link THEN 2 ELSE 3 END              -- a link, followed as it is, carries nothing away
                   WHEN strong AND in_result AND reader AND same_link THEN 0
                   WHEN strong AND in_result THEN 2
                   WHEN strong AND NOT reader AND NOT command THEN 1
                   WHEN beside_marker AND in_result AND NOT reader THEN 1
                   ELSE 0 END AS grade
    FROM beside
),
best AS (
    SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', sink_id, 'at', sink_time))) AS ev
    FROM (SELECT *, max(grade) OVER (PARTITION BY session_id) AS top FROM graded)
    WHERE grade = top AND grade > 0
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(top) AS top, min(agent) AS agent, min(source) AS source,
           min(kinds) AS kinds, min(sink) AS sink, array_agg(DISTINCT place) FILTER (WHERE place IS NOT NULL) AS places,
           bool_or(in_result) AS in_result, bool_or(reader) AS reader
    FROM best GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(top) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       least(1.0, 0.3 * max(top) + 0.05 * max(array_length(string_to_array(kinds, ', ')))) AS score,
       'result of ' || min(source) || ' held ' || min(kinds) || ', then ' || min(sink) || ' went to '
           || coalesce(nullif(array_to_string(array_slice(array_sort(array_distinct(flatten(array_agg(places)))), 1, 3), ', '), ''),
                       'a destination that the log does not name')
           || CASE WHEN bool_or(in_result) THEN ', which that result names' ELSE '' END AS message,
       string_to_array(min(kinds), ', ') AS markers, array_sort(array_distinct(flatten(array_agg(places)))) AS destinations
FROM evidence
GROUP BY session_id
