//! No secret of the logs reaches the disk: one value of every shape that providers use, wherever a log can hold it, is looked for in
//! every byte of the lake. The values are made here, so that none stands in the repository.

use crate::common::{Place, files};
use aho_corasick::AhoCorasick;
use arrow::array::{Array, AsArray as _};
use arrow::datatypes::DataType;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const DIGIT: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Name, and parts: a literal, or an alphabet with a length.
type Shape = (&'static str, &'static [(&'static str, usize)]);

/// Length 0 marks a literal.
#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    ("aws_access_key_id", &[("AKIA", 0), (UPPER, 16)]),
    ("aws_session_key_id", &[("ASIA", 0), (UPPER, 16)]),
    ("gcp_api_key", &[("AIza", 0), (ALNUM, 35)]),
    ("google_oauth_token", &[("ya29.", 0), (ALNUM, 60)]),
    ("google_oauth_secret", &[("GOCSPX-", 0), (ALNUM, 28)]),
    ("google_refresh_token", &[("1//0", 0), (ALNUM, 60)]),
    ("azure_client_secret", &[(ALNUM, 3), ("8Q~", 0), (ALNUM, 34)]),
    ("azure_devops_token", &[(ALNUM, 76), ("AZDO", 0), (ALNUM, 4)]),
    ("azure_ai_key", &[(ALNUM, 52), ("JQQJ99", 0), (ALNUM, 26)]),
    ("aws_bedrock_key", &[("ABSKQmVkcm9ja0FQSUtleS", 0), (ALNUM, 90)]),
    ("alibaba_access_key_id", &[("LTAI", 0), (ALNUM, 20)]),
    ("tencent_secret_id", &[("AKID", 0), (ALNUM, 32)]),
    ("digitalocean_token", &[("dop_v1_", 0), (HEX, 64)]),
    ("cloudflare_origin_key", &[("v1.0-", 0), (HEX, 24), ("-", 0), (HEX, 146)]),
    ("heroku_token", &[("HRKU-", 0), (ALNUM, 60)]),
    ("flyio_token", &[("fm2_", 0), (ALNUM, 80)]),
    ("netlify_token", &[("nfp_", 0), (ALNUM, 36)]),
    ("supabase_key", &[("sbp_", 0), (HEX, 40)]),
    ("planetscale_token", &[("pscale_tkn_", 0), (ALNUM, 43)]),
    ("github_token", &[("ghp_", 0), (ALNUM, 36)]),
    ("github_app_token", &[("ghs_", 0), (ALNUM, 36)]),
    ("github_pat", &[("github_pat_", 0), (ALNUM, 22), ("_", 0), (ALNUM, 59)]),
    ("gitlab_token", &[("glpat-", 0), (ALNUM, 20)]),
    ("bitbucket_token", &[("ATBB", 0), (ALNUM, 32)]),
    ("npm_token", &[("npm_", 0), (ALNUM, 36)]),
    ("pypi_token", &[("pypi-", 0), (ALNUM, 160)]),
    ("rubygems_token", &[("rubygems_", 0), (HEX, 48)]),
    ("crates_io_token", &[("cio", 0), (ALNUM, 32)]),
    ("nuget_key", &[("oy2", 0), (LOWER, 43)]),
    ("dockerhub_token", &[("dckr_pat_", 0), (ALNUM, 27)]),
    ("jfrog_key", &[("AKCp", 0), (ALNUM, 69)]),
    ("sonarqube_token", &[("squ_", 0), (HEX, 40)]),
    ("sourcegraph_token", &[("sgp_", 0), (HEX, 40)]),
    ("buildkite_token", &[("bkua_", 0), (LOWER, 40)]),
    ("circleci_token", &[("CCIPAT_", 0), (ALNUM, 22), ("_", 0), (HEX, 40)]),
    ("pulumi_token", &[("pul-", 0), (HEX, 40)]),
    ("terraform_token", &[(ALNUM, 14), (".atlasv1.", 0), (ALNUM, 67)]),
    ("anthropic_key", &[("sk-ant-api03-", 0), (ALNUM, 93), ("AA", 0)]),
    ("openrouter_key", &[("sk-or-v1-", 0), (HEX, 64)]),
    ("openai_project_key", &[("sk-proj-", 0), (ALNUM, 120)]),
    ("openai_key", &[("sk-", 0), (ALNUM, 48)]),
    ("huggingface_token", &[("hf_", 0), (ALNUM, 34)]),
    ("groq_key", &[("gsk_", 0), (ALNUM, 52)]),
    ("replicate_token", &[("r8_", 0), (ALNUM, 37)]),
    ("perplexity_key", &[("pplx-", 0), (ALNUM, 48)]),
    ("xai_key", &[("xai-", 0), (ALNUM, 80)]),
    ("langsmith_key", &[("lsv2_pt_", 0), (HEX, 32), ("_", 0), (HEX, 10)]),
    ("tavily_key", &[("tvly-", 0), (ALNUM, 32)]),
    ("firecrawl_key", &[("fc-", 0), (HEX, 32)]),
    ("slack_bot_token", &[("xoxb-", 0), (DIGIT, 12), ("-", 0), (DIGIT, 12), ("-", 0), (ALNUM, 24)]),
    ("slack_app_token", &[("xapp-1-A0", 0), (UPPER, 9), ("-", 0), (DIGIT, 13), ("-", 0), (HEX, 64)]),
    ("telegram_bot_token", &[("7", 0), (DIGIT, 9), (":AA", 0), (ALNUM, 33)]),
    ("sendgrid_key", &[("SG.", 0), (ALNUM, 22), (".", 0), (ALNUM, 43)]),
    ("twilio_key", &[("SK", 0), (HEX, 32)]),
    ("mailgun_key", &[("key-", 0), (HEX, 32)]),
    ("mailchimp_key", &[(HEX, 32), ("-us12", 0)]),
    ("stripe_key", &[("sk_live_", 0), (ALNUM, 99)]),
    ("stripe_webhook_secret", &[("whsec_", 0), (ALNUM, 32)]),
    ("shopify_token", &[("shpat_", 0), (HEX, 32)]),
    ("square_token", &[("sq0atp-", 0), (ALNUM, 22)]),
    ("facebook_token", &[("EAA", 0), (ALNUM, 150)]),
    ("plaid_token", &[("access-production-", 0), (HEX, 8), ("-", 0), (HEX, 4), ("-", 0), (HEX, 4), ("-", 0), (HEX, 4), ("-", 0), (HEX, 12)]),
    ("atlassian_token", &[("ATATT3", 0), (ALNUM, 180)]),
    ("linear_key", &[("lin_api_", 0), (ALNUM, 40)]),
    ("notion_token", &[("ntn_", 0), (ALNUM, 46)]),
    ("notion_old_token", &[("secret_", 0), (ALNUM, 43)]),
    ("postman_key", &[("PMAK-", 0), (HEX, 24), ("-", 0), (HEX, 34)]),
    ("figma_token", &[("figd_", 0), (ALNUM, 40)]),
    ("airtable_token", &[("pat", 0), (ALNUM, 14), (".", 0), (HEX, 64)]),
    ("hubspot_token", &[("pat-na1-", 0), (HEX, 8), ("-", 0), (HEX, 4), ("-", 0), (HEX, 4), ("-", 0), (HEX, 4), ("-", 0), (HEX, 12)]),
    ("contentful_token", &[("CFPAT-", 0), (ALNUM, 43)]),
    ("dropbox_token", &[("sl.", 0), (ALNUM, 130)]),
    ("grafana_token", &[("glsa_", 0), (ALNUM, 32), ("_", 0), (HEX, 8)]),
    ("newrelic_key", &[("NRAK-", 0), (UPPER, 27)]),
    ("sentry_token", &[("sntrys_", 0), (ALNUM, 80)]),
    ("dynatrace_token", &[("dt0c01.", 0), (UPPER, 24), (".", 0), (UPPER, 64)]),
    ("databricks_token", &[("dapi", 0), (HEX, 32)]),
    ("vault_token", &[("hvs.", 0), (ALNUM, 90)]),
    ("doppler_token", &[("dp.pt.", 0), (ALNUM, 43)]),
    ("tailscale_key", &[("tskey-auth-", 0), (ALNUM, 17), ("-", 0), (ALNUM, 32)]),
    ("onepassword_token", &[("ops_eyJ", 0), (ALNUM, 200)]),
    ("age_secret_key", &[("AGE-SECRET-KEY-1", 0), (UPPER, 58)]),
    ("jwt", &[("eyJhbGciOiJIUzI1NiJ9.eyJ", 0), (ALNUM, 60), (".", 0), (ALNUM, 43)]),
    ("postgres_url", &[("postgres://svc:", 0), (ALNUM, 24), ("@db.example:5432/orders", 0)]),
    ("password_field", &[("password=", 0), (ALNUM, 20)]),
    ("api_key_field", &[("X-Api-Key: ", 0), (ALNUM, 40)]),
    ("aws_secret_key_field", &[("aws_secret_access_key = ", 0), (ALNUM, 40)]),
    ("bearer", &[("Authorization: Bearer ", 0), (ALNUM, 40)]),
    ("private_key", &[("-----BEGIN PRIVATE KEY-----\n", 0), (ALNUM, 64), ("\n", 0), (ALNUM, 64), ("\n-----END PRIVATE KEY-----\n", 0)]),
];

/// The places in which a log can hold a secret.
const PLACES: &[&str] = &[
    "argument",
    "key",
    "result",
    "escaped",
    "nested",
    "url",
    "error",
    "description",
    "schema",
    "annotation",
    "command",
    "instructions",
    "stderr",
    "prompt",
    "reject",
    "open_tail",
    "tool",
    "client",
    "server_info",
];

/// One secret as a log holds it, and the pieces of it that must not be found.
struct Secret {
    text: String,
    pieces: Vec<String>,
}

/// The same for the same shape and place, different from all others.
fn secret(shape: &Shape, place: &str) -> Secret {
    let mut random = blake3::Hasher::new().update(shape.0.as_bytes()).update(place.as_bytes()).finalize_xof();
    let mut secret = Secret { text: String::new(), pieces: Vec::new() };
    for (part, length) in shape.1 {
        if *length == 0 {
            secret.text.push_str(part);
            continue;
        }
        let mut bytes = vec![0; *length];
        random.fill(&mut bytes);
        let made: String = bytes.iter().map(|byte| part.as_bytes()[usize::from(*byte) % part.len()] as char).collect();
        // A piece shows a token that was cut or found in part; shorter ones could be anything.
        secret.pieces.extend((*length >= 12).then(|| made[..16.min(*length)].to_owned()));
        secret.pieces.extend((*length >= 32).then(|| made[length - 16..].to_owned()));
        secret.text.push_str(&made);
    }
    secret
}

/// A log with one secret of the shape in each place of a capture.
fn capture(shape: &Shape) -> String {
    let s = |place: &str| secret(shape, place).text;
    let mut log = String::new();
    let mut line = |value: serde_json::Value| writeln!(log, "{value}").expect("memory");
    let request = |id: u32, arguments: serde_json::Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "post", "arguments": arguments}});
    let result = |id: u32, text: String| json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}});
    line(
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": s("client"), "version": "1"}}}),
    );
    line(
        json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": s("server_info"), "version": "1"}, "instructions": format!("sign in with {} first", s("instructions"))}}),
    );
    line(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    line(
        json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "post", "description": format!("Posts. For example with {} as the key.", s("description")), "inputSchema": {"type": "object", "properties": {"value": {"type": "string", "default": s("schema")}}}, "annotations": {"title": format!("with {}", s("annotation"))}}]}}),
    );
    line(request(2, json!({"value": s("argument")})));
    line(result(2, format!("the key is {} today", s("result"))));
    line(request(3, json!({"body": json!({"note": json!({"inner": s("nested")}).to_string()}).to_string()})));
    line(result(3, format!("line one\n\"{}\"\n\tline\ttwo", s("escaped"))));
    // What holds spaces or line ends stands in no address as it is.
    let in_url = if s("url").contains([' ', '\n']) { "none".to_owned() } else { s("url") };
    line(request(4, json!({"url": format!("https://api.example/v1?first=1&key={in_url}&last=2")})));
    line(
        json!({"jsonrpc": "2.0", "id": 4, "error": {"code": -32000, "message": format!("refused: {} is not valid", s("error")), "data": {"seen": s("stderr")}}}),
    );
    line(request(5, json!({s("key"): "value"})));
    line(json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": s("tool"), "arguments": {}}}));
    writeln!(
        log,
        "{{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{{\"name\": {}",
        s("reject").replace('\n', "\\n")
    )
    .expect("memory");
    write!(log, "{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{{\"name\":\"t\",\"arguments\":{{\"a\":\"{}", s("open_tail").replace('\n', "\\n")).expect("memory");
    log
}

