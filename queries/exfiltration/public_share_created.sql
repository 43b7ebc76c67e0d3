-- id = "public_share_created"
-- title = "A file, folder or page was opened to everybody or to an outsider"
-- level = "medium"
-- status = "stable"
-- description = """
--   A call made something readable for anyone with the link, for the public, or for an account outside the user's own domain.
--   high: public, or an outsider may write or own, and the user named neither the person nor public access while untrusted content was read before. medium: so, but nothing untrusted was read; or an outsider may read.
--   low: the user named the person, spoke of sharing, or wrote in another language than English, of which this cannot be told; or a post or page was published. Making things private, sharing within the own domain and refused calls are left out. Storage policies, gists, repositories that are pushed in public, and snapshots or images handed to another account count too.
--   """
-- tags = ["owasp.mcp10", "owasp.mcp02", "owasp.asi02", "atlas.AML.T0086", "attack.T1567.002", "attack.T1537"]
-- falsepositives = ["publishing that is the agent's work"]
-- needs = ["arguments"]
-- helps = ["durations", "prompts", "users"]
-- window = "24h"
WITH shares AS (
    SELECT call_id, session_id, agent, server, tool, time, arguments, coalesce(user_email, CASE WHEN strpos(user_id, '@') > 0 THEN user_id END) AS user_email,
           -- A post is there to be read.
           regexp_like(tool, 'publish\w*?(post|article|page|story|entry|draft|blog|news\w*|release|comment|status|tweet|video|episode|site)s?$|(post|article|page|story|entry|draft|blog|site)s?[_.-]?publish', 'i') AS post,
           coalesce(regexp_like(arguments, '"(type|scope|audience|visibility|access|link_?access|acl|who|share_?with|general_?access|role|principal|member|entity|predefinedAcl)"\s*:\s*"(anyone|anyoneWithLink|anyone_with_link|public|public-read(-write)?|publicRead|everyone|allUsers|allAuthenticatedUsers|world|anonymous|\*)"|"(public|is_?public|anyone|anonymous)"\s*:\s*true|"Principal\\?"\s*:\s*\\?"\*|"members?"\s*:\s*\[[^\]]*allUsers', 'i')
                    OR (has_capability(capabilities, 'executes') AND regexp_like(arguments, '\baws\s+s3(api)?\s[^|;"]*(--acl\s+public-read|put-public-access-block[^|;"]*false|delete-public-access-block)|\bgsutil\s+[^|;"]*(acl\s+ch\s+-u\s+AllUsers|iam\s+ch\s+allUsers)|\bgh\s+gist\s+create\b[^|;"]*(-p|--public)|\bgh\s+repo\s+(create\b[^|;"]*--public\b[^|;"]*(--source|--push)|create\b[^|;"]*(--source|--push)[^|;"]*--public\b|edit\b[^|;"]*--visibility[=\s]+public)|\bglab\s+repo\s+create\b[^|;"]*--public\b|\bchmod\s+-?\w*\s*777\s+/|\baz\s+storage\s+container\s+set-permission[^|;"]*--public-access|\bgcloud\s+[^|;"]*add-iam-policy-binding\b[^|;"]*(allUsers|allAuthenticatedUsers)'
                        -- A disk, image or database handed to another account.
                        || '|\baws\s+(ec2|rds|docdb|neptune)\s+modify-[\w-]*(snapshot|image)-attribute\b[^|;"]*(--values-to-add|--user-ids|--group-names|--launch-permission|add)')), false) AS public,
           coalesce(regexp_like(arguments, '"role"\s*:\s*"(writer|editor|owner|admin|write|edit|maintain)|"(permission|access)\w*"\s*:\s*"(write|edit|owner|admin)', 'i'), false) AS may_write
    FROM (SELECT call_id, session_id, agent, server, tool, time, user_email, user_id, capabilities, CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response'))
    WHERE (regexp_like(tool, '(^|[_.-])(share|publish|make_?public|invite)|permission|sharing|set_?acl|(create|add|get_?or_?create)_?(public_?)?(share|sharing)?_?link|collaborator|add_?member|visibility|bucket_?policy|create_?gist|^share|iam_?policy', 'i')
           OR (has_capability(capabilities, 'executes') AND regexp_like(arguments, '\b(aws\s+s3|gsutil|gh\s+(gist|repo)|glab\s+repo|az\s+storage|gcloud\s|aws\s+(ec2|rds|docdb|neptune)\s+modify-|chmod\s+-?\w*\s*777)', 'i')))
      AND NOT regexp_like(tool, '^(get|list|search|read|show|check|delete|remove|revoke|unshare|describe)', 'i')
),
aimed AS (
    SELECT s.*, lower(o.value) AS address,
           -- A service account of the project that the call names.
           coalesce(regexp_like(o.value, '[.]iam[.]gserviceaccount[.]com$', 'i') AND array_has(string_to_array(regexp_replace(replace(s.arguments, o.value, ' '), '[^\w-]+', ' ', 'g'), ' '), split_part(split_part(o.value, '@', 2), '.', 1)), false) AS own_service
    FROM shares s LEFT JOIN observables o ON o.call_id = s.call_id AND o.origin = 'argument' AND o.type = 'email'
         AND NOT is_mention(o.path)
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
asked AS (
    SELECT a.call_id, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time, bool_or(a.public) AS public, bool_or(a.post) AS post, bool_or(a.may_write) AS may_write,
           min(a.address) FILTER (WHERE NOT a.own_service AND registrable_domain(split_part(a.address, '@', 2)) <> registrable_domain(lower(split_part(a.user_email, '@', 2)))) AS outsider,
           coalesce(bool_or(u.since < a.time), false) AS after_untrusted,
           coalesce(bool_or(strpos(lower(q.text), a.address) > 0 OR regexp_like(q.text, 'public|anyone|everyone|everybody|publish|share', 'i')), false) AS asked,
           -- No word of English: it may speak of sharing.
           coalesce(bool_or(is_other_language(q.text)), false) AS other_language
    FROM aimed a
    LEFT JOIN untrusted u ON u.session_id = a.session_id
    LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time
    GROUP BY a.call_id
),
graded AS (
    SELECT *, CASE WHEN NOT public AND outsider IS NULL THEN 0 WHEN asked OR other_language OR (post AND outsider IS NULL) THEN 1 WHEN public OR may_write THEN CASE WHEN after_untrusted THEN 3 ELSE 2 END ELSE 2 END AS grade FROM asked
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(public) THEN ' opened something to everybody' ELSE ' shared something with ' || min(outsider) END
           || CASE WHEN bool_or(after_untrusted) THEN ' after untrusted content was read' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT outsider) FILTER (WHERE outsider IS NOT NULL)) AS outsiders, count(*) AS shares
FROM graded
WHERE grade > 0
GROUP BY session_id
