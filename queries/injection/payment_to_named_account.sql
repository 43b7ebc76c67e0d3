-- id = "payment_to_named_account"
-- title = "Money goes to an account that only a result had named"
-- level = "high"
-- status = "test"
-- description = """
--   The recipient of a payment (account, IBAN, wallet, address, user) first appeared in a result that others could write, and no argument of the agent and no other
--   result had it before.
--   high: the log holds the user's prompts, and they neither name the recipient nor speak of paying. medium: there are no prompts, or they speak of paying but the sum too came from that result only.
--   So it is where the prompts are in a language of which it cannot be told. low: the user asked for a payment, and a document or page names where to (the usual bill). The agent's earlier payments to the recipient within the window make it nothing.
--   What a tool moves without a number in its arguments (files, ownership, a call) is no money. A payment that was denied or failed counts one level less. Needs payloads.
--   """
-- tags = ["owasp.mcp06", "owasp.mcp02", "owasp.asi01", "owasp.asi02", "atlas.AML.T0048.000", "atlas.AML.T0051.001", "attack.T1657"]
-- falsepositives = ["paying a bill whose page names the account, where the log holds no prompts"]
-- needs = ["arguments", "results"]
-- helps = ["prompts"]
-- window = "30d"
WITH named AS (
    SELECT session_id, agent, sink_call_id, min(time) AS time, min(sink_server) AS server, min(sink_tool) AS tool, coalesce(min(value) FILTER (WHERE regexp_like(value, '\d{6}|@|^0x')), min(value)) AS account, coalesce(min(value_hash) FILTER (WHERE regexp_like(value, '\d{6}|@|^0x')), min(value_hash)) AS account_hash,
           first_value(source_call_id ORDER BY source_time, source_call_id) AS source_call_id, min(source_time) AS source_time, min(concat_ws('/', source_server, source_tool)) AS source,
           -- Who asks what a supplier's mail says has named the supplier, and not the account in it.
           coalesce(bool_or(user_named) FILTER (WHERE regexp_like(value, '\d{6}|@|^0x')), bool_or(user_named)) AS user_named
    FROM flows
    WHERE kind IN ('value', 'content') AND first_origin AND array_has_any(sink_capabilities, make_array('pays')) AND array_has_any(source_capabilities, make_array('reads_untrusted', 'reads_private'))
      AND regexp_like(sink_path, '(recipient|account|iban|to|payee|beneficiary|destination|address|wallet|target|receiver|user\w*|customer\w*|member\w*|email|vendor|merchant|card\w*|number)(_?(id|name|number|address|iban))?(/\d+)?$', 'i')
    GROUP BY session_id, agent, sink_call_id
),
paid AS (                        -- recipients of earlier payments
    SELECT n.sink_call_id, count(p.flow_id) AS before
    FROM named n
    LEFT JOIN flows p ON p.agent = n.agent AND p.value_hash = n.account_hash AND p.time < n.time AND p.session_id <> n.session_id AND array_has_any(p.sink_capabilities, make_array('pays'))
    GROUP BY n.sink_call_id
),
asked AS (
    SELECT n.sink_call_id, min(n.session_id) AS session_id, min(n.agent) AS agent, min(n.time) AS time, min(n.server) AS server, min(n.tool) AS tool, min(n.account) AS account, min(n.source_call_id) AS source_call_id,
           min(n.source_time) AS source_time, min(n.source) AS source, bool_or(n.user_named) AS user_named, min(c.outcome) AS outcome,
           count(q.session_id) AS prompts, coalesce(bool_or(regexp_like(q.text, '\b(pay|paid|pays|paying|payment|transfer|send .{0,40}(money|amount|\d)|wire|bill|invoice|refund|purchase|buy|order|book|rent|subscri\w+|donat\w+|settle|owe|split|fee|reserv\w+|checkout|ticket|money|transaction|renew\w*|top.?up|deposit\w*|recharg\w+|credit\w*|fund\w*|charg\w+|tip|loan|debt|salary|rent\w*|balance)\b|bezahl|überweis|rechnung|erstatt|\bzahl\w*|\bkauf\w*|\bbuch\w+|\bpag(a|ar|ue|uer|ate|are|amento)\b|factura|transfer(ir|encia|ência)|reembols|compr(a|ar|e)\b|\bpa(ie|ye|yer|yez|iement)\b|facture|virement|rembours|fattura|bonific|fatura|boleto|付款|支付|转账|轉帳|汇款|账单|支払|振込|請求書|оплат|счёт|счет|перевод', 'i')), false) AS speaks,
           -- No word of English: it may speak of it.
           coalesce(bool_or(is_other_language(q.text)), false) AS other_language
    FROM named n
    JOIN paid b ON b.sink_call_id = n.sink_call_id
    JOIN calls c ON c.call_id = n.sink_call_id
    LEFT JOIN prompts q ON q.session_id = n.session_id AND q.time <= n.time
    WHERE b.before = 0 AND NOT coalesce(n.user_named, false)
      AND NOT (regexp_like(n.tool, 'transfer|send|move', 'i') AND NOT regexp_like(c.arguments, '[:\[,]\s*"?[^\s"\w]{0,3}\d[\d.,_]*(\s*[a-z$€£]{1,4})?"?\s*[,}\]]', 'i'))
    GROUP BY n.sink_call_id
),
graded AS (
    SELECT *, CASE WHEN prompts = 0 THEN 2 WHEN speaks THEN 1 WHEN other_language THEN 2 ELSE 3 END - CASE WHEN outcome IN ('success', 'unknown', 'no_response') THEN 0 ELSE 1 END AS grade FROM asked
),
evidence AS (
    SELECT session_id, ev['id'] AS call_id, min(ev['at']) AS at, max(grade) AS grade, min(agent) AS agent, min(server) AS server, min(tool) AS tool, min(source) AS source, min(account) AS account, max(prompts) AS prompts, bool_or(speaks) AS speaks
    FROM (SELECT *, unnest(make_array(named_struct('id', source_call_id, 'at', source_time), named_struct('id', sink_call_id, 'at', time))) AS ev FROM graded WHERE grade > 0)
    GROUP BY session_id, ev['id']
)
SELECT session_id, min(agent) AS agent, min(at) AS first_seen, max(at) AS last_seen, array_agg(call_id ORDER BY at, call_id) AS call_ids,
       CASE max(grade) WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS level,
       min(concat_ws('/', server, tool)) || ' paid ' || coalesce(left(min(account), 80), 'somebody') || ', whom only a result of ' || min(source) || ' had named'
           || CASE WHEN max(prompts) > 0 AND NOT bool_or(speaks) THEN '; the user had not spoken of paying' ELSE '' END AS message,
       min(account) AS account
FROM evidence
GROUP BY session_id
