-- What DuckDB is asked to do beside `calltrail ingest`: read the generated capture, pair requests with responses, hash the
-- arguments, write one Parquet file at the same zstd level. No secrets, no observables, no lake: the bare job.
COPY (
    WITH message AS (
        SELECT ts, session_id, agent, "user", server, direction, message.id AS id, message.method AS method,
               message.params AS params, message.result AS result, message.error AS error
        FROM read_ndjson('{capture}', maximum_object_size = 67108864, columns = {
            ts: 'TIMESTAMP', session_id: 'VARCHAR', agent: 'VARCHAR', "user": 'VARCHAR', server: 'VARCHAR',
            direction: 'VARCHAR',
            message: 'STRUCT(id JSON, method VARCHAR, params STRUCT(name VARCHAR, arguments JSON), result JSON, error JSON)'
        })
    )
    SELECT request.ts AS time, response.ts AS time_end, request.session_id, request.agent, request."user", request.server,
           request.direction, request.id, request.method, request.params.name AS tool,
           request.params.arguments AS arguments, sha256(request.params.arguments::VARCHAR) AS arguments_hash,
           response.result AS result, response.error AS error
    FROM message AS request
    LEFT JOIN message AS response
        ON response.session_id = request.session_id AND response.server = request.server AND response.id = request.id
       AND response.direction <> request.direction AND response.method IS NULL
    WHERE request.method IS NOT NULL
) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {level});
