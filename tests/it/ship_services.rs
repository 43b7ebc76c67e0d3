//! Services that take JSON over HTTP get what they ask for: path, headers, credentials, body. Proxies, certificates, files, datagrams.

use crate::common::Place;
use crate::receiver::{Receiver, Reply, Request, certificates, read_request};
use crate::shipping::{Quick, alert, alerts, fill, fill_more, ids, ship_here};
use calltrail::sink::deliver::Retried;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALERTS: usize = 7;

/// What a receiver was sent.
type Requests = Arc<Mutex<Vec<Request>>>;

/// Answers all with the same, and keeps what came.
fn recording(status: u16, body: &'static str) -> (Receiver, Requests) {
    let requests = Requests::default();
    let into = Arc::clone(&requests);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.clone());
        Reply::Answer(status, "", body.to_owned())
    });
    (receiver, requests)
}

/// Ships all alerts to one sink and gives the requests, as JSON.
fn shipped(kind: &str, keys: &str, status: u16, answer: &'static str) -> Vec<(Request, Value)> {
    let place = Place::new();
    fill(&place, &alerts(ALERTS), ALERTS);
    let (receiver, requests) = recording(status, answer);
    // Some addresses are credentials and may not stand in the configuration.
    place.write("url", format!("{}/services/T0/B0/x", receiver.url()));
    let keys = keys.replace("URL", &receiver.url());
    let toml = format!("[[sinks]]\ntype = \"{kind}\"\n{keys}");
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending), (ALERTS as u64, 0, 0), "{kind}: {report:?}");
    let requests = std::mem::take(&mut *requests.lock().expect("not poisoned"));
    let json = |request: Request| {
        assert_eq!(request.method, "POST", "{kind}");
        let body = serde_json::from_str(&request.body).unwrap_or_default();
        (request, body)
    };
    requests.into_iter().map(json).collect()
}

fn all_ids() -> BTreeSet<String> {
    alerts(ALERTS).into_iter().map(|alert| alert.alert_id).collect()
}

/// Texts that stand at a path in each of some values.
fn at<'a>(values: impl IntoIterator<Item = &'a Value>, path: &str) -> BTreeSet<String> {
    values.into_iter().map(|value| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
}

#[test]
fn slack_gets_a_message_an_alert_at_its_secret_address() {
    let requests = shipped("slack", "url = { file = \"url\" }\n", 200, "ok");
    assert_eq!(requests.len(), ALERTS);
    for (request, message) in &requests {
        assert_eq!(request.path, "/services/T0/B0/x");
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("authorization"), "");
        let blocks = message["blocks"].as_array().expect("blocks");
        assert!(!blocks.is_empty() && blocks.len() <= 50 && message["text"].is_string(), "{message}");
    }
}

#[test]
fn teams_gets_an_adaptive_card_an_alert() {
    let requests = shipped("teams", "url = { file = \"url\" }\n", 202, "");
    assert_eq!(requests.len(), ALERTS);
    for (request, message) in &requests {
        assert_eq!((request.path.as_str(), &message["type"]), ("/services/T0/B0/x", &"message".into()));
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        assert_eq!(attachment["content"]["type"], "AdaptiveCard");
    }
}

#[test]
fn pagerduty_gets_events_with_the_key_inside() {
    let requests = shipped("pagerduty", "url = \"URL\"\ntoken = { env = \"TOKEN\" }\n", 202, "{}");
    assert_eq!(requests.len(), ALERTS);
    assert_eq!(at(requests.iter().map(|(_, event)| event), "/dedup_key"), all_ids());
    for (request, event) in &requests {
        assert_eq!((request.path.as_str(), request.header("authorization")), ("/v2/enqueue", ""));
        assert_eq!((&event["routing_key"], &event["event_action"]), (&"s3cr3t-t0k3n".into(), &"trigger".into()));
        assert!(event["payload"]["summary"].is_string() && event["payload"]["severity"].is_string(), "{event}");
    }
}

#[test]
fn datadog_gets_an_array_with_its_key_in_a_header() {
    let requests = shipped("datadog", "url = \"URL\"\ntoken = { env = \"TOKEN\" }\n", 202, "{}");
    let [(request, body)] = requests.as_slice() else { panic!("one request: {requests:?}") };
    assert_eq!((request.path.as_str(), request.header("dd-api-key")), ("/api/v2/logs", "s3cr3t-t0k3n"));
    assert_eq!((request.header("content-encoding"), request.header("content-type")), ("gzip", "application/json"));
    let entries = body.as_array().expect("an array");
    assert_eq!(at(entries, "/alert_id"), all_ids());
    assert!(entries.iter().all(|entry| entry["ddsource"] == "calltrail" && entry["message"].is_string()), "{body}");
}

