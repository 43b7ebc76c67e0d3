-- One row is one call that was refused in words: by an error, or by a short answer that begins with them, of a server that does not mark its errors.
SELECT call_id, outcome, words, by_person, by_policy
FROM (SELECT call_id, outcome, words,
             outcome NOT IN ('success', 'unknown')
                 AND regexp_like(words, '\b(user|human|person|operator|reviewer)[,:]? (has |have )?(rejected|denied|declined|refused|did( not|n.t) (want|approve|allow)|does( not|n.t) want)|\b(rejected|denied|declined|refused) by (the )?(user|human|operator|reviewer)\b|user (rejection|denial)', 'i') AS by_person,
             -- What is `denied` or `cancelled` needs no words.
             CASE WHEN outcome IN ('tool_error', 'protocol_error') THEN says_denied(words) WHEN outcome IN ('success', 'unknown') THEN begins_denied(words) ELSE false END AS by_policy
      FROM (SELECT call_id, outcome, concat_ws(' ', error_message, left(result_text(result), 400)) AS words
            FROM stored.calls
            WHERE event_kind = 'call'
              -- By itself, so that no other result is unpacked.
              AND (outcome IN ('tool_error', 'protocol_error', 'denied', 'cancelled') OR (outcome IN ('success', 'unknown') AND result_bytes <= 600))
              -- Words without which begins_denied finds nothing: cheaper than to read the JSON of each short result.
              AND (outcome NOT IN ('success', 'unknown')
                   OR regexp_like(lower(result), '401|403|authori|denied|eacces|eperm|forbidden|permi|insufficient|blocked|rejected|refused|prohibited|disabled|outside|allow|access|approval|privilege|right'))))
WHERE by_person OR by_policy
