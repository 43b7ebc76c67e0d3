-- id = "traffic_redirected"
-- title = "Names, certificates, proxy, mail or package source were pointed elsewhere"
-- level = "medium"
-- status = "test"
-- description = """
--   A call made a machine or a domain believe or ask somebody else: a public address in the hosts file, another resolver, a certificate authority to trust, a proxy for all programs, an index that
--   packages come from for a whole user or machine, another host that Git asks in place of one (insteadOf), or the mail and name servers (MX, NS) of a domain.
--   high: only content that others wrote had named the place. medium: nobody had. low: the user spoke of it, or the attempt failed.
--   Places in the own network, the public indices and their usual mirrors, settings of a single project, and installing a distribution's own certificates are left out.
--   """
-- tags = ["owasp.mcp04", "owasp.mcp07", "owasp.asi04", "owasp.asi02", "atlas.AML.T0081", "attack.T1557", "attack.T1195.001", "attack.T1553.004", "attack.T1565"]
-- falsepositives = ["setting up a machine for a company's proxy, certificate or package index, where the log holds no prompts"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "results"]
-- window = "4h"
-- params = { max_bytes = 65536, indices = ["registry.npmjs.org", "registry.yarnpkg.com", "registry.npmmirror.com", "npm.pkg.github.com", "pypi.org", "files.pythonhosted.org", "test.pypi.org", "pypi.tuna.tsinghua.edu.cn", "mirrors.aliyun.com", "download.pytorch.org", "proxy.golang.org", "goproxy.io", "goproxy.cn", "index.crates.io", "rubygems.org", "repo.maven.apache.org", "jfrog.io", "pkgs.dev.azure.com", "amazonaws.com", "pkg.dev", "cloudsmith.io", "gitlab.com", "gemfury.com"] }
WITH changed AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           CASE WHEN regexp_like(text, '((>>?\s*|\btee\s+(-a\s+)?|\bsed\s+-i[^|;&]*\s)[''"\\]*|"\w*path"\s*:\s*")(/etc/hosts|C:[/\\]+Windows[/\\]+System32[/\\]+drivers[/\\]+etc[/\\]+hosts)\b|\bAdd-Content\b[^|;&]*etc[/\\]+hosts\b', 'i') THEN 'hosts'
                WHEN regexp_like(text, '(>>?\s*|\btee\s+(-a\s+)?)[''"\\]*/etc/resolv\.conf|\bresolvectl\s+dns\s|\bnetworksetup\s+-setdnsservers\s|\bSet-DnsClientServerAddress\b|"\w*path"\s*:\s*"/etc/(resolv\.conf|systemd/resolved)', 'i') THEN 'resolver'
                WHEN regexp_like(text, '\b(cp|mv|install|curl|wget|tee)\s[^"]*/(ca-certificates|anchors|trusted-certificates|source/anchors)\b|\btrust\s+anchor\s+(--store\s+)?\S|\bsecurity\s+add-trusted-cert\b|\bcertutil(\.exe)?\s+[^|;&"]*-addstore\s+[^|;&"]*root|\bImport-Certificate\b[^|;&"]*\\Root\b', 'i') THEN 'certificate'
                WHEN regexp_like(text, '\b(npm|pnpm|yarn)\s+config\s+set\s+[^|;&"]*(https?-)?proxy[\s=]|\bgit\s+config\s+--(global|system)\s+https?\.(\S+\.)?proxy\s+\S|\bgsettings\s+set\s+org\.gnome\.system\.proxy|\bnetworksetup\s+-set(secure)?webproxy\s|\bnetsh\s+winhttp\s+set\s+proxy|\bProxyServer\b[^|;&"]*https?:|\bdefaultProxy\b', 'i') THEN 'proxy'
                WHEN regexp_like(text, '\b(npm|pnpm)\s+(config\s+)?set\s+(-g\s+|--global\s+|--location[=\s]\S+\s+)?registry[\s=]|\byarn\s+config\s+set\s+(-H\s+|--home\s+)?(npmRegistryServer|registry)\s|\bpip3?\s+config\s+(--\S+\s+)*set\s+\S*index-url\s|\bgo\s+env\s+-w\s+GOPROXY=|\bgem\s+sources\s+[^|;&"]*(-a|--add)\s'
                                        || '|(>>?\s*|\btee\s+(-a\s+)?)[''"\\]*(~|\$HOME|/home/[^/\s]+|/Users/[^/\s]+|/root|/etc)/(\.?config/)?(\.?pip/)?(\.npmrc|npmrc|\.yarnrc(\.yml)?|pip\.conf|\.pip\.conf)\b|"\w*(path|file|file_?name)"\s*:\s*"(~|/home/[^/"]+|/Users/[^/"]+|/root|/etc|[A-Z]:[/\\]+Users[/\\]+[^/\\"]+)[/\\]+(\.?config[/\\]+)?(\.?pip[/\\]+)?(\.npmrc|npmrc|\.yarnrc(\.yml)?|pip\.(conf|ini))"', 'i')
                     AND regexp_like(text, 'registry|index[-_]?url|GOPROXY|RegistryServer|\bgem\s', 'i') THEN 'packages'
                -- Whoever asks for the one gets the other.
                WHEN lower(leads[1]) <> lower(leads[2]) THEN 'git'
                WHEN regexp_like(text, '\\*"Type\\*"\s*:\s*\\*"(MX|NS)\\*"', 'i') AND regexp_like(concat_ws(' ', tool, text), 'change-resource-record-sets|(create|update|upsert|set|edit|put|add|change)_?\w*(dns|record|zone)', 'i') THEN 'mail or name servers'
                WHEN regexp_like(text, '\bgcloud\s+dns\s+record-sets\s+(create|update|transaction\s+add)\b[^|;&"]*--type[=\s]+(MX|NS)\b|\baz\s+network\s+dns\s+record-set\s+(mx|ns)\s+(add|create|update)', 'i') THEN 'mail or name servers'
           END AS kind, CASE WHEN lower(leads[1]) <> lower(leads[2]) THEN lower(leads[1]) END AS base
    FROM (SELECT *, regexp_match(text, '\bgit\s+config\s+[^|;&]*?\burl\.[''\\"]*(?:\w+://)?(?:[^@/\s''"]*@)?([\w.-]+)[^|;&]*?\.(?:push)?insteadOf[\s=]+[''\\"]*(?:\w+://)?(?:[^@/\s''"]*@)?([\w.-]+)') AS leads
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome,
                 CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS text
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled', 'protocol_error') AND arguments_bytes <= $max_bytes
            AND array_has_any(capabilities, make_array('executes', 'writes'))))
    WHERE regexp_like(text, 'insteadOf|etc[/\\]+hosts|resolv|setdnsservers|DnsClient|ca-certificates|anchor|add-trusted-cert|addstore|Import-Certificate|prox|registry|index[-_]?url|RegistryServer|gem\s+sources|"(MX|NS)|--type[=\s]+(MX|NS)|record-set', 'i')
),
aimed AS (                       -- where it leads now, if the call says so
    SELECT c.*, o.place, coalesce(o.internal, false) AS internal,
           coalesce(regexp_like(o.place, '(^|\.)(' || replace(array_to_string($indices, '|'), '.', '[.]') || ')$'), false) AS usual
    FROM changed c
    LEFT JOIN (SELECT call_id, split_part(coalesce(host_of(value), lower(value)), ',', 1) AS place, is_internal_address(value) AS internal
               FROM observables WHERE origin = 'argument' AND type IN ('url', 'domain', 'ip')) o ON o.call_id = c.call_id AND (c.base IS NULL OR o.place = c.base)
    WHERE c.kind IS NOT NULL
),
placed AS (
    SELECT call_id, min(session_id) AS session_id, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(time) AS time, min(outcome) AS outcome, min(kind) AS kind,
           array_sort(array_agg(DISTINCT place) FILTER (WHERE place IS NOT NULL AND NOT internal AND NOT usual)) AS places
    FROM aimed
    GROUP BY call_id
    -- A certificate is a file; what else is changed leads somewhere that is neither usual nor within.
    HAVING min(kind) = 'certificate' OR bool_or(place IS NOT NULL AND NOT internal AND NOT usual)
),
origin AS (                      -- did only a result that others wrote name the place?
    SELECT p.call_id, coalesce(bool_or(f.first_origin), false) AS from_content, first_value(named_struct('id', f.source_call_id, 'at', f.source_time) ORDER BY f.source_time, f.source_call_id) FILTER (WHERE f.first_origin) AS named_by
    FROM placed p
    LEFT JOIN flows f ON f.sink_call_id = p.call_id AND f.kind = 'value' AND NOT coalesce(f.user_named, false) AND has_capability(f.source_capabilities, 'reads_untrusted')
         AND array_has(p.places, coalesce(host_of(f.value), lower(f.value)))
    GROUP BY p.call_id
),
graded AS (
    SELECT p.call_id, min(p.session_id) AS session_id, min(p.agent) AS agent, min(p.server) AS server, min(p.tool) AS tool, min(p.time) AS time, min(p.kind) AS kind, first_value(p.places) AS places,
           bool_or(o.from_content) AS from_content, first_value(o.named_by) AS named_by,
           CASE WHEN min(p.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                ELSE CASE WHEN bool_or(o.from_content) THEN 3 ELSE 2 END - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END END AS grade
    FROM placed p
    JOIN origin o ON o.call_id = p.call_id
    LEFT JOIN prompts q ON q.session_id = p.session_id AND q.time <= p.time
         AND regexp_like(q.text, CASE p.kind WHEN 'hosts' THEN '\b(hosts|resolve\w*|point\w*|dns|map\w*)\b' WHEN 'resolver' THEN '\b(dns|resolv\w*|name ?servers?)\b' WHEN 'certificate' THEN '\b(cert\w*|ca|tls|ssl|trust\w*)\b'
                                             WHEN 'proxy' THEN '\bprox\w+\b' WHEN 'git' THEN '\b(insteadof|mirror\w*|rewrit\w+|git config\w*)\b' WHEN 'packages' THEN '\b(registr\w+|index|mirror\w*|npmrc|pip\.conf|artifactory|nexus|package source\w*)\b' ELSE '\b(mx|ns|mail|dns|name ?servers?|domain|records?)\b' END, 'i')
    GROUP BY p.call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(kind) AS kind, array_to_string(first_value(places), ', ') AS places, bool_or(from_content) AS from_content
    FROM (SELECT *, unnest(CASE WHEN from_content THEN make_array(named_by, named_struct('id', call_id, 'at', time)) ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' changed whom this place asks or trusts (' || min(kind) || ')' || coalesce(': ' || nullif(left(min(places), 200), ''), '')
           || CASE WHEN bool_or(from_content) THEN ', which only content that others wrote had named' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT kind)) AS kinds, min(places) AS places
FROM evidence
GROUP BY session_id
