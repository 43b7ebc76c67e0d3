-- id = "code_hook_written"
-- title = "Agent wrote a Git hook, a CI workflow or another file that runs on others' machines"
-- level = "medium"
-- status = "stable"
-- description = """
--   A tool wrote a file that a build server or a colleague's machine runs without being asked: CI workflows, Git hooks and hook paths,
--   editor tasks and dev container commands, install scripts of packages, pre-commit configuration.
--   high: the written text reads secrets or talks to the network in a way that ships them, or fetches and runs code (well-known `installers` left out), or a package's install script holds code or an address itself.
--   medium: a hook or workflow, and untrusted content was read before in the session. low: none was, or the attempt failed; or nothing in the workflow talks to the network, and it uses only actions of the
--   code host and the clouds, and no secret but the run's own token.
--   One level less when the user spoke of the workflow, hook or pipeline, or wrote in another language than English, of which this cannot be told. Needs arguments, no results.
--   """
-- tags = ["owasp.mcp04", "owasp.mcp02", "owasp.asi04", "owasp.asi05", "atlas.AML.T0053", "attack.T1195.001", "attack.T1546"]
-- falsepositives = ["coding agents that maintain a pipeline (low)"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["durations", "prompts"]
-- window = "4h"
-- params = { max_bytes = 262144, installers = ["sh.rustup.rs", "get.docker.com", "astral.sh", "install.python-poetry.org", "get.pnpm.io", "bun.sh", "deno.land/install.sh", "deno.land/install.ps1", "deb.nodesource.com", "fnm.vercel.app", "get.helm.sh", "get.k3s.io", "get.pulumi.com", "install.duckdb.org", "fly.io/install.sh", "mise.run", "starship.rs/install.sh", "tailscale.com/install.sh", "ollama.com/install.sh", "claude.ai/install.sh", "cursor.com/install", "get.sdkman.io", "get.volta.sh", "nixos.org/nix/install", "install.determinate.systems", "raw.githubusercontent.com/nvm-sh/nvm", "raw.githubusercontent.com/Homebrew/install", "raw.githubusercontent.com/ohmyzsh/ohmyzsh", "raw.githubusercontent.com/helm/helm", "raw.githubusercontent.com/k3d-io/k3d", "raw.githubusercontent.com/golangci/golangci-lint", "raw.githubusercontent.com/aquasecurity/trivy", "raw.githubusercontent.com/anchore", "cli.github.com", "sdk.cloud.google.com", "aka.ms/InstallAzureCLIDeb", "cli.doppler.com/install.sh"] }
WITH written AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           coalesce(regexp_like(arguments, '\.github[/\\]+workflows[/\\]') AND regexp_like(arguments, '\bruns-on:')
                    AND NOT regexp_like(arguments, '\b(curl|wget|nc|ncat|ssh|scp|iwr|eval|base64|openssl|xxd)\b|https?://[^\s"\\]*[?=]|toJSON|self-hosted|write-all|pull_request_target|workflow_run|/dev/tcp|github\.event\.(issue|comment|pull_request)', 'i')
                    AND regexp_count(arguments, '\buses:') = regexp_count(arguments, '\buses:\s*[''"\\]*((actions|github|docker|aws-actions|google-github-actions|azure|hashicorp)/|\./)')
                    AND regexp_count(arguments, '\bsecrets\.') = regexp_count(arguments, '\bsecrets\.GITHUB_TOKEN\b'), false) AS tame,
           regexp_replace(arguments, '^.*?((\.github/(workflows|actions)/|\.git/hooks/|\.husky/|\.circleci/|\.buildkite/|\.gitlab-ci|Jenkinsfile|azure-pipelines|bitbucket-pipelines|\.travis\.yml|\.drone\.yml'
                          || '|\.pre-commit-config|\.vscode/tasks|\.devcontainer/|core\.(hooksPath|sshCommand|fsmonitor)|package\.json|scripts\.(pre|post)?install)[^\s"''\\|;&<>]*).*$', '\1', 's') AS file,
           coalesce(regexp_like(arguments, '\b(curl|wget|Invoke-WebRequest|iwr)\b[^\n]{0,300}(secrets\.|toJSON\(|\$\{?\{?\s*(secrets|env)\b|GITHUB_TOKEN|\$[A-Z_]*(TOKEN|KEY|SECRET|PASS)|printenv|\benv\b)'
                                || '|(toJSON\(secrets\)|secrets\.[A-Z_]+|printenv|\benv\b)[^\n]{0,200}\|\s*(base64|curl|nc|wget)'
                                || '|\b(curl|wget)\b[^\n|]{0,300}\|\s*(sudo\s+)?(ba|z|da)?sh\b|\bpull_request_target\b'
                                -- What a package runs when it is installed: code in the line itself, or an address.
                                || '|\b(pre|post)?install\\?"\s*:\s*\\?"([^"\\]|\\{2,3}")*?(https?://|\b(curl|wget)\s|\b(node|deno|bun)\s+(-e|--eval|eval)\b|\bpython\d?\s+-c\b|\bbase64\b)'
                                -- Hooks of all repositories, kept where anybody may write; Git's own programs replaced.
                                || '|\bgit\s+config\s+[^|;&]*(core\.hooksPath\s+[''\\"]*(/tmp|/var/tmp|/dev/shm)|(core\.(sshCommand|fsmonitor|pager|editor|askPass)|credential\.helper|alias\.\w+)\s+[''\\"!]*[^|;&"'']{0,40}(/tmp/|/var/tmp/|/dev/shm/|\b(curl|wget|nc)\s|\bsh\s+-c|https?://))', 'i'), false) AS ships
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities,
                 -- The lines of a file that is written: in JSON a break is a letter that would join the next word.
                 CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) || ' ' || replace(replace(arguments, '\n', chr(10)), '\t', chr(9))
                      -- Without well-known installers, which are run in just this way.
                      ELSE regexp_replace(replace(replace(arguments, '\n', chr(10)), '\t', chr(9)),
                                          '\b(curl|wget)\s[^\n|]{0,80}https://(' || replace(array_to_string($installers, '|'), '.', '[.]') || ')([/?][^\n|]{0,120})?[''\s]*\|\s*(sudo\s+)?(ba|z|da)?sh\b', '', 'g') END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome NOT IN ('denied', 'cancelled')
            AND arguments_bytes <= $max_bytes AND array_has_any(capabilities, make_array('writes', 'executes')))
    WHERE regexp_like(arguments, '\.github[/\\]+(workflows|actions)[/\\]|\.git[/\\]+hooks[/\\]|\.husky[/\\]|\.circleci[/\\]|\.buildkite[/\\]|\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.ya?ml'
                                 || '|bitbucket-pipelines\.yml|\.travis\.yml|\.drone\.yml|\.pre-commit-config\.yaml|\.vscode[/\\]+tasks\.json|\.devcontainer[/\\]|core\.(hooksPath|sshCommand|fsmonitor)|(pre|post)?install\\*"\s*:|scripts\.(pre|post)?install\s*=')
      AND CASE WHEN has_capability(capabilities, 'executes')
               THEN regexp_like(arguments, '(>>?\s*|\btee\s+(-a\s+)?|\b(cp|mv|ln|install|rsync)\s[^|;&]*\s|\bsed\s+-i[^|;&]*\s)[''"\\]{0,2}[^\s''"|;&]*'
                       || '(\.github/(workflows|actions)/|\.git/hooks/|\.husky/|\.circleci/|\.buildkite/|\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines|bitbucket-pipelines|\.pre-commit-config|\.vscode/tasks|\.devcontainer/)'
                       || '|git\s+config\s+[^|;&]*core\.(hooksPath|sshCommand|fsmonitor)\s+\S|\b(npm|pnpm)\s+pkg\s+set\s+[''"\\]*scripts\.(pre|post)?install\s*=')
                    OR (regexp_like(arguments, '(>>?\s*|\btee\s+(-a\s+)?)[''"\\]{0,2}[^\s''"|;&]*package\.json') AND regexp_like(arguments, '"(pre|post)?install\\*"\s*:'))
               -- One file, or the files of a push; code hosts say `path` inside `files`.
               ELSE regexp_like(arguments, '"\w*(path|file|file_?name|uri|target|destination|dest)"\s*:\s*"([^"]*[/\\])?'
                       || '(\.github[/\\]+(workflows|actions)[/\\]+[^"]+|\.git[/\\]+hooks[/\\]+[^"]+|\.husky[/\\]+[^"]+|\.circleci[/\\]+[^"]+|\.buildkite[/\\]+[^"]+|\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.ya?ml'
                       || '|bitbucket-pipelines\.yml|\.travis\.yml|\.drone\.yml|\.pre-commit-config\.yaml|\.vscode[/\\]+tasks\.json|\.devcontainer[/\\]+[^"]+)"', 'i')
                    OR (regexp_like(arguments, '"\w*(path|file|file_?name|uri|target|destination|dest)"\s*:\s*"([^"]*[/\\])?package\.json"', 'i') AND regexp_like(arguments, '\\"(pre|post)?install\\"\s*:')) END
      -- Sample hooks that Git itself puts there.
      AND NOT regexp_like(arguments, '\.git/hooks/[\w-]+\.sample"')
),
untrusted AS (
    SELECT session_id, min(coalesce(time_end, time)) AS since
    FROM calls
    WHERE event_kind = 'call' AND outcome = 'success' AND has_capability(capabilities, 'reads_untrusted')
    GROUP BY session_id
),
graded AS (
    SELECT w.call_id, min(w.session_id) AS session_id, min(w.agent) AS agent, min(w.server) AS server, min(w.tool) AS tool, min(w.time) AS time,
           min(w.file) AS file, bool_or(w.ships) AS ships, coalesce(bool_or(u.since < w.time), false) AS after_untrusted,
           CASE WHEN min(w.outcome) NOT IN ('success', 'unknown', 'no_response') THEN 1
                WHEN bool_or(w.ships) THEN 3 WHEN bool_and(w.tame) THEN 1 WHEN bool_or(u.since < w.time) THEN 2 ELSE 1 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM written w
    LEFT JOIN untrusted u ON u.session_id = w.session_id
    LEFT JOIN prompts q ON q.session_id = w.session_id AND q.time <= w.time
         AND (regexp_like(q.text, '\b(workflows?|hooks?|pipelines?|CI|actions?|Jenkinsfile|husky|pre-commit|devcontainer|tasks\.json|(pre|post)install|install scripts?)\b', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    GROUP BY w.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' wrote ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT file)), 1, 3), ', ')
           || CASE WHEN bool_or(ships) THEN ', which ships secrets or runs fetched code' WHEN bool_or(after_untrusted) THEN ' after untrusted content was read' ELSE '' END AS message,
       array_sort(array_agg(DISTINCT file)) AS files
FROM graded
WHERE grade > 0
GROUP BY session_id
