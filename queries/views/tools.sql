-- One row is one distinct definition of one tool as a server offered it. A tool with two rows has changed.
SELECT
    server,
    tool,
    first_value(description) AS description,
    first_value(input_schema) AS input_schema,
    first_value(annotations) AS annotations,
    definition_hash,
    first_value(capabilities) AS capabilities,
    first_value(markers) AS markers,
    name_only,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count(*) AS sightings
FROM stored.tool_definitions
GROUP BY server, tool, definition_hash, name_only
