-- id = "secret_search"
-- title = "Agent searched code, mail or documents for secrets"
-- level = "medium"
-- status = "stable"
-- description = """
--   A search tool was asked for what secrets are called or look like: passwords, keys, tokens, private keys, configuration files with credentials.
--   high: several such searches and a result that holds a secret, or a search followed by reading a place where credentials lie. medium: several different searches, or one
--   whose result holds a secret. low: one search. One level less when the user asked for it.
--   Counts what is searched for, not texts that mention it: long queries are left out. Questions and help topics (how do I reset my password, password policy) count only where the result holds a secret,
--   and then one level less; such words beside another search excuse nothing.
--   """
-- tags = ["owasp.mcp01", "owasp.asi03", "atlas.AML.T0055", "atlas.AML.T0082", "atlas.AML.T0085.000", "attack.T1552.001", "attack.T1213"]
-- falsepositives = ["secret scanning on the user's request, where the log holds no prompts", "developers who search for a configuration key"]
-- needs = ["arguments"]
-- helps = ["argument_sizes", "prompts", "results"]
-- window = "24h"
-- params = { several = 3, max_bytes = 1024 }
WITH searched AS (
    SELECT call_id, session_id, agent, server, tool, time,
           lower(regexp_replace(arguments, '^.*?((passw(or)?d|passphrase|secret|api[ _-]?key|apikey|access[ _-]?key|auth[ _-]?token|access[ _-]?token|bearer|private[ _-]?key|credential|id_rsa|\.env\b|\.pem\b|\.npmrc|kubeconfig|aws_secret|AKIA|ghp_|sk-|xox[bp]-|BEGIN (RSA|OPENSSH|EC)|passwort|kennwort|zugangsdaten|contraseña|mots? de passe|senha|has[łl]o|пароль|密[码碼]|パスワード|비밀번호)s?).*$', '\1', 'is')) AS term,
           NOT regexp_like(wanted, '"(q|quer(y|ies)|search\w*|patterns?|regex(es)?|globs?|keyword\w*|term\w*|text|filter|name|filename|path|phrases?|s)"\s*:\s*(\[\s*("[^"]*"\s*,\s*)*)?"[^"]*(passw(or)?ds?\b|passphrase|secrets?\b|api[ _-]?keys?\b|apikey|access[ _-]?key|auth[ _-]?token|access[ _-]?token|bearer\b|private[ _-]?key|credentials?\b|id_rsa|\.env\b|\.pem\b|\.npmrc|kubeconfig|aws_secret|AKIA|ghp_|\bsk-|xox[bp]-|BEGIN (RSA|OPENSSH|EC)|passwort|kennwort|zugangsdaten|contraseñ|mots? de passe|\bsenhas?\b|has[łl]o\b|парол|密[码碼]|パスワード|비밀번호)', 'i') AS topic
    FROM (SELECT call_id, session_id, agent, server, tool, time, arguments,
                 -- Without questions, and without what help pages are called. What else stands in the same call is looked for all the same.
                 regexp_replace(regexp_replace(arguments, '"\s*:\s*"\s*(how|what|why|where|when|can|does|is|should|best|which)\s[^"]*"', '":""', 'gi'),
                                '\b(forgot(ten)?|reset(ting)?|chang(e|ing)|rotat(e|ing)|recover(ing)?)\s+((my|your|the|an?|user|account)\s+)*(passw(or)?d|passphrase|secret|credential|token|(api|access|private)[ _-]?key)s?\b'
                                || '|\b(passw(or)?d|passphrase|secret|credential|token|(api|access|private)[ _-]?key)s?\s+(reset\w*|manager\w*|management|polic(y|ies)|rotation|hygiene|strength|requirements?|documentation|docs|guides?|tutorials?|best practices?|santa)\b', '', 'gi') AS wanted
          FROM calls
          WHERE event_kind = 'call' AND method = 'tools/call' AND outcome IN ('success', 'unknown', 'no_response') AND arguments_bytes <= $max_bytes
            AND regexp_like(tool, 'search|find|grep|query|lookup|glob|list', 'i') AND NOT array_has_any(capabilities, make_array('executes', 'credentials'))
            AND regexp_like(arguments, '[Pp][Aa][Ss][Ss]|[Ss][Ee][Cc][Rr][Ee][Tt]|[Kk][Ee][Yy]|[Tt][Oo][Kk][Ee][Nn]|[Bb]earer|[Cc]redential|id_rsa|\.env|\.pem|\.npmrc|kubeconfig|AKIA|ghp_|sk-|xox|BEGIN|[Kk]ennw|[Zz]ugangs|[Cc]ontras|[Ss]enha|[Hh]as[łl]|арол|密|パスワ|비밀')
            AND regexp_like(arguments, '"(q|quer(y|ies)|search\w*|patterns?|regex(es)?|globs?|keyword\w*|term\w*|text|filter|name|filename|path|phrases?|s)"\s*:\s*(\[\s*("[^"]*"\s*,\s*)*)?"[^"]*(passw(or)?ds?\b|passphrase|secrets?\b|api[ _-]?keys?\b|apikey|access[ _-]?key|auth[ _-]?token|access[ _-]?token|bearer\b|private[ _-]?key|credentials?\b|id_rsa|\.env\b|\.pem\b|\.npmrc|kubeconfig|aws_secret|AKIA|ghp_|\bsk-|xox[bp]-|BEGIN (RSA|OPENSSH|EC)|passwort|kennwort|zugangsdaten|contraseñ|mots? de passe|\bsenhas?\b|has[łl]o\b|парол|密[码碼]|パスワード|비밀번호)', 'i'))
),
found AS (                       -- a help topic is no search, unless it brought a secret
    SELECT s.*, o.call_id IS NOT NULL AS got_secret
    FROM searched s LEFT JOIN (SELECT DISTINCT call_id FROM observables WHERE type = 'secret' AND origin = 'result') o ON o.call_id = s.call_id
    WHERE NOT s.topic OR o.call_id IS NOT NULL
),
opened AS (
    SELECT session_id, min(time) AS at, first_value(call_id ORDER BY time, call_id) AS call_id
    FROM observables
    WHERE type = 'file_path' AND origin = 'argument' AND regexp_like(value, '[/\\]\.|credential|secret|id_|passw|shadow|\.pem|\.key|token', 'i') AND is_credential_path(value)
    GROUP BY session_id
),
asked AS (
    SELECT f.call_id, min(f.session_id) AS session_id, min(f.agent) AS agent, min(f.server) AS server, min(f.tool) AS tool, min(f.time) AS time, min(f.term) AS term, bool_and(f.topic) AS topic, bool_or(f.got_secret) AS got_secret,
           count(q.session_id) > 0 AS asked
    FROM found f
    LEFT JOIN prompts q ON q.session_id = f.session_id AND q.time <= f.time AND regexp_like(q.text, 'passw(or)?d|secret|api[ _-]?key|credential|token|private key|leak', 'i')
    GROUP BY f.call_id
)
SELECT a.session_id, min(a.agent) AS agent, CASE WHEN count(DISTINCT a.server) = 1 THEN min(a.server) END AS server, min(a.time) AS first_seen, max(a.time) AS last_seen,
       array_agg(a.call_id ORDER BY a.time, a.call_id) AS call_ids,
       CASE CASE WHEN bool_and(a.topic) THEN 0 ELSE 1 END + CASE WHEN count(DISTINCT a.term) >= $several THEN 1 ELSE 0 END + CASE WHEN bool_or(a.got_secret) OR max(o.at) > min(a.time) THEN 1 ELSE 0 END - CASE WHEN bool_and(a.asked) THEN 1 ELSE 0 END
            WHEN 3 THEN 'high' WHEN 2 THEN 'medium' WHEN 1 THEN 'low' ELSE 'informational' END AS level,
       min(concat_ws('/', a.server, a.tool)) || ' searched for ' || array_to_string(array_slice(array_sort(array_agg(DISTINCT left(a.term, 40))), 1, 5), ', ')
           || CASE WHEN bool_or(a.got_secret) THEN ', and got a secret' WHEN max(o.at) > min(a.time) THEN '; a place of credentials was opened afterwards' ELSE '' END AS message,
       count(*) AS searches, array_sort(array_agg(DISTINCT left(a.term, 40))) AS terms
FROM asked a
LEFT JOIN opened o ON o.session_id = a.session_id
GROUP BY a.session_id