#[test]
fn sumo_logic_gets_lines_at_its_secret_address() {
    let requests = shipped("sumologic", "url = { file = \"url\" }\n", 200, "");
    let [(request, _)] = requests.as_slice() else { panic!("one request: {requests:?}") };
    assert_eq!((request.path.as_str(), request.header("content-encoding")), ("/services/T0/B0/x", "gzip"));
    let events: Vec<Value> =
        request.body.lines().map(|line| serde_json::from_str(line).expect("JSON on each line")).collect();
    assert_eq!(events.len(), ALERTS);
    assert!(events.iter().all(|event| event["class_uid"] == 2004), "{}", request.body);
}

#[test]
fn secops_gets_one_list_of_events() {
    let keys = "url = \"URL/v1/udmevents:batchCreate\"\ntoken = { env = \"TOKEN\" }\n";
    let requests = shipped("secops", keys, 200, "{}");
    let [(request, body)] = requests.as_slice() else { panic!("one request: {requests:?}") };
    assert_eq!(request.path, "/v1/udmevents:batchCreate");
    assert_eq!(request.header("authorization"), "Bearer s3cr3t-t0k3n");
    let events = body["events"].as_array().expect("a list of events");
    assert_eq!(at(events, "/udm/metadata/productLogId"), all_ids());
}

#[test]
fn a_webhook_gets_what_its_configuration_says() {
    let keys = "url = \"URL/hook?team=a\"\nuser = \"me\"\npassword = { env = \"TOKEN\" }\nencoding = \"jsonl\"\nbody = \"array\"\ncompress = true\n\
                headers = { X-Team = \"a\", X-Api-Key = { env = \"TOKEN\" } }\n";
    let requests = shipped("webhook", keys, 204, "");
    let [(request, body)] = requests.as_slice() else { panic!("one request: {requests:?}") };
    assert_eq!(request.path, "/hook?team=a");
    // base64 of `me:s3cr3t-t0k3n`
    assert_eq!(request.header("authorization"), "Basic bWU6czNjcjN0LXQwazNu");
    assert_eq!((request.header("x-team"), request.header("x-api-key")), ("a", "s3cr3t-t0k3n"));
    assert_eq!(at(body.as_array().expect("an array"), "/alert_id"), all_ids());

    // Encoding, body, what it is called, and what the first request holds.
    for (keys, content_type, requests, start) in [
        ("encoding = \"ocsf\"\n", "application/json", ALERTS, "{"),
        ("encoding = \"ocsf\"\nbody = \"lines\"\n", "application/x-ndjson", 1, "{"),
        ("encoding = \"cef\"\n", "text/plain; charset=utf-8", ALERTS, "CEF:0|"),
        ("encoding = \"leef\"\nbody = \"lines\"\n", "text/plain; charset=utf-8", 1, "LEEF:2.0|"),
        ("encoding = \"cef\"\nbody = \"array\"\n", "application/json", 1, "[\"CEF:0|"),
        ("headers = { Content-Type = \"text/x-own\" }\n", "text/x-own", ALERTS, "{"),
    ] {
        let sent = shipped("webhook", &format!("url = \"URL\"\n{keys}"), 204, "");
        let (request, body) = &sent[0];
        assert_eq!((request.header("content-type"), sent.len()), (content_type, requests), "{keys}");
        assert!(request.body.starts_with(start), "{keys}: {:.80}", request.body);
        assert!(!start.starts_with('[') || body.as_array().map(Vec::len) == Some(ALERTS), "{keys}: {}", request.body);
    }
}

#[test]
fn what_waits_behind_a_failure_waits_for_its_reason() {
    let place = Place::new();
    fill(&place, &alerts(3), 3);
    let (receiver, requests) = recording(503, "closed\r\n for lunch");
    let toml = format!("[[sinks]]\ntype = \"webhook\"\nurl = \"{}\"\n", receiver.url());
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!(report.problem.as_deref(), Some("HTTP 503 closed for lunch"));
    assert_eq!(requests.lock().expect("not poisoned").len() as u64, report.batches, "the others are not sent");
}