/// A log of a desktop program that was given the secret as an option of the server.
fn desktop(shape: &Shape) -> String {
    let option = secret(shape, "command").text.replace('\n', "\\n");
    let lines = [
        format!(
            "Using MCP server command: npx with args and path: {{ metadata: {{ args: [ '-y', 'posts', '{option}' ], paths: [ '/bin' ] }} }} %o"
        ),
        "Server started and connected successfully".to_owned(),
        format!(
            "Message from client: {}",
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "post", "arguments": {"of": shape.0}}})
        ),
        format!("Message from server: {}", json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})),
    ];
    lines
        .iter()
        .enumerate()
        .fold(String::new(), |log, (at, line)| format!("{log}2026-11-09T08:00:{at:02}.000Z [posts] [info] {line}\n"))
}

fn ingest(place: &Place, options: &[&str]) -> crate::common::Said {
    let mut prompts = String::new();
    for (at, shape) in SHAPES.iter().enumerate() {
        place.write(&format!("logs/{}.jsonl", shape.0), capture(shape));
        place.write(&format!("logs/mcp-server-{}.log", shape.0), desktop(shape));
        let content = format!("use {} for it", secret(shape, "prompt").text);
        let prompt = json!({"type": "user", "uuid": format!("u{at}"), "parentUuid": null, "isSidechain": false, "userType": "external", "sessionId": "5e1f", "cwd": "/w", "version": "2.1.0", "timestamp": format!("2026-11-09T08:{:02}:{:02}.000Z", at / 60, at % 60), "message": {"role": "user", "content": content}});
        writeln!(prompts, "{prompt}").expect("memory");
    }
    place.write("logs/prompts.jsonl", prompts);
    place.run(0, ["ingest", "logs"].iter().chain(options))
}

