-- id = "memory_poisoned"
-- title = "Content that others wrote went into an agent's memory"
-- level = "medium"
-- status = "test"
-- description = """
--   A piece of an untrusted result (page, mail, issue, ticket) was written into a memory, knowledge graph or vector store, where later sessions will take it for the agent's own knowledge.
--   high: the written text speaks to a model (markers), or tells what to do from now on. medium: a longer piece. low: a single value, or the user asked to remember it.
--   Notes and documents of people are no memory. What the agent writes in its own words is not seen.
--   """
-- tags = ["owasp.mcp06", "owasp.asi06", "atlas.AML.T0080.000", "atlas.AML.T0070", "attack.T1565.001"]
-- falsepositives = ["research agents whose memory is meant to hold what they read"]
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
-- window = "24h"
WITH flowed AS (
    SELECT session_id, sink_call_id, min(agent) AS agent, min(time) AS time, min(sink_server) AS server, min(sink_tool) AS tool, min(source_call_id) AS source_call_id, min(source_time) AS source_time,
           min(concat_ws('/', source_server, source_tool)) AS source, max(CASE kind WHEN 'content' THEN bytes ELSE 0 END) AS bytes, coalesce(bool_or(user_named), false) AS user_named
    FROM flows
    WHERE kind IN ('content', 'value', 'secret') AND array_has_any(source_capabilities, make_array('reads_untrusted')) AND NOT array_has_any(sink_capabilities, make_array('reads_private', 'reads_untrusted'))
      AND (regexp_like(sink_tool, '(^|[_.-])(memor(y|ies|ize)|remember|observations?|entit(y|ies)|relations?|knowledge|vectors?|embeddings?|upsert|recall|learn)([_.-]|$)|[a-z](Memory|Memories|Observation|Entities|Vector|Knowledge)', 'i')
           OR regexp_like(sink_server, 'memory|mem0|knowledge|vector|pinecone|chroma|qdrant|weaviate|milvus', 'i'))
    GROUP BY session_id, sink_call_id
),
graded AS (
    SELECT f.session_id, f.sink_call_id, min(f.agent) AS agent, min(f.time) AS time, min(f.server) AS server, min(f.tool) AS tool, min(f.source_call_id) AS source_call_id, min(f.source_time) AS source_time, min(f.source) AS source, max(f.bytes) AS bytes,
           CASE WHEN bool_or(has_marker(c.markers, 'override_phrase', 'argument') OR has_marker(c.markers, 'pseudo_tag', 'argument') OR has_marker(c.markers, 'chat_template', 'argument') OR has_marker(c.markers, 'hidden_unicode', 'argument')
                             OR regexp_like(c.arguments, '\b(from now on|always|in (all|every|any) (future )?(session|conversation|case)|whenever (you|the user|asked)|never (tell|mention|ask|warn)|expires?\W{1,4}never|priority\W{1,4}(high|max))\b', 'i')) THEN 3
                WHEN max(f.bytes) > 0 THEN 2 ELSE 1 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM flowed f
    JOIN calls c ON c.call_id = f.sink_call_id
    LEFT JOIN prompts q ON q.session_id = f.session_id AND q.time <= f.time AND regexp_like(q.text, '\b(remember|memor\w+|knowledge|store|save|keep|note|index|ingest|learn)\b', 'i')
    WHERE c.outcome IN ('success', 'unknown', 'no_response')
    GROUP BY f.session_id, f.sink_call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(source) AS source, max(bytes) AS bytes
    FROM (SELECT *, unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' remembers what ' || min(source) || ' returned' || CASE max(grade) WHEN 3 THEN ', which tells a model what to do' ELSE '' END AS message, max(bytes) AS bytes
FROM evidence
GROUP BY session_id
