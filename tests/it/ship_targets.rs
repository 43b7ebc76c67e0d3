//! Each destination speaks its receiver's language, as far as a receiver of ours can tell.

use crate::common::Place;
use crate::receiver::{Receiver, Reply, Request, certificates, frames, tls};
use crate::shipping::{Quick, alert, alerts, fill, ship_here};
use calltrail::sink::deliver::Retried;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn splunk_counts_when_it_acknowledges_and_a_wrong_token_stops_at_once() {
    let place = Place::new();
    let all = alerts(30);
    let sent = fill(&place, &all, 30);
    let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let into = Arc::clone(&received);
    let (mut number, mut polls) = (0, 0);
    let receiver = Receiver::http(move |request| {
        assert_eq!(request.header("authorization"), "Splunk s3cr3t-t0k3n");
        let channel = request.header("x-splunk-request-channel").to_owned();
        if request.path.starts_with("/services/collector/ack?channel=") {
            assert!(request.path.ends_with(&channel) && !channel.is_empty());
            polls += 1;
            let asked: Value = serde_json::from_str(&request.body).expect("JSON");
            let id = asked["acks"][0].as_i64().expect("a number");
            // The first request is lost on the way to the disk; the others take their time.
            let is_done = id != 0 && polls % 2 == 0;
            return Reply::Answer(200, "", json!({"acks": {id.to_string(): is_done}}).to_string());
        }
        assert_eq!(request.path, "/services/collector/event");
        let events = serde_json::Deserializer::from_str(&request.body).into_iter::<Value>();
        for event in events.map(|event| event.expect("an event")) {
            assert!(event["event"].is_object() && event["time"].is_number(), "{event}");
            into.lock().expect("not poisoned").push((event["fields"]["alert_id"].to_string(), event.to_string()));
        }
        number += 1;
        Reply::Answer(200, "", json!({"text": "Success", "code": 0, "ackId": number - 1}).to_string())
    });
    let toml = |url: &str| {
        format!(
            "[[sinks]]\nname = \"splunk\"\ntype = \"splunk_hec\"\nurl = \"{url}\"\ntoken = {{ env = \"TOKEN\" }}\nacknowledge = true\nacknowledge_within = \"700ms\"\n"
        )
    };
    let refusing =
        Receiver::http(|_| Reply::Answer(403, "", r#"{"text":"Invalid token s3cr3t-t0k3n","code":4}"#.to_owned()));
    let report = ship_here(&place, &toml(&refusing.url()), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.refused, report.pending, report.batches), (0, 0, 30, 1));
    let problem = report.problem.expect("a reason");
    assert!(problem.contains("403") && !problem.contains("s3cr3t"), "{problem}");

    // The status says that it went well, the code that it did not.
    let failing = Receiver::http(|_| Reply::Answer(200, "", r#"{"text":"Server is busy","code":9}"#.to_owned()));
    let report = ship_here(&place, &toml(&failing.url()), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!(report.delivered, 0, "{report:?}");

    let report = ship_here(&place, &toml(&receiver.url()), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending, report.retries), (30, 0, 1), "{report:?}");
    let received = received.lock().expect("not poisoned");
    assert_eq!(received.len(), 60, "the batch that was not acknowledged came again");
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), sent.len(), "byte for byte");
}

#[test]
fn syslog_over_tls_ends_in_order_and_believes_nobody_else() {
    let place = Place::new();
    fill(&place, &alerts(400), 400);
    certificates(&place.path("good"), "localhost");
    certificates(&place.path("other"), "localhost");
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (into, good) = (Arc::clone(&received), place.path("good"));
    let receiver = Receiver::tcp(move |stream| {
        let mut stream = tls(&good, true, stream);
        let mut bytes = Vec::new();
        // Slow enough that the sender is done long before everything was read; an end without close_notify is an error.
        let mut part = [0; 4096];
        loop {
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&part[..read]),
                Err(_) => return,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        into.lock().expect("not poisoned").extend(bytes);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    let toml = |name: &str, ca: &str, more: &str| {
        format!(
            "[[sinks]]\nname = \"{name}\"\ntype = \"syslog\"\naddress = \"localhost:{}\"\nfacility = 10\nretry = {{ give_up = \"1s\" }}\nbatch = {{ count = 150 }}\n\
             tls = {{ ca = \"{ca}/ca.pem\"{more} }}\n",
            receiver.port
        )
    };
    let client = ", certificate = \"good/client.pem\", key = \"good/client.key\"";
    for (name, ca, more) in [("wrong-authority", "other", client), ("no-client", "good", "")] {
        let report = ship_here(&place, &toml(name, ca, more), &Quick::new(), Retried::Pending).remove(0);
        assert_eq!((report.delivered, report.pending), (0, 400), "{name}: {report:?}");
        assert!(report.problem.is_some(), "{name}");
    }
    assert!(received.lock().expect("not poisoned").is_empty(), "nothing goes to a receiver that is not believed");
    let report = ship_here(&place, &toml("right", "good", client), &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending, report.retries), (400, 0, 0), "{report:?}");
    let frames = frames(&received.lock().expect("not poisoned"));
    assert_eq!(frames.len(), 400);
    for frame in &frames {
        // Facility 10; the severities are those of high and low.
        assert!(frame.starts_with("<82>1 ") || frame.starts_with("<81>1 ") || frame.starts_with("<8"), "{frame}");
        assert!(frame.contains("CEF:0|") && !frame.contains('\n') && frame.len() <= 8096, "{frame}");
    }
}

#[test]
fn a_reset_in_the_middle_of_a_syslog_batch_sends_it_again() {
    let place = Place::new();
    fill(&place, &alerts(2000), 2000);
    let received: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (into, first) = (Arc::clone(&received), Mutex::new(true));
    let receiver = Receiver::tcp(move |mut stream| {
        if std::mem::take(&mut *first.lock().expect("not poisoned")) {
            // What is not read makes the system reset the line.
            let _ = stream.read(&mut [0; 1000]);
            return;
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        into.lock().expect("not poisoned").push(bytes);
    });
    let toml = format!(
        "[[sinks]]\nname = \"s\"\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:{}\"\nencoding = \"ocsf\"\n",
        receiver.port
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.retries), (2000, 1), "{report:?}");
    let count: usize = received.lock().expect("not poisoned").iter().map(|bytes| frames(bytes).len()).sum();
    assert_eq!(count, 2000);
}

#[test]
fn sentinel_gets_a_token_and_a_new_one_when_it_is_taken_back() {
    let place = Place::new();
    fill(&place, &alerts(10), 10);
    let (mut tokens, mut records) = (0, 0);
    let counts: Arc<Mutex<(u32, usize)>> = Arc::default();
    let into = Arc::clone(&counts);
    let receiver = Receiver::http(move |request| {
        let reply = if request.path == "/tenant/oauth2/v2.0/token" {
            assert!(
                request.body.contains("client_secret=s3cr3t-t0k3n")
                    && request.body.contains("grant_type=client_credentials")
            );
            tokens += 1;
            Reply::Answer(200, "", json!({"access_token": format!("token-{tokens}"), "expires_in": 3600}).to_string())
        } else {
            assert_eq!(request.path, "/dataCollectionRules/dcr-1/streams/Custom-Alerts?api-version=2023-01-01");
            if request.header("authorization") == "Bearer token-1" {
                Reply::Answer(401, "", "expired".to_owned())
            } else {
                records += serde_json::from_str::<Vec<Value>>(&request.body).expect("an array").len();
                Reply::Answer(204, "", String::new())
            }
        };
        *into.lock().expect("not poisoned") = (tokens, records);
        reply
    });
    let url = receiver.url();
    let toml = format!(
        "[[sinks]]\ntype = \"sentinel\"\nurl = \"{url}\"\nauthority = \"{url}\"\ndcr = \"dcr-1\"\nstream = \"Custom-Alerts\"\ntenant = \"tenant\"\n\
         client_id = \"id\"\nclient_secret = {{ env = \"TOKEN\" }}\n"
    );
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.pending), (10, 0), "{report:?}");
    assert_eq!(*counts.lock().expect("not poisoned"), (2, 10));
}

