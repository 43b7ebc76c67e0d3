-- id = "data_in_host_labels"
-- title = "Data leaves in the labels of host names"
-- level = "medium"
-- status = "stable"
-- description = """
--   Arguments name hosts whose first labels are long or random: what is looked up at a name server of the attacker's domain carries the data, although no page is fetched.
--   high: many different such labels under one domain in a session, or one and the command sends what it has just read (substitution in the name).
--   medium: a few. low: a single long label. Content networks, clouds and other suffixes that many customers share are left out unless a command builds the name.
--   """
-- tags = ["owasp.mcp10", "owasp.asi02", "atlas.AML.T0086", "attack.T1048", "attack.T1071.004", "attack.T1132.001"]
-- falsepositives = ["hosts of previews and tenants (long generated labels)"]
-- needs = ["arguments"]
-- window = "24h"
-- params = { min_label = 24, few = 3, many = 10 }
WITH hosts AS (
    SELECT call_id, session_id, time, CASE WHEN type = 'url' THEN host_of(value) ELSE lower(value) END AS host
    FROM observables
    WHERE origin = 'argument' AND type IN ('url', 'domain')
      AND regexp_like(value, '(^|[/@.])[A-Za-z0-9_-]{24,63}\.|([A-Za-z0-9]{12,}\.){2,}')
),
labels AS (
    SELECT call_id, session_id, time, registrable_domain(host) AS domain, host, split_part(host, '.', 1) AS label
    FROM hosts
    WHERE NOT is_internal_address(host)
      AND NOT regexp_like(host, '\.(amazonaws\.com|cloudfront\.net|azurewebsites\.net|azureedge\.net|windows\.net|googleusercontent\.com|run\.app|appspot\.com|vercel\.app|netlify\.app|herokuapp\.com|pages\.dev|workers\.dev|github\.io|githubusercontent\.com|fastly\.net|akamai\w*\.net|gitpod\.io|app\.github\.dev|myshopify\.com|sharepoint\.com|okta\.com)$')
),
random AS (
    SELECT * FROM labels
    WHERE length(label) >= $min_label AND entropy(label) >= 3.2 AND NOT regexp_like(label, '^[a-z]+([-_][a-z0-9]+){2,}$') AND regexp_like(label, '[0-9]') OR regexp_like(label, '^[a-z2-7]{32,}$|^[0-9a-f]{24,}$')
),
built AS (                       -- a command that puts what it reads into the name
    SELECT call_id, session_id, time, regexp_replace(text, '^.*?\b(nslookup|dig|host|ping|getent|Resolve-DnsName|curl|wget)\b([^|;&]*).*$', '\1\2', 'is') AS command
    FROM (SELECT call_id, session_id, time, command_text(arguments) AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND outcome NOT IN ('denied', 'cancelled'))
    WHERE regexp_like(text, '\b(nslookup|dig|host|ping|getent\s+hosts|Resolve-DnsName)\b[^|;&"]*(\$\([^)]*\)|`[^`]*`)\.[\w-]+\.[a-z]{2,}|\b(nslookup|dig|host|ping|Resolve-DnsName)\b[^|;&"]*\s\S*(xxd|base64|base32)|\|\s*(xxd|base64|base32|od)\b[^"]*\b(nslookup|dig|host|ping|Resolve-DnsName)\b', 'i')
       -- A variable in a name is mostly the host of a list: it must hold what was read or encoded, a piece of a longer text, or who and where one is.
       OR (regexp_like(text, '\b(nslookup|dig|host|ping|getent\s+hosts|Resolve-DnsName)\b[^|;&"]*(\$\{?(env:)?\w+\b[^\s}]*\}?|%\w+%)\.[\w-]+\.[a-z]{2,}', 'i')
           AND regexp_like(text, '\b(xxd|base64|base32|hexdump|ToBase64String|od\s+-|fold\s+-|split\s+-)|\$\{\w+:\d*:?\d+\}|\$\{\w+:\$|=\s*[''"\\]*(\$\(|`)\s*(cat|whoami|id|hostname|uname|env|printenv|head|tail|type)\b|\$\{?(env:)?(USER|USERNAME|LOGNAME|HOSTNAME|COMPUTERNAME|USERDOMAIN|\w*(TOKEN|SECRET|PASSWORD|API_?KEY|ACCESS_KEY)\w*)\b|%(USERNAME|COMPUTERNAME|USERDOMAIN)%', 'i'))
),
counted AS (
    SELECT session_id, domain, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids, count(DISTINCT label) AS labels, CAST(NULL AS VARCHAR) AS command
    FROM random GROUP BY session_id, domain
    UNION ALL
    SELECT session_id, CAST(NULL AS VARCHAR), min(time), max(time), array_agg(call_id ORDER BY time, call_id), CAST(NULL AS BIGINT), min(command) FROM built GROUP BY session_id
)
SELECT c.session_id, min(a.agent) AS agent, CASE WHEN count(DISTINCT a.server) = 1 THEN min(a.server) END AS server, c.first_seen, c.last_seen, array_slice(array_distinct(first_value(c.call_ids)), 1, 50) AS call_ids,
       CASE WHEN c.command IS NOT NULL OR c.labels >= $many THEN 'high' WHEN c.labels >= $few THEN 'medium' ELSE 'low' END AS level,
       CASE WHEN c.command IS NOT NULL THEN 'a command builds host names of what it reads: ' || left(c.command, 160)
            ELSE CAST(c.labels AS VARCHAR) || ' long random label(s) under ' || c.domain || ' were looked up' END AS message,
       c.domain, c.labels
FROM counted c
JOIN calls a ON a.call_id = c.call_ids[1]
GROUP BY c.session_id, c.domain, c.first_seen, c.last_seen, c.labels, c.command
