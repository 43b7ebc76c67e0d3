-- One row is one session. In a session with several agents, clients or users the first in the alphabet is shown.
-- `bytes_out` went to the servers (arguments), `bytes_in` came back (results).
SELECT
    c.session_id,
    c.agent,
    c.client_name,
    c.user_id,
    c.start_time,
    c.end_time,
    c.calls,
    c.errors,
    c.denied,
    c.bytes_in,
    c.bytes_out,
    c.servers,
    c.tools,
    coalesce(o.destinations, 0) AS destinations
FROM (
    SELECT
        session_id,
        min(agent) AS agent,
        min(client_name) AS client_name,
        min(user_id) AS user_id,
        min(time) AS start_time,
        max(coalesce(time_end, time)) AS end_time,
        count(*) FILTER (WHERE event_kind = 'call') AS calls,
        count(*) FILTER (WHERE outcome IN ('tool_error', 'protocol_error', 'transport_error', 'timeout')) AS errors,
        count(*) FILTER (WHERE outcome = 'denied') AS denied,
        sum(result_bytes) AS bytes_in,
        sum(arguments_bytes) AS bytes_out,
        array_agg(DISTINCT server ORDER BY server) FILTER (WHERE server IS NOT NULL) AS servers,
        array_agg(DISTINCT tool ORDER BY tool) FILTER (WHERE tool IS NOT NULL) AS tools
    FROM stored.calls
    WHERE session_id IS NOT NULL
    GROUP BY session_id
) AS c
LEFT JOIN (
    SELECT
        session_id,
        count(DISTINCT CASE WHEN type = 'url' THEN host_of(value) ELSE value END) AS destinations
    FROM stored.observables
    WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip')
    GROUP BY session_id
) AS o ON o.session_id = c.session_id
