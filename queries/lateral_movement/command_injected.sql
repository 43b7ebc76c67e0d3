-- id = "command_injected"
-- title = "Argument of a tool that runs no commands carries a shell command"
-- level = "high"
-- status = "stable"
-- description = """
--   A value that should be a name, number, path or address (the tool is no shell, the value is short) ends the value and begins a command:
--   `; id`, `$(curl …)`, backquotes, `| sh`, `&& rm`, a template or expression that evaluates code.
--   high: the call worked. medium: several tries that were refused or failed. low: one such try.
--   Bodies, messages, code, SQL, filters, query languages and search patterns are texts and left out by their key or their length; so are commits' and issues' texts.
--   Behind the word the value, the command or an argument must follow, so that `a || id = 5` and `closed|open` stay quiet.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "owasp.asi02", "atlas.AML.T0050", "atlas.AML.T0049", "attack.T1059", "attack.T1190"]
-- falsepositives = ["tools that run commands under a name that does not say so", "security tests"]
-- needs = ["argument_sizes", "arguments"]
-- window = "24h"
-- params = { max_bytes = 4096, max_value = 400 }
WITH hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome, rest,
           regexp_replace(coalesce(nullif(regexp_replace(rest, '^[{"\s:,}\[\]]*$', ''), ''), arguments), '^.*?"(\w+)"\s*:\s*"([^"\\]|\\.)*?((;|\||&&|\$\(|`|\$\{|\{\{|%0a|\\n)\s*(\\")?\s*(id|whoami|uname|cat|ls|curl|wget|nc|ncat|bash|sh|zsh|rm|chmod|touch|sleep|ping|nslookup|dig|python\d?|perl|ruby|node|php|powershell|cmd|env|printenv|echo|kill|open|calc|7\s*\*\s*7|__|self|request|config)\b.{0,80}).*$', '\1: \3', 'is') AS what
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, arguments,
                 -- Without the values that are texts by their key.
                 regexp_replace(arguments, '"(\w*(body|text|content|message|code|script|sql|query|statement|html|markdown|description|comment|prompt|diff|patch|template|notes?|instructions?|expression|function|regex|pattern|old_?\w*|new_?\w*|file_?text|command|cmd|summary|title|q|search\w*|thought|snippet|source|data|input|filter\w*|where|expr|\w*ql|condition\w*|criteria|selector|formula|jq|xpath|location|company|label\w*|status|state))"\s*:\s*"([^"\\]|\\.)*"', '""', 'gi') AS rest
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND arguments_bytes <= $max_bytes AND NOT has_capability(capabilities, 'executes')
            AND outcome <> 'cancelled'
            AND regexp_like(arguments, '__(class|globals|import|mro|subclasses|builtins|init)__|(;|\||&&|\$\(|`|%0a|\\n|\$\{|\{\{)\s*(\\")?\s*(id|whoami|uname|cat|ls|curl|wget|nc|ncat|bash|sh|zsh|rm|chmod|touch|sleep|ping|nslookup|dig|python\d?|perl|ruby|node|php|powershell|cmd|env|printenv|echo|kill|open|calc|7\s*\*\s*7|__|self|request|config)\b'))
    WHERE regexp_like(arguments,
          -- A file or a host, and right behind it a command, whatever the key is called; a template that reaches into its engine.
          '"\s*:\s*"[\w/@.-]*\.\w+\s*(;|&&|\$\(|`)\s*(curl|wget|nc|ncat|(ba|z|da)?sh|rm|chmod|python\d?|perl|powershell|sleep|nslookup|whoami|id)(\s+(-\w|[/~$.'']|\w+[./:])|\s*[;&|"`)])|"\s*:\s*"[^"\s{]*\{\{[^{}"]*__(class|globals|import|mro|subclasses|builtins|init)__', 'i')
       OR regexp_like(rest, '"\s*:\s*"[\w.:/@-]*[.:/][\w.:/@-]+\\n\s*(id|whoami|uname|cat|ls|curl|wget|nc|bash|sh|rm|touch|sleep|ping|nslookup|dig|env|printenv)(\\n|"|\s+[-/\w$.~''{])', 'i')
       OR regexp_like(rest, '[:\[,]\s*"([^"\\]|\\.)*?((;|\||&&)\s*(/usr)?(/bin/)?(id|whoami|uname|cat|ls|curl|wget|nc|ncat|bash|sh|zsh|rm|chmod|touch|sleep|ping|nslookup|dig|python\d?|perl|ruby|node|php|powershell|cmd|env|printenv|echo|kill|calc)\b(\s*[;&|]|\s*"|\s*\\|$|\s+[-/\w$.~''{])'
          || '|\$\((\s|/usr|/bin/)*(id|whoami|uname|cat|ls|curl|wget|nc|bash|sh|rm|touch|sleep|ping|nslookup|dig|python\d?|perl|env|printenv|echo|open)\b|`\s*(id|whoami|uname|cat|ls|curl|wget|nc|bash|sh|rm|touch|sleep|ping|nslookup|dig|python\d?|env|printenv|echo|open)\b[^`"]*`|%0a\s*(id|whoami|cat|curl|wget|bash|sh|rm)\b'
          || '|\$\{(IFS|jndi:)|\{\{\s*(7\s*\*\s*7|config|self\.|request\.|\S*__(class|globals|import)__))', 'i')
),
counted AS (
    SELECT session_id, min(agent) AS agent, server, min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
           bool_or(outcome IN ('success', 'unknown', 'no_response')) AS worked, count(*) AS tries, min(tool) AS tool, array_agg(DISTINCT left(what, $max_value)) AS whats
    FROM hit
    GROUP BY session_id, server
)
SELECT session_id, agent, server, first_seen, last_seen, call_ids,
       CASE WHEN worked THEN 'high' WHEN tries >= 2 THEN 'medium' ELSE 'low' END AS level,
       concat_ws('/', server, tool) || CASE WHEN worked THEN ' took a value that carries a command: ' ELSE ' refused a value that carries a command: ' END
           || left(whats[1], 160) AS message,
       tries, array_sort(whats) AS values
FROM counted