/// What of the secrets stands in the lake, as "shape in place: file".
fn found(lake: &Path) -> BTreeSet<String> {
    let mut names = Vec::new();
    let mut needles = Vec::new();
    for shape in SHAPES {
        for place in PLACES {
            for piece in secret(shape, place).pieces {
                names.push(format!("{} in {place} ({})", shape.0, secret(shape, place).text.trim()));
                needles.push(piece);
            }
        }
    }
    let search = AhoCorasick::new(&needles).expect("literals");
    let mut hits = BTreeSet::new();
    let mut look = |bytes: &[u8], at: &str| {
        hits.extend(search.find_iter(bytes).map(|hit| format!("{}: {at}", names[hit.pattern().as_usize()])));
    };
    for file in files(lake) {
        let name = file.strip_prefix(lake).expect("below").to_string_lossy().into_owned();
        let table = name.split('/').next().unwrap_or_default().to_owned();
        let bytes = std::fs::read(&file).expect("readable");
        look(&bytes, &name);
        if name.ends_with(".zst") {
            look(&zstd::decode_all(&bytes[..]).expect("zstd"), &name);
        }
        if name.ends_with(".parquet") {
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
                std::fs::File::open(&file).expect("file"),
            );
            for batch in reader.expect("Parquet").build().expect("Parquet") {
                let batch = batch.expect("Parquet");
                for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                    texts(column.as_ref(), &mut |text| look(text.as_bytes(), &format!("{table}.{}", field.name())));
                }
            }
        }
    }
    hits
}

