-- One row is one alert. `delivery` says of each sink that has been sent it, as a JSON object, whether it is `pending`, `delivered` or `refused`.
WITH latest AS (
    SELECT alert_id, sink, last_value(state ORDER BY step) AS state
    FROM stored.deliveries
    GROUP BY alert_id, sink
),
told AS (
    SELECT alert_id, '{' || string_agg('"' || sink || '":"' || state || '"', ',' ORDER BY sink) || '}' AS delivery
    FROM latest
    GROUP BY alert_id
)
SELECT a.* EXCEPT (delivery), coalesce(t.delivery, '{}') AS delivery
FROM stored.alerts AS a
LEFT JOIN told AS t ON t.alert_id = a.alert_id
