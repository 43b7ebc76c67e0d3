-- id = "lines_unreadable"
-- title = "A stretch of a log cannot be read"
-- level = "low"
-- status = "test"
-- description = """
--   Several records of an input are no records any more: cut, overwritten or edited by hand. The lines around them are good, so the format is right.
--   medium: min_block unreadable lines in a row, between good ones, or a share of the bytes that is ten times that of the other inputs of its
--   format. low: min_rejects of them, spread. One finding per input. The entity is whose calls stand around the place.
--   A cut last line is what a live file ends with, and is left out.
--   """
-- tags = ["owasp.mcp08", "owasp.asi10", "attack.T1070", "attack.T1565.001"]
-- falsepositives = ["a full disk", "two programs that write to one file", "a newer version of the format"]
-- window = "24h"
-- needs = []
-- params = { min_rejects = 5, min_block = 3, min_share = 0.02 }
WITH bad AS (
    SELECT source_id, source_file, line, reason,
           line - row_number() OVER (PARTITION BY source_id ORDER BY line) AS block, max(line) OVER (PARTITION BY source_id) AS last_bad
    FROM rejects
),
blocks AS (
    SELECT source_id, source_file, min(line) AS from_line, max(line) AS to_line, count(*) AS lines, min(reason) AS reason
    FROM bad GROUP BY source_id, source_file, block
),
inputs AS (
    SELECT source_id, format, lines, rejects, bytes, CAST(bytes_rejected AS DOUBLE) / greatest(bytes, 1) AS share,
           median(CAST(bytes_rejected AS DOUBLE) / greatest(bytes, 1)) OVER (PARTITION BY format) AS usual_share, count(*) OVER (PARTITION BY format) AS inputs_of_format
    FROM sources WHERE format IS NOT NULL AND calls > 0
),
judged AS (
    SELECT b.source_id, b.source_file, i.rejects, i.lines, i.share, i.format, max(b.lines) AS longest, sum(b.lines) AS bad_lines,
           first_value(b.from_line ORDER BY b.lines DESC, b.from_line) AS from_line, first_value(b.to_line ORDER BY b.lines DESC, b.from_line) AS to_line,
           first_value(b.reason ORDER BY b.lines DESC, b.from_line) AS reason,
           i.share >= $min_share AND i.inputs_of_format >= 3 AND i.share >= 10 * i.usual_share AS many
    FROM blocks b JOIN inputs i ON i.source_id = b.source_id
    WHERE b.to_line < i.lines                    -- the last line may still grow
    GROUP BY b.source_id, b.source_file, i.rejects, i.lines, i.share, i.format, i.inputs_of_format, i.usual_share
    HAVING max(b.lines) >= $min_block OR sum(b.lines) >= $min_rejects
),
around AS (
    SELECT j.source_id, c.agent, c.server, c.session_id, c.time, c.call_id,
           row_number() OVER (PARTITION BY j.source_id, c.source_line < j.from_line ORDER BY abs(c.source_line - j.from_line), c.call_id) AS nth,
           c.source_line < j.from_line AS is_before
    FROM judged j JOIN calls c ON c.source_file = j.source_file
    WHERE c.source_line < j.from_line OR c.source_line > j.to_line
)
SELECT CASE WHEN count(DISTINCT a.agent) = 1 THEN min(a.agent) END AS agent, CASE WHEN count(DISTINCT a.server) = 1 THEN min(a.server) END AS server, min(a.time) AS first_seen, max(a.time) AS last_seen,
       array_agg(a.call_id ORDER BY a.time, a.call_id) AS call_ids,
       CASE WHEN j.many OR (j.longest >= $min_block AND bool_or(a.is_before) AND bool_or(NOT a.is_before)) THEN 'medium' ELSE 'low' END AS level,
       CAST(j.bad_lines AS VARCHAR) || ' of ' || CAST(j.lines AS VARCHAR) || ' records of ' || j.source_file || ' cannot be read'
           || CASE WHEN j.longest > 1 THEN ', ' || CAST(j.longest AS VARCHAR) || ' in a row from line ' || CAST(j.from_line AS VARCHAR) ELSE '' END || ' (' || j.reason || ')' AS message,
       j.source_file, j.bad_lines AS rejects, j.longest, j.from_line, j.reason, j.share
FROM judged j JOIN around a ON a.source_id = j.source_id
WHERE a.nth <= 3
GROUP BY j.source_id, j.source_file, j.bad_lines, j.lines, j.longest, j.from_line, j.reason, j.share, j.many
