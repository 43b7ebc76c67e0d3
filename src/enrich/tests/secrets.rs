//! Every kind of secret, in every place and spelling; and what is none.

use super::*;
use serde_json::json;

const ALNUM: &str = "a8Kq3ZrT1mXw9LpB5vNc7JdH2sYf4GgR6tUeQ0iWoPxVyMzAbCkDlEnFhIjOuS3a8Kq3ZrT1mXw9LpB5vNc7JdH2sYf4GgR6tUeQ0iWoPxVyMzAbCk";

fn alnum(n: usize) -> String {
    ALNUM.chars().cycle().take(n).collect()
}

fn hex(n: usize) -> String {
    "3f9a0b7c1d5e2846".chars().cycle().take(n).collect()
}

fn jwt(signature: &str) -> String {
    use base64::Engine as _;
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), part("{\"sub\":\"1234567890\"}"))
}

fn pem() -> String {
    format!("-----BEGIN RSA {0}-----\n{1}\n{2}==\n-----END RSA {0}-----", "PRIVATE KEY", alnum(64), alnum(20))
}

/// Type and token.
pub(super) fn tokens() -> Vec<(&'static str, String)> {
    vec![
        ("aws_access_key_id", format!("AKIA{}", alnum(16).to_uppercase())),
        ("gcp_api_key", format!("AIza{}", alnum(35))),
        ("google_oauth_token", format!("ya29.{}", alnum(60))),
        ("google_oauth_secret", format!("GOCSPX-{}", alnum(28))),
        ("azure_client_secret", format!("{}8Q~{}", alnum(3), alnum(34))),
        ("github_token", format!("ghp_{}", alnum(36))),
        ("github_token", format!("gho_{}", alnum(36))),
        ("github_token", format!("ghs_{}", alnum(36))),
        ("github_token", format!("github_pat_{}_{}", alnum(22), alnum(59))),
        ("gitlab_token", format!("glpat-{}", alnum(20))),
        ("slack_token", format!("xoxb-{}-{}-{}", "123456789012", "123456789012", alnum(24))),
        ("slack_token", format!("xapp-1-A0{}-{}-{}", "12345678", "1234567890", hex(64))),
        ("stripe_key", format!("sk_live_{}", alnum(24))),
        ("openai_key", format!("sk-proj-{}", alnum(48))),
        ("openai_key", format!("sk-{}", alnum(48))),
        ("anthropic_key", format!("sk-ant-api03-{}", alnum(93))),
        ("huggingface_token", format!("hf_{}", alnum(34))),
        ("npm_token", format!("npm_{}", alnum(36))),
        ("pypi_token", format!("pypi-AgEI{}", alnum(80))),
        ("sendgrid_key", format!("SG.{}.{}", alnum(22), alnum(43))),
        ("twilio_key", format!("SK{}", hex(32))),
        ("telegram_bot_token", format!("{}:AA{}", "1234567890", alnum(33))),
        ("discord_bot_token", format!("M{}.{}.{}", alnum(23), alnum(6), alnum(38))),
        ("digitalocean_token", format!("dop_v1_{}", hex(64))),
        ("databricks_token", format!("dapi{}", hex(32))),
        ("aws_bedrock_key", format!("ABSKQmVkcm9ja0FQSUtleS{}", alnum(90))),
        ("azure_ai_key", format!("{}JQQJ99{}", alnum(52), alnum(26))),
        ("gcp_api_key", format!("AQ.Ab8{}", alnum(44))),
        ("nvidia_key", format!("nvapi-{}", alnum(64))),
        ("elevenlabs_key", format!("sk_{}", hex(48))),
        ("langfuse_key", format!("sk-lf-{}-{}-{}", hex(8), "4a5b-8c9d-7e6f", hex(12))),
        ("pinecone_key", format!("pcsk_{}_{}", alnum(6), alnum(60))),
        ("vercel_token", format!("vck_{}", alnum(56))),
        ("brevo_key", format!("xkeysib-{}-{}", hex(64), alnum(16))),
        ("resend_key", format!("re_{}_{}", alnum(8), alnum(24))),
        ("atlassian_token", format!("ATATT3{}", alnum(60))),
        ("shopify_token", format!("shpat_{}", hex(32))),
        ("linear_key", format!("lin_api_{}", alnum(40))),
        ("notion_token", format!("ntn_{}", alnum(46))),
        ("postman_key", format!("PMAK-{}-{}", hex(24), hex(34))),
        ("vault_token", format!("hvs.{}", alnum(90))),
        ("age_secret_key", format!("AGE-SECRET-KEY-1{}", alnum(58).to_uppercase())),
        ("dockerhub_token", format!("dckr_pat_{}", alnum(27))),
        ("newrelic_key", format!("NRAK-{}", alnum(27).to_uppercase())),
        ("jwt", jwt(&alnum(43))),
        ("jwt", jwt("")),
        ("private_key", pem()),
    ]
}