#[test]
fn otlp_does_not_send_again_what_a_partial_success_refused() {
    let place = Place::new();
    fill(&place, &alerts(12), 12);
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let into = Arc::clone(&requests);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.clone());
        Reply::Answer(200, "", r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#.to_owned())
    });
    let toml = format!("[[sinks]]\ntype = \"otlp\"\nurl = \"{}\"\n", receiver.url());
    let report = ship_here(&place, &toml, &Quick::new(), Retried::Pending).remove(0);
    assert_eq!((report.delivered, report.batches), (12, 1), "{report:?}");
    assert_eq!(report.notes, ["2 of 12 records refused: too old"]);
    let requests = requests.lock().expect("not poisoned");
    assert_eq!(requests[0].path, "/v1/logs");
    let body: Value = serde_json::from_str(&requests[0].body).expect("JSON");
    assert!(body["resourceLogs"].is_array(), "{body}");
}

#[test]
fn a_signed_request_can_be_checked() {
    let place = Place::new();
    fill(&place, &alerts(1), 1);
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let into = Arc::clone(&requests);
    let receiver = Receiver::http(move |request| {
        into.lock().expect("not poisoned").push(request.clone());
        Reply::ok()
    });
    let toml =
        format!("[[sinks]]\ntype = \"webhook\"\nurl = \"{}\"\nsign_with = {{ env = \"TOKEN\" }}\n", receiver.url());
    ship_here(&place, &toml, &Quick::new(), Retried::Pending);
    let requests = requests.lock().expect("not poisoned");
    let request = &requests[0];
    // What `openssl dgst -sha256 -hmac` says of "ID.TIME.BODY" is held against it by a receiver; here ring does.
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cr3t-t0k3n");
    let signed = format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body);
    let packed = request.header("webhook-signature").strip_prefix("v1,").expect("a version").to_owned();
    let signature = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, packed).expect("base64");
    ring::hmac::verify(&key, signed.as_bytes(), &signature).expect("the signature fits");
    assert_eq!(request.header("webhook-id"), alert(0).alert_id);
}