/// Every text of a column, those in lists and structs too.
fn texts(column: &dyn Array, each: &mut dyn FnMut(&str)) {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().for_each(each),
        DataType::List(_) => texts(column.as_list::<i32>().values().as_ref(), each),
        DataType::Map(..) => texts(column.as_map().entries(), each),
        DataType::Struct(_) => column.as_struct().columns().iter().for_each(|inner| texts(inner.as_ref(), each)),
        _ => {}
    }
}

#[test]
fn no_secret_reaches_the_disk() {
    let place = Place::new();
    ingest(&place, &[]);
    assert_eq!(
        place.one("SELECT count(*) FROM rejects"),
        2 * SHAPES.len(),
        "each log has a broken line and an unfinished one"
    );
    assert_eq!(place.one("SELECT count(*) FROM prompts"), SHAPES.len());
    let hits = found(&place.lake());
    assert!(
        hits.is_empty(),
        "{} secrets on the disk:\n{}",
        hits.len(),
        hits.into_iter().collect::<Vec<_>>().join("\n")
    );
    // Recognised again: the same secret has the same mark wherever it stands.
    let again = secret(&SHAPES[0], "argument").text;
    place.ingest([place.write("again.jsonl", format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "u", "arguments": {"x": again}}})))]);
    let marks = place.rows("SELECT DISTINCT x.value FROM observables x JOIN observables v ON v.value = x.value WHERE x.type = 'secret' AND x.path = '/x' AND v.path = '/value'");
    assert_eq!(marks.len(), 1, "{marks:?}");
}

#[test]
fn secrets_are_kept_only_when_told_so_aloud() {
    let place = Place::new();
    let said = ingest(&place, &["--keep-secrets"]);
    assert!(said.stderr.contains("secrets are stored"), "{}", said.stderr);
    let hits = found(&place.lake());
    let missing: Vec<_> =
        SHAPES.iter().filter(|s| !hits.iter().any(|hit| hit.starts_with(&format!("{} in argument", s.0)))).collect();
    assert!(missing.is_empty(), "not kept, or not searched for: {missing:?}");
}
