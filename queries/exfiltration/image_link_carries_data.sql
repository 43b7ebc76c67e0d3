-- id = "image_link_carries_data"
-- title = "Image link with data in its address was written or returned"
-- level = "medium"
-- status = "stable"
-- description = """
--   A Markdown or HTML image whose address has a long query stands in what the agent writes, or in a result from outside: whoever shows the text fetches the address and
--   so sends the data, without a click.
--   high: the agent wrote it to a place that shows it (issue, page, chat, mail) and untrusted content was read before. medium: it wrote it elsewhere or nothing untrusted
--   was read. low: it only stands in a result, or the agent wrote it as a result of the session had it, letter by letter: then it carries nothing of the agent's.
--   Badges and images without a query are none.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp06", "owasp.asi02", "atlas.AML.T0077", "atlas.AML.T0086", "attack.T1567"]
-- falsepositives = ["badges and charts that are built from parameters"]
-- needs = ["arguments|results"]
-- helps = ["durations"]
-- window = "4h"
WITH marked AS (
    SELECT call_id, session_id, agent, server, tool, time, time_end, capabilities, unnest(markers)['kind'] AS kind, unnest(markers)['origin'] AS origin
    FROM calls
    WHERE array_length(markers) > 0 AND event_kind = 'call' AND outcome NOT IN ('denied', 'cancelled')
),
seen AS (
    SELECT call_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time, bool_or(origin = 'argument') AS written,
           bool_or(has_capability(capabilities, 'egress')) AS shown, bool_or(has_capability(capabilities, 'reads_untrusted')) AS from_outside
    FROM marked WHERE kind = 'markdown_image_exfil' GROUP BY call_id
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
copied AS (                      -- addresses with a query, all of which a result had before
    SELECT o.call_id
    FROM observables o
    LEFT JOIN observables r ON r.session_id = o.session_id AND r.value = o.value AND r.origin = 'result' AND r.type = 'url' AND r.time < o.time
    WHERE o.origin = 'argument' AND o.type = 'url' AND strpos(o.value, '?') > 0 AND o.call_id IN (SELECT call_id FROM seen WHERE written)
    GROUP BY o.call_id
    HAVING count(DISTINCT o.value) = count(DISTINCT r.value)
),
graded AS (
    SELECT s.*, CASE WHEN s.written AND k.call_id IS NOT NULL THEN 1 WHEN s.written THEN CASE WHEN s.shown AND coalesce(u.since < s.time, false) THEN 3 ELSE 2 END WHEN s.from_outside THEN 1 ELSE 0 END AS grade
    FROM seen s LEFT JOIN untrusted u ON u.session_id = s.session_id LEFT JOIN copied k ON k.call_id = s.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(written) THEN ' wrote an image whose address carries data' ELSE ' returned an image whose address carries data' END AS message,
       count(*) AS images
FROM graded
WHERE grade > 0
GROUP BY session_id