#[test]
fn shapes_are_found_in_every_spelling() {
    use base64::Engine as _;
    for (kind, token) in tokens() {
        let percent: String = token
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
            .collect();
        let nested = json!({"headers": {"x": json!({"t": token}).to_string()}}).to_string();
        let places = [
            json!(token),
            json!({"text": format!("use {token}\nnow")}),
            json!({"text": format!("log line\\n{}", token.replace('\n', "\\n"))}),
            json!({ token.clone(): 1 }),
            json!({"body": nested}),
            json!({"url": format!("https://api.example.com/v1?x=1&k={percent}&y=2")}),
            json!(format!("q%3D%22{percent}%22")),
            json!({"config": base64::engine::general_purpose::STANDARD.encode(format!("key: {token}\nregion: eu-1\n"))}),
        ];
        for place in places {
            let (call, enriched) = result(&place);
            let stored = call.result.expect("stored");
            let value: serde_json::Value = serde_json::from_str(&stored).expect("valid");
            let plain = value.to_string();
            let needle = token.split(['\n', '.', '-', '_', ':', '~']).max_by_key(|part| part.len()).expect("a part");
            assert!(!plain.contains(needle), "{kind}: {place} -> {stored}");
            assert!(stored.contains(&format!("[secret:{kind}:")), "{kind}: {place} -> {stored}");
            assert!(has(call.flags, Flag::SecretRedacted));
            assert!(enriched.observables.iter().any(|o| o.kind == "secret"), "{kind}: {place}");
            assert!(
                enriched.observables.iter().all(|o| !o.value.contains(needle) && !o.path.contains(needle)),
                "{kind}: {place}"
            );
        }
    }
}

#[test]
fn named_values_are_found() {
    let word = "hunter2hunter";
    let random = alnum(24);
    let cases = [
        (json!({"password": word}), word),
        (json!({"dbPassword": "correct horse battery"}), "correct horse"),
        (json!({"user-passwd": "letmein"}), "letmein"),
        (json!({"password": 48151623}), "48151623"),
        (json!({"client_secret": random}), &random),
        (json!({"X-Api-Key": random}), &random),
        (json!({"apiKey": random}), &random),
        (json!({"SECRET_ACCESS_KEY": format!("{}/{}+{}", alnum(12), alnum(13), alnum(13))}), &random[..12]),
        (json!({"headers": {"Authorization": format!("Bearer {random}")}}), &random),
        (json!({"headers": {"Authorization": ["Basic dXNlcjpodW50ZXIyaHVudGVyMg=="]}}), "dXNlcjpodW50"),
        (json!({"Cookie": "sid=8f7d6c5b4a39; theme=dark"}), "8f7d6c5b"),
        (json!({"env": [{"name": "API_TOKEN", "value": random}]}), &random),
        (json!({"args": ["--password", word]}), word),
        (json!({"body": json!({"login": {"password": "p\"w\\ü-x9"}}).to_string()}), "ü-x9"),
        (json!(format!("PASSWORD={word}\nX=1")), word),
        (json!("password: letmein\nuser: bob"), "letmein"),
        (json!(format!("mysql --password {word} -h x")), word),
        (json!(format!("{{\\\"token\\\":\\\"{random}\\\"}}")), &random),
        (json!(format!("curl -H 'Authorization: Bearer {random}' https://x.example.com")), &random),
        (json!(format!("https://x.example.com/?access_token={random}&a=1")), &random),
        (json!(format!("postgres://admin:{word}@db.example.com/x")), word),
        (json!("redis://:a/b#c@cache.example.com:6379"), "a/b#c"),
        (json!(format!("Server=x;User Id=sa;Password={word};Encrypt=true")), word),
        (json!(format!("AccountName=x;AccountKey={}==;E=1", alnum(86))), &random),
        (json!(format!("https://a.blob.example.com/c?sv=2024&sig={}%3D&se=1", alnum(43))), &random),
        (json!(format!("https://hooks.slack.com/services/T0{}/B0{}/{random}", "12345678", "12345678")), &random),
        (json!(format!("https://mcp.zapier.com/api/mcp/s/{random}/mcp")), &random),
        (json!(format!("curl -s -u admin:{word} https://x.example.com")), word),
        (json!(format!("curl --user 'bob@x.example:{word}' https://x.example.com")), word),
        (json!(format!("mysql -uroot -p{word} shop < dump.sql")), word),
        (json!(format!("sshpass -p '{word}' ssh bob@x.example.com")), word),
        (json!({"args": ["-c", format!("mysqldump -u root -p{word} shop")]}), word),
        (json!(format!("api_key%3D{random}%26b%3D1")), &random),
        (json!(format!("AKIA{}\n{}/{}", alnum(16).to_uppercase(), alnum(20), &ALNUM[30..49])), &ALNUM[..20]),
        (json!(format!("{{\"password\":\"{word}")), word),
    ];
    for (place, secret) in cases {
        let (call, enriched) = result(&place);
        let stored = call.result.expect("stored");
        let value: serde_json::Value = serde_json::from_str(&stored).expect("valid");
        assert!(!stored.contains(secret) && !value.to_string().contains(secret), "{place} -> {stored}");
        assert!(stored.contains("[secret:"), "{place} -> {stored}");
        assert!(enriched.observables.iter().all(|o| !o.value.contains(secret)), "{place}: {:?}", enriched.observables);
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        json!({"password": "***", "token": "REDACTED", "api_key": "<your key>", "secret": "${SECRET}", "passwd": "changeme"}),
        json!({"max_tokens": 4096, "token": "next", "nextPageToken": alnum(30), "auth": "oauth2", "secret_name": "prod-db-password-v2"}),
        json!({"progressToken": "a8Kq3ZrT1mXw9LpB", "key": "a8Kq3ZrT1mXw9LpB", "public_key": "a8Kq3ZrT1mXw9LpB"}),
        json!("the password: must be at least eight characters long"),
        json!("token = get_token(user)\nif password == other: pass\npassword = self.read_password"),
        json!("task-0123456789abcdef0123456789abcdef risk-free disk-a8Kq3ZrT1mXw9LpB5vNc7"),
        json!(
            "docker run -u 1000:1000 -p 8080:8080 x; curl -u $USER:$PASS y; curl -u user:password z; mysql -u root -p shop; mkdir -pv a/b2c3d4; ssh -p2222222 h"
        ),
        json!({"id": "550e8400-e29b-41d4-a716-446655440000", "sha": hex(40), "etag": hex(32)}),
        json!("https://example.com:8080/a@b and user:password@host and postgres://user:${PASS}@db/x"),
        json!(
            "eyJhbGciOiJIUzI1NiJ9 alone, getElementsByTagNameNS, -----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"
        ),
        json!({"secret": "my-application-secret-name", "credential": "aws-profile", "cookie": "theme"}),
        json!({"password": "[secret:password:0123456789abcdef]"}),
        json!(
            "reset your password: https://reset.example.com/x\nPWD=/home/bob/src\n--- PASS: TestSlice7 (0.00s)\nif has(kv, \"PWD=\") && x8 == \"C\""
        ),
    ] {
        let (call, _) = result(&text);
        assert_eq!(call.result, Some(text.to_string()));
        assert!(!has(call.flags, Flag::SecretRedacted));
    }
}

