-- id = "fetched_code_run"
-- title = "Command runs code straight from the network, or opens a reverse shell"
-- level = "high"
-- status = "stable"
-- description = """
--   A command pipes a download or a decoded text into an interpreter (filters between count too), runs the file that it was written to, installs packages from an index at a bare address, or connects a shell to a remote host
--   (bash's /dev/tcp, netcat, socat, named pipes, openssl, telnet, awk, sockets of Python, Perl, Ruby, PHP, Node, Lua and PowerShell).
--   critical: a reverse shell. high: decoded text is run; or a download is run whose host only a result of this session had named, or that is a
--   bare address or plain HTTP. medium: any other download that is run. low: the command failed, or the user named all its hosts.
--   Well-known installers are run in just this way: they can be allow-listed with `installers`, a host or a host with the start of a path. The payload itself is not looked at.
--   A test whether a port is open (nothing is sent, no shell bound) is left out.
--   """
-- tags = ["owasp.mcp05", "owasp.asi05", "atlas.AML.T0050", "atlas.AML.T0072", "attack.T1059", "attack.T1105", "attack.T1140"]
-- falsepositives = ["installation instructions of tools that are not among the installers"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts", "results"]
-- window = "24h"
-- params = { max_bytes = 65536, installers = ["sh.rustup.rs", "get.docker.com", "astral.sh", "install.python-poetry.org", "get.pnpm.io", "bun.sh", "deno.land/install.sh", "deno.land/install.ps1", "deb.nodesource.com", "fnm.vercel.app", "get.helm.sh", "get.k3s.io", "get.pulumi.com", "install.duckdb.org", "fly.io/install.sh", "mise.run", "starship.rs/install.sh", "tailscale.com/install.sh", "ollama.com/install.sh", "claude.ai/install.sh", "cursor.com/install", "get.sdkman.io", "get.volta.sh", "nixos.org/nix/install", "install.determinate.systems", "raw.githubusercontent.com/nvm-sh/nvm", "raw.githubusercontent.com/Homebrew/install", "raw.githubusercontent.com/ohmyzsh/ohmyzsh", "raw.githubusercontent.com/helm/helm", "raw.githubusercontent.com/k3d-io/k3d", "raw.githubusercontent.com/golangci/golangci-lint", "raw.githubusercontent.com/aquasecurity/trivy", "raw.githubusercontent.com/anchore", "cli.github.com", "sdk.cloud.google.com", "aka.ms/InstallAzureCLIDeb", "cli.doppler.com/install.sh"] }
WITH written AS (                 -- the file that a download is written to, told by its last part
    SELECT *, nullif(regexp_replace(coalesce(regexp_match(arguments, '\b(?:curl|wget)\s(?:[^|;&]*?\s)?(?:-[A-Za-z]{0,8}[oO]|--output(?:-document)?)[=\s]\s*[''\\]*([^\s''"\\|;&]+)')[1],
                                             regexp_match(arguments, '\b(?:curl|wget)\s[^|;&]*?\s>\s*[''\\]*([^\s''"\\|;&>]+)')[1],
                                             regexp_match(arguments, '\bwget\s[^|;&]*?https?://([^\s''"\\|;&?#]+)')[1],
                                             regexp_match(arguments, '(?i)\s-OutF\w*\s+[''\\"]*([^\s''"|;&]+)')[1],
                                             regexp_match(arguments, '(?i)\b(?:bitsadmin|certutil|Start-BitsTransfer)\b[^|;&]*\s([^\s''"|;&]+\.(?:exe|dll|ps1|bat|cmd|msi|scr|hta))\b')[1]), '^.*[/\\]', ''), '-') AS file
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, arguments AS raw, command_text(arguments) AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND has_capability(capabilities, 'executes') AND arguments_bytes <= $max_bytes
            AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE regexp_like(arguments, 'curl|wget|fetch|https?\W{0,3}\.\s*(get|request)|axios|Net::HTTP|file_get_contents|urlopen|requests\.get|urllib|URI\.open|--index-url|--extra-index-url| -i |iwr|irm|Invoke|DownloadString|mshta|regsvr32|certutil|bitsadmin|BitsTransfer|base64|b64decode|xxd|openssl|/dev/(tcp|udp)|nc[ .]|ncat|netcat|powercat|telnet|ztcp|xterm|mkfifo|mknod|socat|socket|fsock|/inet/|\bnet\b|powershell|pwsh|__import__', 'i')
),
hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           reverse AS shell,
           regexp_like(arguments, '\b(base64\s+(-d|-D|--decode)|xxd\s+-r|openssl\s+(enc\s+)?(-d|base64\s+-d)|FromBase64String|b64decode)|\s-e(nc\w*)?\s+[A-Za-z0-9+/=]{40,}', 'i') AS decoded,
           regexp_replace(arguments, '^.*?((curl|wget|iwr|irm|nc|ncat|netcat|socat|bash\s+-i|base64\s+-\w|powershell|pwsh|python\d?|pip\d?|ruby|perl|php|exec\s+\d+<>)\b.{0,160}).*$', '\1', 'is') AS what
    FROM (SELECT *,
                 -- A shell whose ends are a connection: descriptors of bash, netcat and its kin, pipes to openssl and telnet, the sockets of languages.
                 regexp_like(arguments, '(>&\s*|<>\s*|[^\s(:''\\]\s+>\s*)/dev/(tcp|udp)/[\w.$\{\}-]+/[\d$]|\bztcp\s+[\w.-]+\s+\d|\b(nc|ncat|netcat|nc\.exe|powercat)\b[^|;&"]*\s(-\w*[ec]|--exec|--sh-exec)[\s=]*[''\\]*\S*(sh|bash|cmd|powershell)(\.exe)?\b|\b(mkfifo|mknod)\b[^"]*\|\s*(nc|ncat|netcat|telnet|openssl\s+s_client|socat)\b'
                                        || '|["\s;&|(]((/usr)?/bin/)?(ba|z|da|k|fi|tc)?sh(\s+-i)?(\s+\d?>\S*)*\s*\|\s*&?\s*(nc|ncat|netcat|telnet)\s+\w[\w.-]*\s+\d|\b(nc|ncat|netcat|telnet)\s+(-\w+\s+)*[\w.-]+\s+\d+[^|;&"]*\|\s*((/usr)?/bin/)?(ba|z|da|k|fi|tc)?sh\b|\bsocat\b[^|;"]*\b(exec|system):[^|;&]*(sh|bash|cmd|python\d?)\b'
                                        || '|\b((/usr)?/bin/)?(ba|z|da|k|fi|tc)?sh\b\s+-i\b[^"]*\|\s*openssl\s+s_client\b|\bopenssl\s+s_client\b[^|;&"]*\|\s*((/usr)?/bin/)?(ba|z|da|k|fi|tc)?sh\b'
                                        || '|socket\.socket\([^"]*(dup2|pty\.spawn|subprocess)|\.connect\(\s*\(?[^"]*(dup2\(|pty\.spawn)|\.connect\(\s*\([^"]*\.recv\([^"]*(subprocess|os\.popen|os\.system)|(\buse\s+Socket|-MSocket|IO::Socket|-MIO\b)[^"]*(\b(exec|system)\b\s*[\(\{''\\]|STDIN->fdopen|open\s*\(?\s*STDIN|`)'
                                        || '|(\bspawn|\bexec)\W[^"]{0,80}TCPSocket\.(open|new)|TCPSocket\.(open|new)[^"]*(\bexec|IO\.popen|\bsystem|\bspawn|`)|(fsockopen|stream_socket_client|socket_connect)\([^"]*(\bexec|proc_open|shell_exec|\bsystem|passthru|popen|`)'
                                        || '|(\bnet\.(connect|createConnection|Socket)|require\(\W*net\W*\))[^"]*(\bspawn|\bexec|\.pipe\([^"]{0,60}(stdin|stdout))|child_process[^"]*\bnet\.(connect|createConnection|Socket)\b[^"]*(\.pipe|stdin|on\()|require\W{0,4}socket\W[^"]*(os\.execute|io\.popen)|/inet/(tcp|udp)/\d+/[^"]*(\|&|getline)'
                                        || '|Net\.Sockets\.TCPClient[^"]*(\biex\b|Invoke-Expression|\bcmd(\.exe)?\b|Start-Process|powershell)|\bxterm\s+-display\s+[\w.-]+:\d', 'i')
                 -- Bash speaks HTTP by a descriptor, and no shell reads from it.
                 AND NOT (regexp_like(arguments, '<>\s*/dev/tcp/[^|;&]*(&&|;)[^"]*\b(GET|HEAD)\s+\S+\s+HTTP/', 'i') AND NOT regexp_like(arguments, 'sh(\s+-i)?\s*\d?<&|\beval\b|\bread\b|\|\s*((/usr)?/bin/)?(ba|z|da|k)?sh\b|\$\(')) AS reverse
          FROM written)
    WHERE (reverse OR regexp_like(arguments, '\b(curl|wget|fetch)\s[^|;&"]*(\|\s*(tee\s+\S+\s*\|\s*)?(sudo\s+(-\w+\s+)*)?(env\s+\S+\s+)?(/bin/|/usr/bin/)?(ba|z|da|k|fi)?sh\b|\|\s*(sudo\s+)?(python\d?|perl|ruby|node|php|lua)\b)'
          -- filters between
          || '|\b(curl|wget|fetch)\s[^|;&"]*(\|\s*(tee|gunzip|gzip|zcat|bunzip2|bzip2|bzcat|xz|unxz|xzcat|zstd|zstdcat|cat|head|tail|tr|sed|awk|grep|cut|base64|rev|xxd|envsubst|openssl|tar)\b[^|;&"]*){1,4}\|\s*(sudo\s+(-\w+\s+)*)?((/usr)?/bin/)?((ba|z|da|k|fi)?sh\b|(python\d?|perl|ruby|node|php)\s*(-\s|-?["\\;&]))'
          || '|\b((ba|z|da|k)?sh|source|\.|python[\d.]*|perl|ruby|node|php)\s+(-\w*\s+)*(<\s*)?<\(\s*(curl|wget)\b'
          || '|\b(ba|z|da)?sh\s+(-c\s+)?[''"\\]{0,3}(<\(|\$\(|`)\s*(curl|wget)\b|\b(source|eval|\.)\s+[''"\\]{0,3}(<\(|\$\(|`)\s*(curl|wget)\b|\b(python\d?|perl|ruby|node|php)\s+(-c|-e)\s+[^|;"]{0,40}\$\(\s*(curl|wget)'
          || '|\b(iex|Invoke-Expression)\b[^|;"]{0,60}(iwr|irm|Invoke-WebRequest|Invoke-RestMethod|DownloadString)|(iwr|irm|Invoke-WebRequest|Invoke-RestMethod|DownloadString)\b[^|;]{0,200}\|\s*(iex|Invoke-Expression)\b|\bmshta\s+https?:|\bregsvr32\b[^|;&"]*https?:|\bcertutil\b[^|;&"]*-urlcache'
          || '|\b(curl|wget)\s[^|;"]*-[oO]\s*(\S+)[^"]*(&&|;)\s*(chmod\s[^;&"]*(&&|;)\s*)?(sudo\s+)?((ba|z)?sh|python\d?|\./|/tmp/)\S*'
          || '|\|\s*(base64\s+(-d|-D|--decode)|xxd\s+-r\S*|openssl\s+base64\s+-d)[^|;&"]*\|\s*(sudo\s+)?((ba|z|da)?sh|python\d?|perl|ruby|node)\b|\beval\s+[''"\\]{0,3}\$\([^)]*base64\s+(-d|--decode)|\b(powershell|pwsh)(\.exe)?\s[^|;&"]*-e(nc\w*)?\s+[A-Za-z0-9+/=]{40,}|exec\(\s*(base64\.b64decode|__import__\(.base64)'
          -- The same in JavaScript: what a request brings is evaluated.
          || '|\b(https?\W{0,3}\.\s*(get|request)|fetch|axios(\.get)?|got|XMLHttpRequest|Net::HTTP\.get|LWP::Simple|file_get_contents)\s*\([^"]{0,400}\b(eval|Function|vm\.runIn\w+)\s*\(|\b(eval|instance_eval)\s*\(?[^"]{0,60}\b(Net::HTTP\.get|file_get_contents\(\W*https?:)'
          || '|\b(exec|eval)\s*\([^"]{0,80}\b(urlopen|requests\.get|urlretrieve|URI\.open)\b|\b(pip|pip3|uv\s+pip|python\d?(\.\d+)?\s+-m\s+pip)\s+install\s[^|;&"]*(--index-url|--extra-index-url|-i)[=\s]+[''\\]*https?://(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\])', 'i')
           -- What was written is run, by its name.
           OR (file IS NOT NULL
               AND regexp_like(arguments, concat('(&&?|;|\|\||\\n|\bthen)\s*(sudo\s+(-\w+\s+)*)?(((ba|z|da|k|fi)?sh|python[\d.]*|perl|ruby|node|php|source|\.|exec|env|nohup|(?i:Start-Process|start|call|cmd\s+/c|powershell|pwsh|rundll32|msiexec\s+/i))\s+)*(-\w+\s+)*[\w./\\:%~$\{\}-]*',
                                                 regexp_replace(file, '[^A-Za-z0-9]', '.', 'g'), '([\s''"|;&\\)]|$)'))))
      -- Nothing is sent and no shell is bound: a test whether a port is open.
      AND NOT (regexp_like(raw, '(\becho|:|\btrue|<\s*/dev/null)\s*>\s*/dev/(tcp|udp)/', 'i') AND NOT regexp_like(regexp_replace(raw, '\d?>&\d|&?>\s*/dev/null|\|\|', ' ', 'g'), 'sh\s+-i|<>|[<>]&|\||\bcurl\b|\bwget\b', 'i'))
      AND NOT command_mentions(raw)
),
aimed AS (
    SELECT *, bool_or(is_url) OVER (PARTITION BY call_id, host) AS has_url
    FROM (SELECT h.*, o.type = 'url' AS is_url, CASE WHEN o.type = 'url' THEN host_of(o.value) ELSE lower(o.value) END AS host, o.type = 'url' AND starts_with(lower(o.value), 'http://') AS plain,
           regexp_like(regexp_replace(lower(o.value), '^[a-z][a-z0-9+.-]*://', ''), '^(' || replace(array_to_string($installers, '|'), '.', '[.]') || ')([/?#]|$)') AS installer
    FROM hit h LEFT JOIN observables o ON o.call_id = h.call_id AND o.origin = 'argument' AND o.type IN ('url', 'domain', 'ip'))
),
named AS (                       -- did the user name the host?
    SELECT a.call_id, a.host, count(q.session_id) > 0 AS by_user
    FROM aimed a LEFT JOIN prompts q ON q.session_id = a.session_id AND q.time <= a.time AND strpos(lower(q.text), a.host) > 0
    WHERE a.host IS NOT NULL
    GROUP BY a.call_id, a.host
),
origin AS (                      -- did a result of the session name the host, and no argument before?
    SELECT a.call_id, min(a.session_id) AS session_id, min(a.agent) AS agent, min(a.server) AS server, min(a.tool) AS tool, min(a.time) AS time, min(a.outcome) AS outcome,
           bool_or(a.shell) AS shell, bool_or(a.decoded) AS decoded, min(a.what) AS what,
           coalesce(bool_or(a.plain OR regexp_like(a.host, '^[0-9.]+$|:')), false) AS rough,
           coalesce(bool_and(a.installer) FILTER (WHERE a.host IS NOT NULL AND (a.is_url OR NOT a.has_url)), false) AS installer, coalesce(bool_and(n.by_user), false) AS asked,
           coalesce(bool_or(f.first_origin), false) AS from_content,
           first_value(named_struct('id', f.source_call_id, 'at', f.source_time) ORDER BY f.source_time, f.source_call_id) FILTER (WHERE f.first_origin) AS named_by
    FROM aimed a
    LEFT JOIN named n ON n.call_id = a.call_id AND n.host = a.host
    LEFT JOIN flows f ON f.sink_call_id = a.call_id AND f.kind = 'value' AND coalesce(host_of(f.value), lower(f.value)) = a.host
    GROUP BY a.call_id
),
graded AS (
    SELECT o.call_id, min(o.session_id) AS session_id, min(o.agent) AS agent, min(o.server) AS server, min(o.tool) AS tool, min(o.time) AS time, min(o.what) AS what,
           bool_or(o.shell) AS shell, bool_or(o.from_content) AS from_content, first_value(o.named_by) AS named_by,
           CASE WHEN bool_or(o.shell) THEN 4
                WHEN bool_or(o.installer) THEN 0
                WHEN min(o.outcome) NOT IN ('success', 'unknown', 'no_response', 'timeout') OR bool_or(o.asked) THEN 1
                WHEN bool_or(o.decoded OR o.from_content OR o.rough) THEN 3 ELSE 2 END AS grade
    FROM origin o
    GROUP BY o.call_id
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(what) AS what,
           bool_or(shell) AS shell, bool_or(from_content) AS from_content
    FROM (SELECT *, unnest(CASE WHEN from_content THEN make_array(named_by, named_struct('id', call_id, 'at', time))
                                ELSE make_array(named_struct('id', call_id, 'at', time)) END) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || CASE WHEN bool_or(shell) THEN ' opened a shell to a remote host: ' ELSE ' ran fetched or decoded code: ' END || left(min(what), 160)
           || CASE WHEN bool_or(from_content) THEN '; only a result had named the host' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT left(what, 300))) AS commands
FROM evidence
GROUP BY session_id
