-- id = "server_command_risky"
-- title = "Server is started by a command that fetches unpinned code or opens the machine"
-- level = "medium"
-- status = "stable"
-- description = """
--   How a server is started, as the log shows it.
--   high: a download piped into an interpreter, a program in a temporary folder, netcat and the like as a server, a package from a foreign registry, an address or plain HTTP, or
--   the runtime's socket or the host's root handed to a container. medium: code given inline, a package from a branch of a repository, a listener on all interfaces without a word on a password,
--   a secret in the command. low: a package without a version, so that each start may run other code. Each command is reported once.
--   """
-- tags = ["owasp.mcp04", "owasp.mcp09", "owasp.asi04", "atlas.AML.T0010.005", "atlas.AML.T0011.002", "attack.T1195.002", "attack.T1059"]
-- falsepositives = ["servers under development, started from a folder of the developer"]
-- needs = ["server_addresses"]
-- helps = ["connections"]
-- window = "24h"
WITH started AS (
    SELECT server, server_command AS command, min(time) AS at, first_value(session_id ORDER BY time, identity) AS session_id
    FROM connections
    WHERE server_command IS NOT NULL
    GROUP BY server, server_command
),
judged AS (
    SELECT *, CASE WHEN regexp_like(command, '\b(curl|wget|iwr)\b.*(\||&&|;)\s*(sudo\s+)?(\S*/)?(ba|z|da)?sh\b|(^|[\s/\\"''])(nc|ncat|netcat|socat)\s') THEN 'runs a download or a bare network pipe'
                   WHEN regexp_like(command, '(^|[\s"''=])(/tmp|/var/tmp|/dev/shm|%TEMP%|\$TMPDIR|C:\\\\?(Windows\\\\?)?Temp)[/\\]', 'i') THEN 'starts from a temporary folder'
                   WHEN regexp_like(command, '--(registry|index-url|extra-index-url|default-index|index)[= ]\S+|(^|\s)(npx|uvx|bunx|pipx)\b.*\shttps?://', 'i')
                        AND NOT regexp_like(command, '--(registry|index-url|default-index|index)[= ]https://(registry\.npmjs\.org|pypi\.org)', 'i') THEN 'takes a package from a foreign place'
                   WHEN regexp_like(command, 'docker\.sock|--privileged|(-v|--volume)[= ]/:|source=/,') THEN 'hands the machine to a container' END AS high,
           CASE WHEN regexp_like(command, '\b(python\d?|node|ruby|perl|deno|bun)\s+(-c|-e|--eval|eval)\s|\b(ba|z|da)?sh\s+-\w*c\s|\bpowershell\S*\s.*-(e|enc|c|command)\w*\s', 'i') AND NOT regexp_like(command, '\b(ba|z)?sh\s+-\w*c\s+["'']?(npx|uvx|docker|node|python\d?)\s') THEN 'runs code given inline'
                WHEN regexp_like(command, 'git\+(https?|ssh)://[^\s@]+(\s|$)|git\+\S+@(main|master|dev|HEAD)\b|\bgithub:[\w-]+/[\w.-]+(\s|$|#(main|master))') THEN 'runs a branch of a repository'
                WHEN regexp_like(command, '--(host|bind|listen|address)[= ](0\.0\.0\.0|::|\*)') THEN 'listens on all interfaces'
                WHEN strpos(command, '[secret:') > 0 THEN 'has a secret in its command' END AS medium,
           CASE WHEN regexp_like(command, '\b(npx|bunx|pnpm\s+dlx|yarn\s+dlx|uvx|pipx\s+run|uv\s+tool\s+run)(\.cmd)?\s+((-[\w-]+(=\S+)?)\s+)*(@[\w.-]+/)?[\w.-]+(@latest|\[[\w,]+\])?(\s|$)')
                        AND NOT regexp_like(command, '(==|@)\d[\w.-]*(\s|$|"|'')') THEN 'runs a package without a version'
                WHEN regexp_like(command, '\bdocker\s+run\b') AND NOT regexp_like(command, '@sha256:|[\w/-]+:\d[\w.-]*(\s|$)') THEN 'runs an image without a version' END AS low
    FROM started
)
SELECT j.session_id, min(c.agent) AS agent, j.server, j.at AS first_seen, j.at AS last_seen,
       coalesce(array_slice(array_agg(c.call_id ORDER BY c.time, c.call_id) FILTER (WHERE c.call_id IS NOT NULL), 1, 5), make_array()) AS call_ids,
       CASE WHEN j.high IS NOT NULL THEN 'high' WHEN j.medium IS NOT NULL THEN 'medium' ELSE 'low' END AS level,
       coalesce(j.server, 'a server') || ' ' || coalesce(j.high, j.medium, j.low) || ': ' || left(j.command, 160) AS message, left(j.command, 500) AS command
FROM judged j
LEFT JOIN calls c ON c.session_id = j.session_id AND (c.server IS NOT DISTINCT FROM j.server) AND c.event_kind = 'call'
WHERE coalesce(j.high, j.medium, j.low) IS NOT NULL
GROUP BY j.session_id, j.server, j.at, j.command, j.high, j.medium, j.low