/// A proxy for HTTP and, with CONNECT, for anything; it sends everything to one port.
fn proxy(port: u16, asked: &Requests) -> Receiver {
    let asked = Arc::clone(asked);
    Receiver::tcp(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
        let mut out = stream;
        while let Ok(Some(request)) = read_request(&mut reader) {
            asked.lock().expect("not poisoned").push(request.clone());
            // base64 of `me:s3cr3t-t0k3n`
            if request.header("proxy-authorization") != "Basic bWU6czNjcjN0LXQwazNu" {
                let _ = write!(out, "HTTP/1.1 407 x\r\ncontent-length: 0\r\nproxy-authenticate: Basic\r\n\r\n");
                return;
            }
            if request.method != "CONNECT" {
                let _ = write!(out, "HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{{}}");
                continue;
            }
            let upstream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let _ = write!(out, "HTTP/1.1 200 x\r\n\r\n");
            let (mut from, mut to) = (out.try_clone().expect("a stream"), upstream.try_clone().expect("a stream"));
            let there = std::thread::spawn(move || {
                std::io::copy(&mut from, &mut to).and_then(|_| to.shutdown(std::net::Shutdown::Write))
            });
            let (mut from, mut to) = (upstream, out);
            let _ = std::io::copy(&mut from, &mut to).and_then(|_| to.shutdown(std::net::Shutdown::Write));
            let _ = there.join();
            return;
        }
    })
}