#[test]
fn one_secret_one_fingerprint_everywhere() {
    let secret = "Tr0ub4dor&3";
    let (call, enriched) = result(
        &json!({"password": secret, "note": format!("it is {secret}!"), secret: json!([secret]).to_string(), "n": "Tr0ub4dor"}),
    );
    let stored = call.result.expect("stored");
    assert_eq!(stored.matches("[secret:password:").count(), 4, "{stored}");
    assert!(stored.contains("\"n\":\"Tr0ub4dor\""));
    let values: std::collections::BTreeSet<_> =
        enriched.observables.iter().filter(|o| o.kind == "secret").map(|o| &o.value).collect();
    assert_eq!(values.len(), 1);
    assert_ne!(call.result_hash, enriched.result_identity);

    let run = |key: u8, keep_secrets: bool| {
        let enricher = Enricher::new(EnrichOptions { keep_secrets, ..EnrichOptions::new([key; 32]) });
        let mut call = Call {
            arguments: Some(json!({"token": alnum(32)}).to_string()),
            error_message: Some(format!("bad token {}", alnum(32))),
            arguments_state: PayloadState::Present,
            ..Call::default()
        };
        let enriched = enricher.call(&mut call);
        (call, enriched)
    };
    let ((a, first), (b, second), (kept, third)) = (run(1, false), run(2, false), run(1, true));
    assert_ne!(a.arguments_hash, b.arguments_hash);
    assert_eq!(first.arguments_identity, second.arguments_identity);
    assert_eq!(first.arguments_identity, third.arguments_identity);
    assert!(!a.error_message.expect("kept").contains(&alnum(32)));
    assert!(
        kept.arguments.expect("kept").contains(&alnum(32)) && kept.error_message.expect("kept").contains(&alnum(32))
    );
    assert!(!has(kept.flags, Flag::SecretRedacted));
    assert_eq!(first.observables[0].value, third.observables[0].value);
}

#[test]
fn texts_beside_the_payloads_are_redacted() {
    let secret = alnum(32);
    let mut call = Call {
        server: Some(format!("https://mcp.example.com/mcp?api_key={secret}").into()),
        error_type: Some(format!("refused: token={secret}").into()),
        ..Call::default()
    };
    let more = call.more();
    more.server_command = Some(format!("npx posts --token {secret}"));
    more.approval_source = Some(format!("rule for token={secret}").into());
    enricher().context(&mut call);
    let all = format!("{call:?}");
    assert!(!all.contains(&secret) && all.matches("[secret:").count() == 4, "{all}");
    let schema = json!({"properties": {"token": {"default": secret, "description": format!("api_key={secret}")}}});
    let stored = enricher().json(&schema.to_string());
    assert!(!stored.contains(&secret), "{stored}");
}
