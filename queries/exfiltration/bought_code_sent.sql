-- id = "bought_code_sent"
-- title = "Code of a gift card or voucher was bought and sent on"
-- level = "medium"
-- status = "test"
-- description = """
--   A code out of the result of a purchase or of issuing a gift card, voucher or prepaid card stands in what a tool sends out afterwards: whoever has the code has the money, and it cannot be called back.
--   high: the log holds the user's requests, none of them speaks of such a thing, and untrusted content was read before the purchase. medium: so, but the log holds no requests, or nothing untrusted was read. low: the user spoke of it.
--   Answers inside the shop itself and numbers of orders in the shop's own words are left out where the purchase names no card, voucher or credit. Needs payloads.
--   """
-- tags = ["owasp.mcp02", "owasp.mcp06", "owasp.asi02", "atlas.AML.T0048.000", "atlas.AML.T0086", "attack.T1657"]
-- falsepositives = ["shops whose agents send customers the cards that they bought (low or medium)"]
-- needs = ["arguments", "results"]
-- helps = ["durations", "prompts"]
-- window = "24h"
WITH sent AS (
    SELECT f.session_id, f.sink_call_id, min(f.agent) AS agent, min(f.time) AS time, min(f.source_call_id) AS source_call_id, min(f.source_time) AS source_time, min(concat_ws('/', f.source_server, f.source_tool)) AS source,
           min(concat_ws('/', f.sink_server, f.sink_tool)) AS sink, count(DISTINCT f.value_hash) AS codes, min(f.destination) AS destination
    FROM flows f
    JOIN calls s ON s.call_id = f.source_call_id
    JOIN calls k ON k.call_id = f.sink_call_id
    WHERE f.kind = 'value' AND NOT coalesce(f.user_named, false) AND has_capability(f.source_capabilities, 'pays')
      AND has_capability(f.sink_capabilities, 'egress') AND NOT has_capability(f.sink_capabilities, 'pays') AND f.sink_server <> f.source_server
      -- A code: letters and digits, or digits in groups, and no address, path or time.
      AND regexp_like(f.value, '^[A-Za-z0-9]{3,}([ -]?[A-Za-z0-9]{2,}){1,7}$') AND regexp_like(f.value, '\d.*\d')
      AND regexp_like(concat_ws(' ', s.tool, s.arguments), 'gift.?card|voucher|prepaid|pre-paid|store.?credit|top.?up.?card|itunes|gift.?code', 'i')
      AND k.outcome IN ('success', 'unknown', 'no_response')
    GROUP BY f.session_id, f.sink_call_id
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
asked AS (
    SELECT s.session_id, s.sink_call_id, min(s.agent) AS agent, min(s.time) AS time, min(s.source_call_id) AS source_call_id, min(s.source_time) AS source_time, min(s.source) AS source, min(s.sink) AS sink,
           max(s.codes) AS codes, min(s.destination) AS destination, count(q.session_id) AS prompts, coalesce(bool_or(u.since < s.source_time), false) AS tainted,
           coalesce(bool_or(regexp_like(q.text, 'gift|voucher|prepaid|credit|card|coupon|code|gutschein|carte cadeau|tarjeta|cartão|礼品|充值', 'i') OR is_other_language(q.text)), false) AS speaks
    FROM sent s
    LEFT JOIN untrusted u ON u.session_id = s.session_id
    LEFT JOIN prompts q ON q.session_id = s.session_id AND q.time <= s.time
    GROUP BY s.session_id, s.sink_call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(source) AS source, min(sink) AS sink, max(codes) AS codes, min(destination) AS destination
    FROM (SELECT *, CASE WHEN speaks THEN 1 WHEN prompts > 0 AND tainted THEN 3 ELSE 2 END AS grade,
                 unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev
          FROM asked)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       CAST(max(codes) AS VARCHAR) || ' codes that ' || min(source) || ' returned went out with ' || min(sink) || coalesce(' to ' || min(destination), '') AS message,
       min(destination) AS destination
FROM evidence
GROUP BY session_id
