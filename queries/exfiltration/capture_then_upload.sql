-- id = "capture_then_upload"
-- title = "Screen, clipboard, diff or archive was taken and then sent out"
-- level = "medium"
-- status = "stable"
-- description = """
--   A tool or command took a picture of the screen, the clipboard, a recording, a diff of the working copy, an archive or a dump, and data was sent to a destination
--   new to the session within `within`.
--   high: the sending call names what the capture made (its file), or one command does both. medium: it does not, but sends to a new destination; or it is the dump of a database and goes to a bucket, as backups do. low: it goes to the domain of the user's own address. Nothing when the user named the destination.
--   Pictures of web pages taken by browser tools count only if their file is sent. Internal destinations are left out.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0037", "attack.T1113", "attack.T1115", "attack.T1560", "attack.T1567"]
-- falsepositives = ["bug reports with a screenshot, as asked, where the log holds no prompts"]
-- needs = ["arguments"]
-- helps = ["durations", "prompts", "users"]
-- window = "4h"
-- params = { within = "10 minutes" }
WITH captured AS (
    SELECT call_id, session_id, time, coalesce(time_end, time) AS known_at, concat_ws('/', server, tool) AS source, regexp_like(tool, '^browser|page', 'i') OR regexp_like(server, 'browser|playwright|puppeteer', 'i') AS of_page,
           coalesce(has_capability(capabilities, 'executes') AND regexp_like(arguments, '\b(pg_dump(all)?|mysqldump|mariadb-dump|mongodump|sqlite3\s[^|;"]*\.dump)\b'), false) AS of_database,
           nullif(regexp_replace(coalesce(arguments, ''), '^.*?([\w.-]+\.(png|jpe?g|webp|zip|tar|tgz|gz|7z|dump|sql|bak|patch|diff|mp4|wav|m4a|har|pcap|tar\.gz|bundle))\b.*$', '\1', 'is'), coalesce(arguments, '')) AS file,
           coalesce(has_capability(capabilities, 'executes') AND regexp_like(arguments, '(\||&&|;)[^"]*\b(curl\s[^"]*(-T|-F|-d|--data\S*|--upload-file|--json|-X\s*(POST|PUT))|wget\s[^"]*--(post|body)-(file|data)|scp\s|rsync\s[^"]*:|(nc|ncat|netcat)\s|rclone\s+(copy|sync|move|rcat)|aws\s+s3\s+(cp|mv|sync)|gsutil\s[^"]*\bcp|gcloud\s+storage\s+cp|az\s+storage\s+\w+\s+upload|azcopy\s|mailx?\s+-|mutt\s|sendmail|swaks\s)|\b(curl|wget|nc)\s[^"]*(<\(|\$\(|`)\s*(tar|zip|pg_dump|mysqldump|git\s+(diff|bundle|archive)|xclip|pbpaste)\b'), false) AS both_in_one
    FROM (SELECT call_id, session_id, time, time_end, server, tool, capabilities, event_kind, method, outcome,
                 CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls)
    WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response')
      AND (regexp_like(tool, 'screen_?shot|screen_?capture|capture_?screen|take_?picture|clipboard|record_?(screen|audio)|microphone|webcam|key_?log|export_?(all|database|archive)|create_?(archive|zip|dump)|git_?diff|dump_', 'i')
           OR (has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '\b(screencapture|scrot|gnome-screenshot|grim|import\s+-window|xclip\s[^|;"]*-o|pbpaste|wl-paste|Get-Clipboard|arecord|ffmpeg\s[^|;"]*(avfoundation|x11grab|pulse|dshow)|pg_dump(all)?|mysqldump|mongodump|sqlite3\s[^|;"]*\.dump|git\s+(diff|bundle|archive)\s|tar\s+-?\w*c\w*\s|zip\s+-\w*r\w*\s|7z\s+a\s)')))
),
shell AS (                       -- commands that send, also of tools that are only known to run commands
    SELECT call_id
    FROM calls
    WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND outcome NOT IN ('denied', 'protocol_error', 'cancelled')
      AND session_id IN (SELECT session_id FROM captured) AND command_sends(command_text(arguments))
),
sending AS (                     -- calls of these sessions that send
    SELECT DISTINCT call_id
    FROM (SELECT call_id FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'egress') AND outcome NOT IN ('denied', 'cancelled', 'protocol_error') AND session_id IN (SELECT session_id FROM captured)
          UNION ALL SELECT call_id FROM shell UNION ALL SELECT call_id FROM captured WHERE both_in_one)
),
sink AS (                        -- and the places that they name
    SELECT e.call_id, min(e.session_id) AS session_id, min(e.agent) AS agent, min(e.time) AS time, min(concat_ws('/', e.server, e.tool)) AS sink, bool_or(has_capability(e.capabilities, 'reads_untrusted')) AS reads,
           min(registrable_domain(lower(split_part(coalesce(e.user_email, CASE WHEN strpos(e.user_id, '@') > 0 THEN e.user_id END), '@', 2)))) AS own_domain,
           CASE o.type WHEN 'url' THEN host_of(o.value) ELSE lower(o.value) END AS place
    FROM sending s
    JOIN calls e ON e.call_id = s.call_id
    JOIN observables o ON o.call_id = s.call_id
    WHERE e.outcome NOT IN ('denied', 'cancelled', 'protocol_error') AND o.origin = 'argument' AND o.type IN ('url', 'domain', 'ip', 'email')
      -- What a text mentions is no place that data goes to.
      AND (has_capability(e.capabilities, 'executes') OR NOT is_mention(o.path)) AND NOT coalesce(is_internal_address(o.value), false)
    GROUP BY e.call_id, CASE o.type WHEN 'url' THEN host_of(o.value) ELSE lower(o.value) END
),
sent AS (
    SELECT c.call_id AS source_id, c.session_id, c.time AS source_time, c.source, c.of_page, c.of_database, c.file, c.both_in_one AND e.call_id = c.call_id AS both_in_one,
           e.call_id AS sink_id, e.agent, e.time AS sink_time, e.sink, e.place, coalesce(registrable_domain(CASE WHEN strpos(e.place, '@') > 0 THEN split_part(e.place, '@', 2) ELSE e.place END) = e.own_domain, false) AS own
    FROM captured c
    JOIN sink e ON e.session_id = c.session_id
    WHERE (e.call_id = c.call_id AND c.both_in_one) OR (e.time > c.known_at AND e.time <= c.known_at + CAST($within AS INTERVAL) AND NOT e.reads)
),
earlier AS (                     -- places that the session named before: the first time of each
    SELECT session_id, CASE type WHEN 'url' THEN host_of(value) ELSE lower(value) END AS place, min(time) AS since
    FROM observables
    WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip', 'email') AND NOT is_mention(path) AND session_id IN (SELECT session_id FROM sent)
    GROUP BY session_id, CASE type WHEN 'url' THEN host_of(value) ELSE lower(value) END
),
fresh AS (
    SELECT s.* FROM sent s LEFT JOIN earlier f ON f.session_id = s.session_id AND f.place = s.place
    WHERE f.since IS NULL OR f.since >= s.source_time
),
kept AS (                        -- a picture's file is often named by the result alone
    SELECT call_id, min(regexp_replace(value, '^.*[/\\]', '')) AS file FROM observables
    WHERE type = 'file_path' AND origin = 'result' AND call_id IN (SELECT source_id FROM fresh) GROUP BY call_id
),
new_place AS (
    SELECT s.source_id, s.sink_id, s.place, min(s.session_id) AS session_id, min(s.source_time) AS source_time, min(s.source) AS source, bool_or(s.of_page) AS of_page, bool_or(s.both_in_one) AS both_in_one,
           min(s.agent) AS agent, min(s.sink_time) AS sink_time, min(s.sink) AS sink, bool_and(s.own) AS own,
           -- A dump that goes to a bucket is what a backup does.
           bool_and(s.of_database AND coalesce(regexp_like(x.arguments, '\b(s3|s3a|gs|b2|r2|abfss?|wasbs?|swift)://|blob\.core\.windows\.net', 'i') AND NOT regexp_like(x.arguments, '\b(curl|wget|scp|rsync|nc|mail|sendmail)\s'), false)) AS backup,
           bool_or(coalesce(length(s.file) >= 5 AND strpos(x.arguments, s.file) > 0, false) OR coalesce(length(k.file) >= 5 AND strpos(x.arguments, k.file) > 0, false)) AS same_file
    FROM fresh s
    JOIN calls x ON x.call_id = s.sink_id
    LEFT JOIN kept k ON k.call_id = s.source_id
    LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.sink_time AND strpos(lower(q.text), s.place) > 0
    GROUP BY s.source_id, s.sink_id, s.place
    HAVING count(q.session_id) = 0
),
graded AS (
    SELECT *, CASE WHEN own THEN CASE WHEN same_file OR both_in_one THEN 1 ELSE 0 END WHEN (same_file OR both_in_one) AND backup THEN 2 WHEN same_file OR both_in_one THEN 3 WHEN of_page THEN 0 WHEN regexp_like(sink, 'shell|command|bash|exec', 'i') THEN 0 ELSE 2 END AS grade FROM new_place
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(sink) AS sink, min(place) AS place, array_agg(DISTINCT place) AS places
    FROM (SELECT *, unnest(make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', sink_id, 'at', sink_time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(source) || ' took a capture, diff, archive or dump, then ' || min(sink) || ' sent data to ' || min(place) AS message,
       -- One place that is allowed must not stand for all.
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) = 1 THEN min(place) END AS destination,
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) > 1 THEN array_sort(array_distinct(flatten(array_agg(places)))) END AS destinations
FROM evidence
GROUP BY session_id
