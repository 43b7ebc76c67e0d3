-- One row is one identity under which a server presented itself.
SELECT
    server,
    server_info_name,
    server_info_version,
    mcp_protocol_version,
    transport,
    server_address,
    server_url,
    server_command,
    instructions_hash,
    first_value(instructions) AS instructions,
    first_value(markers) AS markers,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count(*) AS connections
FROM stored.connections
GROUP BY
    server,
    server_info_name,
    server_info_version,
    mcp_protocol_version,
    transport,
    server_address,
    server_url,
    server_command,
    instructions_hash