#[test]
fn a_proxy_is_used_and_its_password_is_needed() {
    let place = Place::new();
    let sent = fill(&place, &alerts(40), 40);
    // Nobody but the proxy can find this host.
    certificates(&place.path("tls"), "collector.invalid");
    certificates(&place.path("other"), "collector.invalid");
    let taken: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let into = Arc::clone(&taken);
    let https = Receiver::https(&place.path("tls"), true, move |request| {
        assert_eq!((request.path.as_str(), request.header("proxy-authorization")), ("/in", ""));
        into.lock().expect("not poisoned").extend(ids(&request.body));
        "{}".to_owned()
    });
    let asked = Requests::default();
    let proxy = proxy(https.port, &asked);
    place.write("proxy", format!("http://me:s3cr3t-t0k3n@127.0.0.1:{}", proxy.port));
    place.write("wrong", format!("http://me:wr0ng-s3cr3t@127.0.0.1:{}", proxy.port));
    let ours = "certificate = \"tls/client.pem\", key = \"tls/client.key\"";
    let sink = |name: &str, scheme: &str, proxy: &str, tls: &str| {
        format!(
            "[[sinks]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"{scheme}://collector.invalid/in\"\nencoding = \"jsonl\"\nbody = \"lines\"\n\
             proxy = {{ file = \"{proxy}\" }}\ntls = {{ {tls} }}\nretry = {{ give_up = \"3s\" }}\nbatch = {{ count = 15 }}\n"
        )
    };
    let ship = |toml: &str| ship_here(&place, toml, &Quick::new(), Retried::Pending).remove(0);
    for (name, proxy, tls) in [
        ("wrong-authority", "proxy", format!("ca = \"other/ca.pem\", {ours}")),
        ("no-client", "proxy", "ca = \"tls/ca.pem\"".to_owned()),
        ("wrong-password", "wrong", format!("ca = \"tls/ca.pem\", {ours}")),
    ] {
        let report = ship(&sink(name, "https", proxy, &tls));
        assert_eq!((report.delivered, report.pending), (0, 40), "{name}: {report:?}");
        let problem = report.problem.expect("a reason");
        assert!(!problem.contains("s3cr3t"), "{name}: {problem}");
    }
    assert!(taken.lock().expect("not poisoned").is_empty());
    let report = ship(&sink("right", "https", "proxy", &format!("ca = \"tls/ca.pem\", {ours}")));
    assert_eq!((report.delivered, report.pending, report.retries), (40, 0, 0), "{report:?}");
    assert_eq!(*taken.lock().expect("not poisoned"), sent);
    assert!(
        asked.lock().expect("not poisoned").iter().all(|request| {
            (request.method.as_str(), request.path.as_str()) == ("CONNECT", "collector.invalid:443")
        })
    );
    asked.lock().expect("not poisoned").clear();
    let report = ship(&sink("plain", "http", "proxy", ""));
    assert_eq!((report.delivered, report.pending), (40, 0), "{report:?}");
    let asked = asked.lock().expect("not poisoned");
    assert_eq!(asked.iter().flat_map(|request| ids(&request.body)).collect::<BTreeSet<_>>(), sent);
    assert!(asked.iter().all(|request| request.path == "http://collector.invalid/in"));
}

#[test]
fn a_name_that_nobody_knows_is_a_reason_to_wait() {
    let place = Place::new();
    fill(&place, &alerts(3), 3);
    let kinds = [
        "type = \"syslog\"\ntransport = \"tcp\"\naddress = \"no-such-host.invalid:6514\"\n",
        "type = \"syslog\"\ntransport = \"udp\"\naddress = \"no-such-host.invalid:514\"\n",
        "type = \"webhook\"\nurl = \"https://no-such-host.invalid/\"\n",
        "type = \"kafka\"\nbrokers = [\"no-such-host.invalid:9092\"]\ntopic = \"alerts\"\ntimeout = \"2s\"\n",
    ];
    for (number, keys) in kinds.into_iter().enumerate() {
        let toml = format!("[[sinks]]\nname = \"s{number}\"\n{keys}retry = {{ give_up = \"3s\" }}\n");
        let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
        assert_eq!((report.delivered, report.refused, report.pending), (0, 0, 3), "{keys}: {report:?}");
        assert!(report.problem.is_some() && report.batches > 1, "{keys}: {report:?}");
    }
}

#[test]
fn a_file_is_put_aside_when_it_is_full_and_the_oldest_goes() {
    let place = Place::new();
    let sent = fill(&place, &alerts(400), 400);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let names = |of: &str| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(place.path(of))
            .expect("a folder")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_by_key(|name| name.rsplit('.').next().and_then(|number| number.parse::<u32>().ok()));
        names
    };
    let sink = |folder: &str, keep: usize| {
        format!(
            "[[sinks]]\nname = \"{folder}\"\ntype = \"file\"\npath = \"{folder}/alerts.jsonl\"\nencoding = \"jsonl\"\nrotate_at = \"40KiB\"\n\
             keep = {keep}\nbatch = {{ count = 20 }}\n"
        )
    };
    let report = ship_here(&place, &sink("all", i64::MAX as usize), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (400, 0), "{report:?}");
    let all = names("all");
    assert!(all.len() > 5, "{all:?}");
    // The oldest last: backwards they are the alerts by time.
    let texts: Vec<String> = all.iter().rev().map(|name| read(&format!("all/{name}"))).collect();
    assert!(texts.iter().all(|text| text.len() <= 40 << 10 && text.ends_with('\n')));
    let expected: Vec<String> = alerts(400).into_iter().map(|alert| alert.alert_id).collect();
    assert_eq!(texts.iter().flat_map(|text| ids(text)).collect::<Vec<_>>(), expected);
    assert_eq!(expected.into_iter().collect::<BTreeSet<_>>(), sent);
    ship_here(&place, &sink("few", 2), &Quick::new(), Retried::Pending);
    assert_eq!(names("few"), ["alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2"]);
    assert_eq!(read("few/alerts.jsonl"), read("all/alerts.jsonl"), "the newest is there");
    // Later alerts go on behind what is there.
    fill_more(&place, alert(500));
    ship_here(&place, &sink("few", 2), &Quick::new(), Retried::Pending);
    assert!(read("few/alerts.jsonl").ends_with('\n') && read("few/alerts.jsonl").contains(&alert(500).alert_id));
}

#[test]
fn what_a_file_holds_stays_there_whatever_the_encoding() {
    let place = Place::new();
    fill(&place, &alerts(2), 2);
    let encodings = ["json", "otlp", "udm", "stix", "bulk"];
    let ship = |encoding: &str| {
        let toml = format!(
            "[[sinks]]\nname = \"{encoding}\"\ntype = \"file\"\npath = \"{encoding}\"\nencoding = \"{encoding}\"\nbatch = {{ count = 1 }}\n"
        );
        ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0)
    };
    assert!(encodings.iter().all(|encoding| ship(encoding).delivered == 2));
    fill_more(&place, alert(500));
    for encoding in encodings {
        assert_eq!(ship(encoding).delivered, 1, "{encoding}");
        let text = std::fs::read_to_string(place.path(encoding)).expect("a file");
        assert!([0, 1, 500].iter().all(|n| text.contains(&alert(*n).alert_id)), "{encoding} lost some: {text:.300}");
        let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        assert!(documents.into_iter().all(|document| document.is_ok()), "{encoding}: {text:.300}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_file() {
    let place = Place::new();
    fill(&place, &alerts(1), 1);
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status();
    assert!(made.is_ok_and(|status| status.success()));
    let toml = "[[sinks]]\ntype = \"file\"\npath = \"pipe\"\n";
    let report = ship_here(&place, toml, &Quick::new(), Retried::Pending).remove(0);
    assert!(report.problem.expect("a reason").contains("no regular file"));
}

#[test]
fn a_datagram_is_a_message() {
    let place = Place::new();
    fill(&place, &alerts(60), 60);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let toml = format!(
        "[[sinks]]\ntype = \"syslog\"\ntransport = \"udp\"\nencoding = \"leef\"\naddress = \"{}\"\n",
        socket.local_addr().expect("an address")
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (60, 0), "{report:?}");
    let mut buffer = vec![0; 1 << 16];
    for n in 0..60 {
        let length = socket.recv(&mut buffer).expect("a datagram");
        let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
        // Facility 13; no length before it and no line end behind it.
        assert!(text.starts_with("<1") && text.contains("LEEF:2.0|") && !text.contains('\n'), "{n}: {text}");
    }
}
