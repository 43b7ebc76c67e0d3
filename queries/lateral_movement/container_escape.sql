-- id = "container_escape"
-- title = "Command reaches from a container or sandbox to the host"
-- level = "high"
-- status = "stable"
-- description = """
--   A command or container tool uses a known way out: privileged containers, the host's namespaces, the container runtime's socket, a bind mount of
--   the host's root or of /etc, cgroup release agents, kernel interfaces, host pods in Kubernetes.
--   high: it worked. medium: it failed, which is a try; or the runtime's socket is given to a service that goes on in the background and is told no command, as a proxy or a monitor of containers asks for it. low: only the host's network or a single dangerous capability. One level less when the user spoke of it, or wrote in another language than English, of which this cannot be told.
--   Escapes through bugs of kernel or runtime leave other traces and are not seen.
--   """
-- tags = ["owasp.mcp05", "owasp.mcp02", "owasp.asi05", "owasp.asi03", "atlas.AML.T0105", "attack.T1611"]
-- falsepositives = ["building images with a mounted runtime socket", "agents that administer clusters"]
-- needs = ["argument_sizes", "arguments"]
-- helps = ["prompts"]
-- window = "1h"
-- params = { max_bytes = 65536 }
WITH hit AS (
    SELECT call_id, session_id, agent, server, tool, time, outcome,
           regexp_replace(arguments, '^.*?((--privileged|--pid[= ]host|--ipc[= ]host|--userns[= ]host|--cap-add[= ]\S+|--device[= ]/dev/\S+|--security-opt[= ]\S+|(-v|--volume|--mount)[= ]\S+|docker\.sock|containerd\.sock|crio\.sock|podman\.sock|nsenter[^|;&"]*|release_agent|core_pattern|/proc/(1|self)/root\S*|unshare\s[^|;&"]*|chroot\s+/\S+|hostPID|hostPath|hostNetwork|privileged|kubectl\s+debug\s+node/\S+|insmod\s+\S+|--net(work)?[= ]host)).*$', '\1', 'is') AS way,
           regexp_like(arguments, '--privileged|--(pid|ipc|userns)[= ]host|--cap-add[= ]?(ALL|SYS_ADMIN|SYS_PTRACE|SYS_MODULE|DAC_READ_SEARCH)|(docker|containerd|crio|podman)\.sock|\bnsenter\b|release_agent|/proc/sys/kernel/core_pattern|/proc/1/root|hostPID|hostPath|"?\\?"privileged\\?"?\s*:\s*true|privileged:\s*true'
                          || '|(-v|--volume)[= ]/(etc|root|var/run|proc|home)?:|source=/,|src=/,|kubectl\s+debug\s+node/|--device[= ]/dev/(sd|nvme|mem|kmsg)|security-opt[= ](seccomp|apparmor)[=:]unconfined|\binsmod\b', 'i') AS strong
           ,
           -- In the background, with the socket and nothing else, and behind the image's name there is nothing.
           regexp_like(arguments, '\b(docker|podman|nerdctl)\s+(container\s+)?run\b[^|;&"]*\s(-\w*d\b|--detach|--restart)[^|;&"]*/(docker|podman)\.sock:', 'i')
               AND NOT regexp_like(arguments, '--privileged|--(pid|ipc|userns|net|network)[= ]host|--cap-add|--device|security-opt|(-v|--volume)[= ]/(etc|root|proc|home)?:|nsenter|chroot|\s-\w*[it]{2}\w*\s|--(rm|interactive|entrypoint)\b|\b(sh|bash|ash)\s+-c\b|unix-socket|:237[56]', 'i')
               AND regexp_like(arguments, '\brun\s(-\S+([= ][^\s|;&"-][^\s|;&"]*)?\s+)*[\w./-]+(:[\w.-]+)?(@sha256:\w+)?\s*("|;|&|$)', 'i') AS service
    FROM (SELECT call_id, session_id, agent, server, tool, time, outcome, capabilities, arguments AS raw,
                 CASE WHEN has_capability(capabilities, 'executes') THEN command_text(arguments) ELSE arguments END AS arguments
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND array_has_any(capabilities, make_array('executes', 'writes')) AND arguments_bytes <= $max_bytes
            AND outcome NOT IN ('denied', 'cancelled', 'protocol_error'))
    WHERE ((has_capability(capabilities, 'executes')
            AND regexp_like(arguments, '\b(docker|podman|nerdctl|ctr|runc|crictl)\b[^|;&"]*(--privileged|--(pid|ipc|userns|net|network)[= ]host|--cap-add[= ]?(ALL|SYS_\w+|DAC_READ_SEARCH|NET_ADMIN)|--device[= ]/dev/(sd|nvme|mem|kmsg)|security-opt[= ](seccomp|apparmor)[=:]unconfined|(-v|--volume)[= ]/(etc|root|var/run|proc|home|var/run/docker\.sock|run/containerd/\S+)?/?:|(source|src)=/(,|etc|root|var/run))'
                || '|(curl|nc|socat|docker\s+-H|DOCKER_HOST=)\s?[^|;&"]*(unix:/+|--unix-socket\s+)[^|;&"]*(docker|containerd|crio|podman)\.sock|\b(curl|wget|docker\s+-H)\s[^|;&"]*:237[56]/?(v[\d.]+/)?(containers|images|exec|version|info)?\b|\bnsenter\s[^|;&"]*(-t\s*1\b|--target[= ]1\b)|\brelease_agent\b|>\s*/proc/sys/kernel/core_pattern|/proc/1/root/|\bunshare\s[^|;&"]*-\w*[rUm]\w*[^|;&"]*\b(chroot|mount)\b|\bchroot\s+/(host|mnt|rootfs)|\b(insmod|modprobe)\s+/\S+\.ko|\bkubectl\s+debug\s+node/'
                || '|hostPID\S*\s*:\s*true|hostPath\S*\s*:|privileged\S{0,3}\s*:\s*true', 'i'))
           OR (regexp_like(tool, 'container|docker|pod|compose|deployment|daemonset|apply|manifest|resource', 'i')
               AND regexp_like(arguments, '\\?"(privileged|hostPID|hostIPC|hostNetwork|Privileged)\\?"\s*:\s*true|hostPath|privileged:\s*true|hostPID:\s*true|"(PidMode|NetworkMode|IpcMode|pid_mode|network_mode|pid|ipc)"\s*:\s*"host"|"/(etc|root|var/run/docker\.sock|proc)?:/|/var/run/docker\.sock', 'i')))
      AND NOT command_mentions(raw)
),
graded AS (
    SELECT h.call_id, min(h.session_id) AS session_id, min(h.agent) AS agent, min(h.server) AS server, min(h.tool) AS tool, min(h.time) AS time, min(h.way) AS way,
           CASE WHEN NOT bool_or(h.strong) THEN 1 WHEN min(h.outcome) IN ('success', 'unknown', 'no_response', 'timeout') AND NOT bool_and(h.service) THEN 3 ELSE 2 END
           - CASE WHEN count(q.session_id) > 0 THEN 1 ELSE 0 END AS grade
    FROM hit h
    LEFT JOIN prompts q ON q.session_id = h.session_id AND q.time <= h.time
         AND (regexp_like(q.text, 'privileged|docker\.sock|host (network|namespace|pid|path)|hostPath|nsenter|mount|socket', 'i')
              -- No word of English: it may speak of it.
              OR is_other_language(q.text))
    GROUP BY h.call_id
)
SELECT session_id, min(agent) AS agent, CASE WHEN count(DISTINCT server) = 1 THEN min(server) END AS server,
       min(time) AS first_seen, max(time) AS last_seen, array_agg(call_id ORDER BY time, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' reaches out of the container: ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(way, 80))), 1, 4), ', ') AS message,
       array_sort(array_agg(DISTINCT left(way, 200))) AS ways
FROM graded
WHERE grade > 0
GROUP BY session_id
