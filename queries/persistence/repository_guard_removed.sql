-- id = "repository_guard_removed"
-- title = "Branch protection, required reviews or scanning were switched off"
-- level = "high"
-- status = "stable"
-- description = """
--   A call removed what keeps unreviewed or dangerous code out of a repository or account: branch protection and rule sets, required
--   reviews and checks, secret scanning, code owners, signed commits, or it made a private repository public.
--   high: switched off or removed. medium: the protection was changed and the log does not say how. low: the attempt failed.
--   One level less when the user spoke of the protection. Switching protection on is no finding.
--   """
-- tags = ["owasp.mcp02", "owasp.asi02", "owasp.asi03", "atlas.AML.T0081", "atlas.AML.T0107", "attack.T1562.001", "attack.T1195.001"]
-- falsepositives = ["moving a repository to rule sets", "administration on the user's request, where the log holds no prompts"]
-- needs = []
-- helps = ["arguments", "prompts"]
-- window = "1h"
WITH changed AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_like(tool, '(^|[_.-])(delete|remove|disable|dismiss|drop|bypass|unprotect)', 'i')
               OR coalesce(regexp_like(arguments, '"(enforce_admins|required_signatures|required_status_checks|required_pull_request_reviews|require_code_owner_reviews|dismiss_stale_reviews|secret_scanning|push_protection|advanced_security|enabled|protected|active)"\s*:\s*(false|null|"(disabled|off|evaluate)"|\{\s*"(status|enabled)"\s*:\s*("disabled"|false))'
                                             || '|"(allow_force_pushes|allow_deletions|bypass\w*)"\s*:\s*(true|\{\s*"enabled"\s*:\s*true)|"(private)"\s*:\s*false|"visibility"\s*:\s*"public"|"enforcement"\s*:\s*"(disabled|evaluate)"'
                                             || '|"required_approving_review_count"\s*:\s*0\b', 'i'), false)
               OR (has_capability(capabilities, 'executes') AND NOT regexp_like(arguments, 'protection[^|;&]*-X\s*PUT|-X\s*PUT[^|;&]*protection')) AS off
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled'))
    WHERE ((regexp_like(tool, '(branch|tag)_?protection|protected_?branch|(repo(sitory)?|branch)_?ruleset|required_?(review|check|status)|secret_?scanning|push_?protection|code_?scanning|unprotect|repo(sitory)?_?visibility', 'i')
            AND NOT regexp_like(tool, '^(get|list|show|read|search|view|describe)', 'i'))
           OR (regexp_like(tool, '(update|edit|patch)_?(repo|repository|project)s?$', 'i')
               AND regexp_like(arguments, '"private"\s*:\s*false|"visibility"\s*:\s*"public"|secret_scanning|push_protection|advanced_security'))
           OR (has_capability(capabilities, 'executes')
               AND regexp_like(arguments, '\bgh\s+api\b[^|;&]*(protection|rulesets|required_(signatures|status_checks|pull_request_reviews))[^|;&]*(-X\s*(DELETE|PUT|PATCH)|--method\s+(DELETE|PUT|PATCH))'
                   || '|\bgh\s+api\b[^|;&]*(-X\s*(DELETE|PUT|PATCH)|--method\s+(DELETE|PUT|PATCH))[^|;&]*(protection|rulesets|required_(signatures|status_checks|pull_request_reviews))'
                   || '|\bgh\s+repo\s+edit\b[^|;&]*--visibility[= ]public|\bgh\s+ruleset\s+delete\b|\bglab\s+api\b[^|;&]*(-X|--method)\s*DELETE[^|;&]*protected_branches')))
),
graded AS (
    SELECT c.call_id, min(c.session_id) AS session_id, min(c.agent) AS agent, min(c.server) AS server, min(c.tool) AS tool, min(c.time) AS time, bool_or(c.off) AS off,
           CASE WHEN min(c.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1 WHEN bool_or(c.off) THEN 3 ELSE 2 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM changed c
    LEFT JOIN prompts q ON q.session_id = c.session_id AND q.time <= c.time
         AND regexp_like(q.text, 'protect|rule ?sets?|required (review|check)|secret scanning|public|visibility', 'i')
    GROUP BY c.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(off) THEN ' switched a protection of a repository off' ELSE ' changed the protection of a repository' END AS message,
       count(*) AS changes
FROM graded
WHERE grade > 0
GROUP BY session_id
