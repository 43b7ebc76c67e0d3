-- id = "secret_then_egress"
-- title = "Secret read, then data sent out in the same session"
-- level = "high"
-- status = "stable"
-- description = """
--   A result held a secret, or a credential file was read, and a tool that can send data out, or a URL, was called afterwards.
--   high: the same secret, or two values of the same result, stand in the outgoing arguments, or, where the log does not show what
--   was read, any secret in a request to a new destination.
--   medium: a payload of some size or an encoded one went to a destination that the session had not used before.
--   low: a new destination was contacted, by a command, or with a payload that is small or not in the log.
--   Commands send that upload, post, copy or push to another place, whatever their tool is called; high as well: the file with the credentials is what they send.
--   A key that is used at the site that issued it is low.
--   Where the log holds both the secret and the whole payload, a payload without it counts only if it is encoded or large (low).
--   Links made for handing on (signed downloads, shares, invitations), internal destinations (also the page of the own machine that a form stands on), destinations in use before the secret was read (of a page that was merely read: for reading again) and example keys on public pages are left out.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp01", "owasp.asi02", "atlas.AML.T0086", "attack.T1567"]
-- falsepositives = ["deploy jobs that publish with a token they read", "a key used against the service that issued it", "an agent that reads .env and then looks something up (low)"]
-- window = "4h"
-- params = { within = "10 minutes", same_value_within = "4 hours", min_bytes = 256 }
-- needs = ["arguments|results"]
-- helps = ["durations", "prompts"]
WITH link AS (SELECT DISTINCT call_id, origin, secret FROM link_signatures),   -- as a step: computed once for all rules
read AS (
    SELECT call_id, bool_or(secret IS NOT NULL) AS has_secret, min(secret) AS secret
    FROM (SELECT o.call_id, o.value AS secret FROM observables o LEFT JOIN link l ON l.call_id = o.call_id AND l.origin = o.origin AND l.secret = o.value
          WHERE o.type = 'secret' AND o.origin = 'result' AND l.call_id IS NULL
          UNION ALL
          SELECT call_id, CAST(NULL AS VARCHAR) FROM observables WHERE type = 'file_path' AND origin = 'argument' AND is_credential_path(value))
    GROUP BY call_id
),
source AS (
    SELECT c.session_id, c.call_id, c.server, c.tool, c.time, coalesce(c.time_end, c.time) AS known_at,
           c.source_file, coalesce(c.response_offset, c.source_offset) AS known_offset, r.secret,
           -- A key on a public page is not the organisation's: only its reuse counts.
           has_capability(c.capabilities, 'reads_untrusted') AND NOT has_capability(c.capabilities, 'reads_private')
               AND NOT has_capability(c.capabilities, 'credentials') AS from_outside
    FROM read r JOIN calls c ON c.call_id = r.call_id
    WHERE c.event_kind = 'call'
      AND (r.has_secret
           OR (c.outcome IN ('success', 'unknown')
               AND (has_capability(c.capabilities, 'executes')
                    OR NOT array_has_any(c.capabilities, make_array('writes', 'egress')))))
),
shell AS (                       -- commands that send, also of tools that are only known to run commands
    SELECT call_id, regexp_like(text, '(@|(-T|--upload-file)\s*|<\s*)[''"\\]*[\w./~]|\|\s*(curl|nc|ncat|netcat|mailx?|sendmail|mutt)\b|\b(scp|sftp|rsync|rclone|gsutil|azcopy|aws\s+s3|gcloud\s+storage|az\s+storage|lftp)\s|\$\(|`|InFile|--(post|body)-file[=\s]') AS sends_file
    FROM (SELECT call_id, command_text(arguments) AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND outcome NOT IN ('denied', 'protocol_error', 'cancelled')
            AND session_id IN (SELECT session_id FROM source))
    WHERE command_sends(text)
),
after AS (
    SELECT s.session_id, e.agent, s.call_id AS source_id, s.time AS source_time, s.known_at, s.source_file, s.known_offset, s.from_outside, s.secret,
           concat_ws('/', s.server, s.tool) AS source, e.call_id AS sink_id, e.time AS sink_time,
           concat_ws('/', e.server, e.tool) AS sink, e.arguments, e.arguments_bytes,
           coalesce(regexp_like(e.arguments, '[A-Za-z0-9+=_-]{48,}|(%[0-9A-Fa-f]{2}){16,}'), false) AS encoded,
           has_capability(e.capabilities, 'executes') AS command, has_capability(e.capabilities, 'egress') OR h.call_id IS NOT NULL AS sends, coalesce(h.sends_file, false) AS sends_file, has_capability(e.capabilities, 'reads_untrusted') AS reads
    FROM source s
    JOIN calls e ON e.session_id = s.session_id AND e.call_id <> s.call_id
    LEFT JOIN shell h ON h.call_id = e.call_id
    WHERE e.event_kind = 'call' AND e.method = 'tools/call' AND (array_has_any(e.capabilities, make_array('egress', 'reads_untrusted')) OR h.call_id IS NOT NULL)
      AND e.outcome NOT IN ('denied', 'protocol_error', 'cancelled')
      AND e.time BETWEEN s.known_at AND s.known_at + CAST($same_value_within AS INTERVAL)
),
file AS (                        -- the name of the file that was read, which need not be a path
    SELECT c.call_id, min(regexp_replace(coalesce(o.value, regexp_match(c.arguments, '\b(?:cat|bat|less|more|head|tail|strings|type|Get-Content|base64|xxd)(?:"\s*,\s*"|\s+)(?:-\w+(?:"\s*,\s*"|\s+))*[''\\"]*([\w./~$\{\}-]{3,})')[1],
                                                   regexp_match(c.arguments, '"(?:path|file|file_?name|file_?path|uri)"\s*:\s*"([^"]{3,300})"')[1]), '^.*[/\\]', '')) AS name
    FROM calls c
    LEFT JOIN (SELECT call_id, min(value) AS value FROM observables WHERE type = 'file_path' AND origin = 'argument' AND call_id IN (SELECT call_id FROM source) GROUP BY call_id) o ON o.call_id = c.call_id
    WHERE c.call_id IN (SELECT call_id FROM source)
    GROUP BY c.call_id
),
pair AS (                        -- with what is seldom asked for: of these calls alone
    SELECT a.*,
           -- The whole payload is in the log and the secret is known, so that its absence says something.
           coalesce(regexp_like(x.arguments, '(-H|--header|-Headers)[ =]*[^|;&]{0,60}(authorization|api-?key|token)[^|;&]{0,30}\[secret:|-u\s*\S{0,40}\[secret:', 'i')
                    AND NOT regexp_like(x.arguments, '(-d|--data\S*|-F|--form)[ =]*[^|;&]{0,200}\[secret:'), false) AS in_header,
           x.arguments_state = 'present' AND a.secret IS NOT NULL AND NOT a.sends_file AS checked,
           -- The file that was read is what is sent.
           coalesce(a.sends_file AND strpos(x.arguments, f.name) > 0, false) AS same_file
    FROM after a JOIN calls x ON x.call_id = a.sink_id
    LEFT JOIN file f ON f.call_id = a.source_id AND length(f.name) >= 4
    WHERE a.sink_time > a.known_at OR (x.source_file = a.source_file AND x.source_offset > a.known_offset)
),
sent AS (                        -- what the outgoing arguments name
    SELECT p.*, o.type, o.value,
           CASE WHEN NOT o.mentioned OR p.command
                THEN CASE o.type WHEN 'url' THEN host_of(o.value) WHEN 'email' THEN lower(o.value) WHEN 'domain' THEN lower(o.value)
                                 WHEN 'ip' THEN o.value END END AS place,
           o.type IN ('url', 'domain', 'ip') AND is_internal_address(o.value) AND (NOT o.mentioned OR p.command) AS internal,
           -- A place that is a whole argument is where the data goes; one inside a text may only be mentioned.
           strpos(p.arguments, '"' || o.value || '"') > 0 AS whole
    FROM pair p LEFT JOIN (SELECT o.call_id, o.type, o.value, is_mention(o.path) AS mentioned   -- what a text mentions is no place that data goes to
                           FROM observables o LEFT JOIN link l ON l.call_id = o.call_id AND l.origin = o.origin AND l.secret = o.value
                           WHERE o.origin = 'argument' AND (o.type <> 'secret' OR l.call_id IS NULL)) o ON o.call_id = p.sink_id
),
returned AS (                    -- what the sources' results name: of these alone, and each once
    SELECT DISTINCT call_id, type, value FROM observables WHERE origin = 'result' AND call_id IN (SELECT call_id FROM source)
),
traced AS (                      -- which of it came out of the source's result
    SELECT x.*, r.value IS NOT NULL AND x.type = 'secret' AS is_secret, x.type = 'secret' AND x.secret IS NULL AS some_secret,
           CASE WHEN x.type IN ('email', 'ip', 'iban', 'phone', 'wallet', 'hash') AND NOT (x.whole AND x.place IS NOT NULL) THEN r.value END AS shared
    FROM sent x
    LEFT JOIN returned r ON r.call_id = x.source_id AND r.type = x.type AND r.value = x.value
),
once AS (                        -- each value once, so that it can be counted
    SELECT session_id, source_id, sink_id, value, min(agent) AS agent, min(source_time) AS source_time, min(known_at) AS known_at, bool_or(from_outside) AS from_outside, min(source) AS source,
           min(sink_time) AS sink_time, min(sink) AS sink, min(arguments_bytes) AS arguments_bytes, min(secret) AS secret, bool_or(is_secret) AS is_secret, bool_or(checked) AS checked, bool_or(same_file) AS same_file,
           bool_or(encoded) AS encoded, bool_or(some_secret) AS some_secret, bool_and(in_header) AS in_header, bool_or(command) AS command, bool_or(sends) AS sends, bool_or(reads) AS reads, bool_or(whole AND type = 'url') AS goes_to_url, min(shared) AS shared,
           bool_and(internal) FILTER (WHERE whole AND place IS NOT NULL) AS whole_internal, bool_and(internal) FILTER (WHERE place IS NOT NULL) AS internal,
           min(place) FILTER (WHERE whole AND NOT internal) AS whole_place, min(place) FILTER (WHERE NOT internal) AS place
    FROM traced GROUP BY session_id, source_id, sink_id, value
),
judged AS (
    SELECT session_id, source_id, sink_id, min(agent) AS agent, min(source_time) AS source_time, min(known_at) AS known_at,
           bool_or(from_outside) AS from_outside, min(source) AS source, min(sink_time) AS sink_time, min(sink) AS sink,
           min(arguments_bytes) AS bytes, min(secret) AS secret, bool_or(is_secret) AS same_secret,
           bool_or(checked) AS checked, bool_or(same_file) AS same_file, bool_or(encoded) AS encoded, coalesce(bool_or(some_secret), false) AS some_secret, bool_and(in_header) AS in_header,
           bool_or(command) AS command, bool_or(sends) AS sends, bool_or(reads) AS reads, coalesce(bool_or(goes_to_url), false) AS goes_to_url,
           min(value) FILTER (WHERE is_secret) AS sent_secret, count(shared) AS shared,
           coalesce(bool_and(whole_internal), bool_and(internal), false) AS internal, coalesce(min(whole_place), min(place)) AS place
    FROM once GROUP BY session_id, source_id, sink_id
),
own_page AS (                    -- what is typed into a page of the own machine or network does not leave it
    SELECT k.call_id
    FROM calls k JOIN observables p ON p.session_id = k.session_id AND p.server = k.server AND p.time < k.time
    WHERE k.call_id IN (SELECT sink_id FROM judged WHERE same_secret AND regexp_like(sink, 'fill|type|form|input|press', 'i')) AND p.origin = 'argument' AND p.type = 'url'
    GROUP BY k.call_id
    HAVING coalesce(last_value(is_internal_address(p.value) ORDER BY p.time), false)
),
external AS (
    SELECT * FROM judged
    WHERE NOT internal AND sink_id NOT IN (SELECT call_id FROM own_page)
      AND (sends OR goes_to_url)                       -- a page can be fetched with data in its address
      AND (NOT command OR place IS NOT NULL OR same_file)           -- most commands send nothing
      AND (same_secret OR same_file OR shared >= 2 OR (NOT from_outside AND sink_time <= known_at + CAST($within AS INTERVAL)))
),
known AS (                       -- was the place in use before the secret was read, or named by the user?
    SELECT j.session_id, j.source_id, j.sink_id, min(j.agent) AS agent, min(j.source_time) AS source_time, min(j.source) AS source,
           min(j.sink_time) AS sink_time, min(j.sink) AS sink, min(j.bytes) AS bytes, min(coalesce(j.sent_secret, j.secret)) AS secret,
           bool_or(j.same_secret) AS same_secret, max(j.shared) AS shared, min(j.place) AS place, bool_or(j.command) AS command, bool_or(j.checked) AS checked, bool_or(j.same_file) AS same_file, bool_or(j.encoded) AS encoded,
           bool_or(j.some_secret) AS some_secret, bool_or(j.in_header) AS in_header,
           coalesce(bool_or(CASE WHEN j.reads THEN f.since ELSE f.sent_since END < j.source_time), false) AS in_use, count(q.session_id) > 0 AS asked
    FROM external j
    LEFT JOIN (SELECT session_id, place, min(time) AS since, min(time) FILTER (WHERE read_id IS NULL) AS sent_since   -- what was merely read is no place that was sent to
               FROM (SELECT session_id, time, r.read_id, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END AS place
                     FROM observables
                     LEFT JOIN (SELECT call_id AS read_id FROM calls WHERE has_capability(capabilities, 'reads_untrusted') AND NOT array_has_any(capabilities, make_array('executes', 'writes'))) r ON r.read_id = call_id
                     WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip', 'email') AND NOT is_mention(path) AND session_id IN (SELECT session_id FROM external))
               GROUP BY session_id, place) f ON f.session_id = j.session_id AND f.place = j.place
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.sink_time AND strpos(lower(q.text), j.place) > 0
    GROUP BY j.session_id, j.source_id, j.sink_id
),
graded AS (
    SELECT *, CASE WHEN same_secret AND to_issuer THEN 1 WHEN same_secret OR same_file OR shared >= 2 THEN 3
                   WHEN in_use THEN 0
                   WHEN some_secret THEN 3
                   WHEN checked THEN CASE WHEN encoded AND NOT command THEN 2 WHEN bytes >= 4 * $min_bytes THEN 1 ELSE 0 END
                   WHEN bytes >= $min_bytes AND NOT command THEN 2
                   WHEN place IS NOT NULL OR bytes IS NULL THEN 1
                   ELSE 0 END - CASE WHEN asked THEN 1 ELSE 0 END AS grade
    FROM (SELECT *,
                 -- A key that is used where it was issued: the name in its type is the site's, as of github_token and github.com; or in a command's header, at a site's API.
                 coalesce(starts_with(registrable_domain(place), regexp_match(secret, '^\[secret:([a-z]+)_')[1] || '.')
                          OR (command AND in_header AND regexp_like(place, '(^|\.)api[.-]')), false) AS to_issuer
          FROM known)
),
best AS (
    SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', sink_id, 'at', sink_time))) AS ev
    FROM (SELECT *, max(grade) OVER (PARTITION BY session_id) AS top FROM graded)
    WHERE grade = top AND grade > 0
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, min(top) AS top, min(agent) AS agent, min(secret) AS secret,
           min(source) AS source, min(sink) AS sink, min(place) AS place, array_agg(DISTINCT place) AS places, max(bytes) AS bytes, bool_or(same_secret) AS same_secret, bool_or(same_file) AS same_file,
           bool_or(ev['id'] = sink_id) AS is_sink
    FROM best GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(top) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       coalesce(min(secret), 'credential file') || ' read with ' || min(source) || ', then '
           || CASE WHEN bool_or(same_secret) THEN 'the same secret was sent'
                   WHEN bool_or(same_file) THEN 'that file was sent'
                   WHEN max(top) = 3 THEN 'values of that result were sent'
                   ELSE coalesce(CAST(max(bytes) AS VARCHAR) || ' bytes were sent', 'something was sent') END
           || ' to ' || coalesce(min(place), 'a destination the log does not name') || ' with ' || min(sink) AS message,
       min(secret) AS secret, count(*) FILTER (WHERE is_sink) AS sends, max(bytes) AS largest_bytes,
       -- One place that is allowed must not stand for all.
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) = 1 THEN min(place) END AS destination,
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) > 1 THEN array_sort(array_distinct(flatten(array_agg(places)))) END AS destinations
FROM evidence
GROUP BY session_id
