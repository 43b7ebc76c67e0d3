-- id = "history_rewritten"
-- title = "Shared Git history was overwritten or removed"
-- level = "medium"
-- status = "stable"
-- description = """
--   A forced push, the deletion of a remote branch or tag, or a rewriting of all commits: work of others can be lost, and traces of a change vanish.
--   high: a main or release branch is named, all branches are pushed over, or reflogs are expired together with it.
--   medium: another branch is pushed over without lease. low: with lease, a branch that the agent pushed earlier in the session, a deleted
--   feature branch, a branch under its old name, or the attempt failed.
--   One level less when the user spoke of it. A reset of the working copy destroys nothing shared and is left out.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "atlas.AML.T0101", "attack.T1485", "attack.T1070"]
-- falsepositives = ["rebasing of one's own feature branch (low)"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "4h"
-- params = { max_bytes = 65536 }
WITH pushes AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           coalesce(regexp_like(arguments, '\bgit\s+[^|;&"]*push\b', 'i'), false) AS pushes, coalesce(arguments, '') AS text,
           coalesce(regexp_like(arguments, '"force\w*"\s*:\s*true', 'i'), false) AS forced,
           -- Only removes a branch or tag, and pushes nothing over another.
           coalesce(regexp_like(arguments, '\bgit\s+[^|;&"]*push\b[^|;&"]*(\s(--delete|-d)\b|\s:[\w/.-]+)', 'i')
                    AND NOT regexp_like(arguments, '\bgit\s+[^|;&"]*push\b[^|;&"]*(\s(-\w*f\w*|--force\S*|--mirror|--prune)(\s|["\\]|$)|\s\+[\w/.-]+)|filter-|\bbfg\b|reflog'), false) AS only_deletes,
           CASE WHEN NOT has_capability(capabilities, 'executes')
                THEN (regexp_like(tool, '(^|[_.-])(delete|remove)_?(remote_?)?(branch|tag|ref)s?$|^(delete|remove)(Branch|Tag|Ref)', 'i')
                      OR (regexp_like(tool, 'push|update_?ref', 'i') AND regexp_like(arguments, '"force\w*"\s*:\s*true', 'i')))
                ELSE regexp_like(arguments, '\bgit\s+[^|;&"]*push\b[^|;&"]*(\s(-\w*f\w*|--force(-with-lease|-if-includes)?(=\S+)?|--mirror|--delete|-d|--prune)\b|\s\+[\w/.-]+|\s:[\w/.-]+)'
                    || '|\bgit\s+filter-(branch|repo)\b|\bbfg\b[^|;&"]*--delete|\bgit\s+reflog\s+expire\b[^|;&"]*--all|\bgh\s+api\b[^|;&"]*(-X\s*DELETE|--method\s+DELETE)[^|;&"]*/git/refs|\bgh\s+repo\s+delete\b') END AS rewrites
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, arguments_bytes,
                 CASE WHEN arguments_bytes <= $max_bytes AND has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled'))
    WHERE ((has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND regexp_like(arguments, '\bgit\s+[^|;&"]*push\b|\bgit\s+filter-|\bgit\s+reflog\s+expire|\bbfg\b|\bgh\s+(api|repo)\b', 'i'))
           OR regexp_like(tool, 'push|(delete|remove)_?(remote_?)?(branch|tag|ref)s?$|update_?ref', 'i'))
),
judged AS (
    SELECT *, regexp_like(text, '(\s|[/:+"''])(main|master|trunk|develop|production|prod|release[\w./-]*|stable)("|''|\s|\\|$)|--mirror|--all\b|filter-(branch|repo)|\bbfg\b|reflog\s+expire|gh\s+repo\s+delete', 'i') AS shared,
           regexp_like(text, '--force-with-lease|--force-if-includes') AS leased,
           -- Branches that the session itself had pushed before.
           coalesce(lag(CASE WHEN pushes AND NOT rewrites THEN time END) IGNORE NULLS OVER (PARTITION BY session_id ORDER BY time, call_id) IS NOT NULL, false) AS own
    FROM pushes
),
graded AS (
    SELECT j.call_id, min(j.session_id) AS session_id, min(j.agent) AS agent, min(j.server) AS server, min(j.tool) AS tool, min(j.time) AS time, bool_or(j.shared) AS shared,
           regexp_replace(min(j.text), '^.*?(\bgit\s[^|;&"]*(push|filter-\w+|reflog)[^|;&"]*|\bgh\s[^|;&"]*).*$', '\1', 'is') AS what,
           CASE WHEN min(j.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                -- Under its old name, after it got a new one.
                WHEN bool_and(j.only_deletes AND regexp_like(j.text, '\bgit\s+branch\s+(-[mM]|--move)\s')) THEN 1
                WHEN bool_or(j.shared) AND NOT bool_or(j.leased) THEN 3
                WHEN bool_or(j.leased) OR bool_or(j.own) OR NOT bool_or(j.pushes OR j.forced) OR bool_and(j.only_deletes) THEN 1 ELSE 2 END
           - CASE WHEN count(q.session_id) = 0 THEN 0
                  -- The user spoke of the whole history, not only of force.
                  WHEN bool_or(regexp_like(q.text, '\b(whole|entire|full|complete|git)\s+history\b|\bfilter-(repo|branch)\b|\b(rewrite|purge|scrub|clean) (the |our |my )?(\w+ )?history\b', 'i')) THEN 2
                  ELSE 1 END AS grade
    FROM judged j
    LEFT JOIN prompts q ON q.session_id = j.session_id AND q.time <= j.time
         AND regexp_like(q.text, '\b(force|rebase|squash|amend|renam\w+|rewrite|filter|purge|history|delete .*(branch|tag)|clean ?up .*branch\w*)\b', 'i')
    WHERE j.rewrites
    GROUP BY j.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' overwrote or removed ' || CASE WHEN bool_or(shared) THEN 'a main branch or all history: ' ELSE 'a shared branch or tag: ' END
           || left(min(what), 160) AS message,
       array_sort(array_agg(DISTINCT left(what, 300))) AS commands
FROM graded
WHERE grade > 0
GROUP BY session_id
