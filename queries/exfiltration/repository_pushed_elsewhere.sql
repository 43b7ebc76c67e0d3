-- id = "repository_pushed_elsewhere"
-- title = "A repository was pushed to a remote that only others' text had named, or as a whole to a strange host"
-- level = "medium"
-- status = "test"
-- description = """
--   A command gave a Git repository a further remote, and it, or a later command of the session, pushed there.
--   high: only what others wrote (an issue, a mail, a page) had named the address, and the host is none of the large code hosts. medium: so, and it is one; or everything was pushed (--all, --mirror) to a host that is none.
--   low: the user had named the host. The host in the domain of the user's own address, and internal hosts, are left out. A first push of a new project to its code host is none.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp06", "owasp.asi02", "owasp.asi01", "atlas.AML.T0086", "attack.T1567.001"]
-- falsepositives = ["a mirror or a move to another host that a ticket asks for"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "results", "users"]
-- window = "24h"
-- params = { max_bytes = 16384 }
WITH command AS (
    SELECT call_id, session_id, agent, server, tool, time, registrable_domain(lower(split_part(mailbox, '@', 2))) AS own_domain, text
    FROM (SELECT call_id, session_id, agent, server, tool, time, coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END) AS mailbox, command_text(arguments) AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND regexp_like(arguments, '\bgit\b.*\b(push|remote)\b', 's'))
    WHERE regexp_like(text, '\bgit\s[^|;&"]*\b(push|remote\s+(add|set-url))\s')
),
remote AS (                      -- its name and its host
    SELECT *, found[1] AS name, lower(found[2]) AS host
    FROM (SELECT *, regexp_match(text, '\bgit\s[^|;&"]*\bremote\s+(?:add|set-url)\s+(?:-\S+\s+)*([\w.-]+)\s+[''\\]*(?:(?:https?|ssh|git)://)?(?:[^\s/@]+@)?([\w-]+(?:\.[\w-]+)+)[:/]') AS found FROM command)
    WHERE found IS NOT NULL
),
pushed AS (
    SELECT r.call_id, r.session_id, r.agent, r.server, r.tool, r.time, r.own_domain, r.host, p.call_id AS push_id, p.time AS push_time,
           regexp_like(p.text, '\bpush\s[^|;&"]*--(all|mirror)\b') AS everything,
           regexp_like(r.host, '^(github\.com|gitlab\.com|bitbucket\.org|codeberg\.org|ssh\.dev\.azure\.com|dev\.azure\.com|ssh\.github\.com|git\.sr\.ht|huggingface\.co|hf\.co)$') AS code_host
    FROM remote r
    JOIN command p ON p.session_id = r.session_id
    WHERE p.time >= r.time AND regexp_like(p.text, '\bgit\s[^|;&"]*\bpush\s') AND strpos(regexp_replace(p.text, '^.*?\bpush\s', ' ', 's') || ' ', ' ' || r.name) > 0
      AND NOT is_internal_address(r.host) AND NOT coalesce(registrable_domain(r.host) = r.own_domain, false)
),
named AS (
    SELECT p.call_id, min(p.session_id) AS session_id, min(p.agent) AS agent, min(p.server) AS server, min(p.tool) AS tool, min(p.time) AS time, min(p.host) AS host, min(p.push_id) AS push_id, min(p.push_time) AS push_time,
           bool_or(p.everything) AS everything, bool_or(p.code_host) AS code_host, min(v.source_call_id) AS source_id, min(v.source_time) AS source_time, coalesce(bool_or(v.user_named), false) AS user_named
    FROM pushed p
    LEFT JOIN flows v ON v.sink_call_id = p.call_id AND v.kind = 'value' AND v.first_origin AND has_capability(v.source_capabilities, 'reads_untrusted') AND strpos(lower(v.value), p.host) > 0
    GROUP BY p.call_id
),
graded AS (
    SELECT n.*, CASE WHEN n.user_named OR q.session_id IS NOT NULL THEN 1
                     WHEN n.source_id IS NOT NULL THEN CASE WHEN n.code_host THEN 2 ELSE 3 END
                     WHEN n.everything AND NOT n.code_host THEN 2 ELSE 0 END AS grade
    FROM named n
    LEFT JOIN (SELECT DISTINCT m.call_id, q.session_id FROM named m JOIN prompts q ON q.session_id = m.session_id AND q.time <= m.time AND strpos(lower(q.text), m.host) > 0) q ON q.call_id = n.call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(host) AS host, bool_or(source_id IS NOT NULL) AS by_others
    FROM (SELECT *, unnest(CASE WHEN source_id IS NOT NULL THEN make_array(named_struct('id', source_id, 'at', source_time), named_struct('id', call_id, 'at', time), named_struct('id', push_id, 'at', push_time))
                                ELSE make_array(named_struct('id', call_id, 'at', time), named_struct('id', push_id, 'at', push_time)) END) AS ev
          FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' pushed a repository to ' || min(host) || CASE WHEN bool_or(by_others) THEN ', which only others'' text had named' ELSE ' as a whole' END AS message,
       min(host) AS destination
FROM evidence
GROUP BY session_id
