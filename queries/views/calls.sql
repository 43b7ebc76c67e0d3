-- One row is one call: every stored column, and the text of the result, which is computed only where it is asked for.
SELECT *, result_text(result) AS result_text
FROM stored.calls
