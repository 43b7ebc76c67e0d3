-- id = "unasked_effect_on_named_target"
-- title = "Something that only a result named was deleted, run, written to or contacted, and the user spoke of no such thing"
-- level = "high"
-- status = "test"
-- description = """
--   An identifying argument (path, address, id, account, command line) of a call with a side effect first appeared in a result that others can write, nobody else had named it, and
--   the user's prompts neither name it nor speak of that kind of action.
--   high: the action deletes, runs code, changes credentials or sends data to the named address; or it types a login, an account or a card that a private source returned into a page at that address, and the user spoke of no link, form or page.
--   medium: it writes, schedules or invites; or it types such values into such a page, where the log holds no prompts. What the agent itself made in the session and then removes is one level less. low: the log holds no prompts, and the action deletes or runs.
--   What kind of action a user speaks of is told by words (English); a prompt in another script counts as speaking of it,
--   and one in our script without a common English word leaves it at medium. "Do what the mail says" and the like excuse everything: then order_carried_out
--   is the rule to look at. The fields of a page are no target, and without prompts neither is a site that the agent had opened by an address that no result gave it. Payments are payment_to_named_account.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi01", "owasp.asi02", "atlas.AML.T0051.001", "atlas.AML.T0053", "attack.T1204"]
-- falsepositives = ["steps that a task needs and nobody mentions (cleaning up a temporary file that a tool named)"]
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
-- window = "24h"
WITH typed AS (                  -- calls that carry a value of a private source that nobody else can write, and the user did not give
    SELECT DISTINCT sink_call_id
    FROM flows
    WHERE kind IN ('value', 'secret') AND has_capability(sink_capabilities, 'egress') AND NOT array_has_any(sink_capabilities, make_array('executes', 'pays')) AND NOT coalesce(user_named, false)
      AND array_has_any(source_capabilities, make_array('reads_private', 'credentials')) AND NOT has_capability(source_capabilities, 'reads_untrusted') AND NOT is_mention(sink_path)
      AND lower(value) <> lower(coalesce(destination, ''))
      AND sink_call_id IN (SELECT call_id FROM calls WHERE arguments_bytes <= 65536 AND regexp_like(arguments, 'passw|passphrase|passcode|\bpin\b|pin_|card|cvv|cvc|account|iban|\bssn|social|secret|token|one.?time|\botp|passport', 'i'))
),
named AS (
    SELECT session_id, sink_call_id, min(agent) AS agent, min(time) AS time, min(sink_server) AS server, min(sink_tool) AS tool, coalesce(min(value) FILTER (WHERE lower(value) = lower(destination) OR starts_with(lower(value), lower(destination) || '/') OR host_of(value) = destination), min(value)) AS value, min(destination) AS place,
           bool_or(has_capability(sink_capabilities, 'executes')) AS runs, bool_or(has_capability(sink_capabilities, 'destructive')) AS deletes,
           bool_or(has_capability(sink_capabilities, 'credentials')) AS credentials, bool_or(has_capability(sink_capabilities, 'egress')) AS sends,
           first_value(source_call_id ORDER BY source_time, source_call_id) AS source_call_id, min(source_time) AS source_time, min(concat_ws('/', source_server, source_tool)) AS source,
           -- The target itself, not a word of a text: the value is most of its argument, or where data goes.
           bool_or(lower(value) = lower(destination) OR starts_with(lower(value), lower(destination) || '/') OR host_of(value) = destination) AS is_destination, bool_or(user_named) AS user_named,
           -- A part of a page that a browser was told to fill or press, in the page that names it.
           bool_and(sink_server = source_server AND NOT is_mention(sink_path) AND regexp_like(sink_path, '/(ref|selector|element|locator|field|uid|xpath|node|handle|index|(input|element|field|node|button)s?_?ids?)(/\d+)?$', 'i')
                    AND regexp_like(concat_ws('/', source_server, source_tool), 'browse|page|web|snapshot|navigate|playwright|puppeteer|chrome|screenshot|dom\b', 'i')) AS of_page,
           -- A text that mentions it acts on something else.
           bool_and(is_mention(sink_path) AND NOT array_has_any(sink_capabilities, make_array('executes', 'destructive'))) AS in_text
    FROM flows
    WHERE kind = 'value' AND first_origin AND NOT coalesce(user_named, false) AND array_has_any(source_capabilities, make_array('reads_untrusted'))
      AND array_has_any(sink_capabilities, make_array('destructive', 'executes', 'credentials', 'egress', 'writes')) AND NOT array_has_any(sink_capabilities, make_array('pays', 'reads_untrusted'))
      AND regexp_like(value, '[@/\\.:_-]|[0-9]')
    GROUP BY session_id, sink_call_id
),
kinds AS (
    SELECT *, CASE WHEN sends AND is_destination AND NOT runs AND strpos(value, '@') = 0 AND typed THEN 'type' WHEN runs THEN 'run' WHEN deletes THEN 'delete' WHEN credentials THEN 'credentials' WHEN sends AND is_destination THEN 'send' ELSE 'write' END AS kind
    FROM (SELECT n.*, t.sink_call_id IS NOT NULL AS typed FROM named n LEFT JOIN typed t ON t.sink_call_id = n.sink_call_id)
),
own_site AS (                    -- the agent had opened that site before by an address that no result had given it: somebody had told it to
    SELECT DISTINCT k.sink_call_id
    FROM kinds k
    JOIN observables o ON o.session_id = k.session_id AND o.time < k.time
    LEFT JOIN flows f ON f.sink_call_id = o.call_id AND f.kind = 'value' AND registrable_domain(coalesce(host_of(f.value), lower(f.value))) = registrable_domain(k.place)
    WHERE k.kind = 'type' AND o.origin = 'argument' AND o.type IN ('url', 'domain') AND NOT is_mention(o.path) AND registrable_domain(coalesce(host_of(o.value), lower(o.value))) = registrable_domain(k.place)
      AND f.flow_id IS NULL
),
asked AS (
    SELECT k.session_id, k.sink_call_id, min(k.agent) AS agent, min(k.time) AS time, min(k.server) AS server, min(k.tool) AS tool, min(k.kind) AS kind, min(k.value) AS value, min(k.source_call_id) AS source_call_id,
           min(k.source_time) AS source_time, min(k.source) AS source, min(c.outcome) AS outcome, count(q.session_id) AS prompts,
           -- An earlier call that writes had it in its arguments.
           bool_or(k.kind = 'delete' AND m.sink_call_id IS NOT NULL) AS made, bool_or(s.sink_call_id IS NOT NULL) AS own_site, bool_or(k.of_page) AS of_page,
           bool_or(k.in_text AND coalesce(strpos(c.arguments, '"' || k.value || '"'), 0) = 0) AS mentioned,
           coalesce(bool_or(regexp_like(q.text, CASE k.kind
               WHEN 'delete' THEN '\b(delet\w*|remov\w*|clean\w*|purg\w*|drop\w*|cancel\w*|trash\w*|unsubscrib\w*|clear\w*|empt\w+|eras\w+|revok\w*|get rid|wip\w+|move[sd]?|replac\w+|uninstall\w*|reset\w*|chang\w+|updat\w+)\b'
               WHEN 'run' THEN '\b(run\w*|execut\w*|install\w*|buil[dt]\w*|test\w*|start\w*|deploy\w*|script\w*|command\w*|set ?up|fix\w*|debug\w*|implement\w*|refactor\w*|check\w*|code|commit\w*|updat\w*|upgrad\w*|migrat\w*|analy\w*|investigat\w*|unpack\w*|unzip\w*|extract\w*|untar\w*|decompress\w*|convert\w*|compil\w*|process\w*|import\w*|load\w*|train\w*|benchmark\w*|render\w*)\b'
               WHEN 'credentials' THEN '\b(passw\w+|token\w*|key\w*|secret\w*|credential\w*|log ?in|sign ?in|account\w*|register\w*|authori\w+)\b'
               WHEN 'type' THEN '\b(links?|urls?|forms?|pages?|sites?|websites?|portals?|survey\w*|questionnaire\w*|log ?in|sign ?(in|up)|regist\w*|enrol\w*|appl(y|ication)\w*|book\w*|reserv\w*|order\w*|check ?out|check ?in|verif\w*|confirm\w*)\b'
               WHEN 'send' THEN '\b(send\w*|sent|e-?mail\w*|mail\w*|messag\w*|repl\w+|answer\w*|respond\w*|forward\w*|shar\w+|post\w*|invit\w*|tell\w*|notif\w*|writ\w+|contact\w*|inform\w*|ask\w*|submit\w*|upload\w*|schedul\w*|book\w*|reserv\w*|regist\w*|sign ?up|rsvp|add\w*|creat\w*|appointment\w*|meeting\w*|event\w*)\b'
               ELSE '\b(writ\w+|creat\w*|add\w*|sav\w+|updat\w*|chang\w*|edit\w*|mak\w+|book\w*|reserv\w*|schedul\w*|put|set|stor\w+|cop\w+|mov\w+|fil\w+|not\w+|record\w*|order\w*|cart|download\w*|appointment\w*|meeting\w*|event\w*|regist\w*|generat\w*|document\w*|report\w*|summar\w*|fix\w*|implement\w*|plan\w*)\b' END, 'i')
               -- Another page of a site that the user named.
               OR (k.kind = 'type' AND strpos(lower(q.text), registrable_domain(k.place)) > 0)
               -- Whoever hands the task over to what is read, has asked for what it says.
               OR hands_over(q.text)
               -- A person is named by a part of the address.
               OR (strpos(k.value, '@') > 0 AND regexp_like(lower(q.text), '\b(' || nullif(btrim(regexp_replace(regexp_replace(split_part(lower(k.value), '@', 1), '[^a-z]+', '|', 'g'), '(^|\|)[a-z]{1,2}(\||$)', '|', 'g'), '|'), '') || ')\b'))
               OR regexp_like(q.text, '[\p{Han}\p{Hiragana}\p{Cyrillic}\p{Hangul}\p{Arabic}]')), false) AS speaks,
           -- No word of English: it may speak of it.
           coalesce(bool_or(is_other_language(q.text)), false) AS other_language
    FROM kinds k
    JOIN calls c ON c.call_id = k.sink_call_id
    LEFT JOIN (SELECT DISTINCT d.sink_call_id
               FROM kinds d JOIN calls w ON w.session_id = d.session_id AND w.time < d.time
               WHERE d.kind = 'delete' AND w.event_kind = 'call' AND w.outcome = 'success' AND has_capability(w.capabilities, 'writes') AND NOT has_capability(w.capabilities, 'destructive')
                 AND strpos(w.arguments, d.value) > 0) m ON m.sink_call_id = k.sink_call_id
    LEFT JOIN own_site s ON s.sink_call_id = k.sink_call_id
    LEFT JOIN prompts q ON q.session_id = k.session_id AND q.time <= k.time
    GROUP BY k.session_id, k.sink_call_id
),
graded AS (
    SELECT *, CASE WHEN speaks OR mentioned OR (kind = 'write' AND of_page) OR outcome IN ('denied', 'cancelled', 'protocol_error') THEN 0
                   WHEN prompts = 0 THEN CASE WHEN kind = 'type' THEN CASE WHEN own_site THEN 0 ELSE 2 END WHEN kind IN ('delete', 'run') THEN 1 ELSE 0 END
                   WHEN kind = 'write' OR other_language OR made THEN 2 ELSE 3 END AS grade
    FROM asked
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, first_value(server ORDER BY grade DESC, time) AS server, first_value(tool ORDER BY grade DESC, time) AS tool,
           first_value(source ORDER BY grade DESC, time) AS source, first_value(value ORDER BY grade DESC, time) AS value, max(prompts) AS prompts
    FROM (SELECT *, unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' acted on ' || left(min(value), 100) || ', which only a result of ' || min(source) || ' had named'
           || CASE WHEN max(prompts) > 0 THEN '; the user had spoken of no such thing' ELSE '' END AS message, left(min(value), 300) AS target
FROM evidence
GROUP BY session_id
