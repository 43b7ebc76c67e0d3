-- id = "content_sent_encoded"
-- title = "What a result held is sent out in another encoding"
-- level = "high"
-- status = "test"
-- description = """
--   Content of an earlier result stands in an outgoing argument as Base64, hex or percent-encoding: somebody takes care that it is not recognised.
--   high: the source is private or it is a secret, and it goes to an outside destination. medium: the source is private and the log shows no destination, or the source is not private and the destination was
--   new in the session. low: otherwise.
--   Percent-encoding of a short query is normal: it counts from `min_url_bytes`. Attachments that a result already held encoded, and internal destinations, are left out.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "atlas.AML.T0068", "attack.T1132.001", "attack.T1027", "attack.T1567"]
-- falsepositives = ["uploads by an interface that wants Base64 (files of a code host)"]
-- needs = ["arguments", "results"]
-- window = "24h"
-- params = { min_bytes = 40, min_url_bytes = 160 }
WITH encoded AS (
    SELECT session_id, agent, time, source_time, source_call_id, sink_call_id, concat_ws('/', source_server, source_tool) AS source, concat_ws('/', sink_server, sink_tool) AS sink, encoding, destination, bytes,
           kind = 'secret' OR array_has_any(source_capabilities, make_array('reads_private', 'credentials')) AS private, user_named, source_server = sink_server AS same_server,
           has_capability(sink_capabilities, 'executes') AS command
    FROM flows
    WHERE kind IN ('content', 'secret') AND encoding IN ('base64', 'hex', 'url', 'reversed') AND (bytes >= $min_bytes OR kind = 'secret') AND (encoding <> 'url' OR bytes >= $min_url_bytes OR kind = 'secret')
      AND (array_has_any(sink_capabilities, make_array('egress', 'reads_untrusted', 'executes'))
           -- Nothing is known of the tool but that it is given an address and this.
           OR (destination IS NOT NULL AND coalesce(array_length(sink_capabilities), 0) = 0))
),
graded AS (
    SELECT *, CASE WHEN coalesce(user_named, false) OR (destination IS NOT NULL AND is_internal_address(destination)) THEN 0
                   WHEN private AND destination IS NOT NULL THEN 3
                   WHEN private AND NOT command AND NOT same_server THEN 2
                   WHEN destination IS NOT NULL THEN 2
                   WHEN NOT command THEN 1 ELSE 0 END AS grade
    FROM encoded
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(sink) AS sink, min(destination) AS destination, array_agg(DISTINCT destination) AS places, min(encoding) AS encoding, max(bytes) AS bytes
    FROM (SELECT *, unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(max(bytes) AS VARCHAR) || ' bytes that ' || min(source) || ' returned went out as ' || min(encoding) || ' with ' || min(sink) || coalesce(' to ' || min(destination), '') AS message,
       min(encoding) AS encoding, max(bytes) AS bytes,
       -- One place that is allowed must not stand for all.
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) = 1 THEN min(destination) END AS destination,
       CASE WHEN array_length(array_distinct(flatten(array_agg(places)))) > 1 THEN array_sort(array_distinct(flatten(array_agg(places)))) END AS destinations
FROM evidence
GROUP BY session_id
