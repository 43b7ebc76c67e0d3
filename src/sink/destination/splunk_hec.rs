//! Splunk's HTTP Event Collector: events one behind the other, and on request its acknowledgement that they were indexed.
//!
//! Without acknowledgement, "success" means no more than that the request looked right. With it (a setting of the token too), a batch counts as
//! delivered when Splunk says that it is on its disks; a batch that is not acknowledged in time is sent again.

use super::http::{self, Answer, Caller};
use super::{Destination, Message, Outcome, Preview, Verdict, short};
use crate::sink::Encoding;
use async_trait::async_trait;
use serde::Deserialize;
use std::time::Duration;

const ENDPOINT: &str = "/services/collector/event";
/// Pause between two looks at whether a batch is indexed.
const POLL: Duration = Duration::from_millis(250);

/// Codes for which nothing helps but a change of settings: token, index, channel, acknowledgement, query string.
const MISCONFIGURED: &[i64] = &[1, 2, 3, 4, 7, 10, 11, 14, 16];
/// Codes that are about one event: no event, blank event, fields, format.
const OF_ONE_EVENT: &[i64] = &[6, 12, 13, 15];

pub(super) struct SplunkHec {
    caller: Caller,
    encoding: Encoding,
    /// How long an acknowledgement is waited for, and the channel for it.
    acknowledge: Option<(Duration, String)>,
}

/// What Splunk answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<i64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
}

impl SplunkHec {
    pub(super) fn new(mut caller: Caller, encoding: Encoding, acknowledge: Option<Duration>) -> Self {
        caller.set_default_path(ENDPOINT);
        let channel = uuid::Uuid::new_v4().to_string().to_uppercase();
        Self { caller, encoding, acknowledge: acknowledge.map(|within| (within, channel)) }
    }

    /// Events as they are, or put into an envelope if the encoding is of another kind.
    fn body(&self, batch: &[Message]) -> Vec<u8> {
        if self.encoding == Encoding::Hec {
            return http::lines(batch);
        }
        let mut out = Vec::new();
        for message in batch {
            for part in message.parts.iter() {
                let time = message.time as f64 / 1e6;
                let is_json = part.starts_with('{');
                let event = if is_json { part.clone() } else { serde_json::Value::from(part.as_str()).to_string() };
                let head = format!(r#"{{"time":{time:.3},"sourcetype":"calltrail:alert","event":{event}}}"#);
                out.extend_from_slice(head.as_bytes());
                out.push(b'\n');
            }
        }
        out
    }

    fn channel(&self) -> Vec<(&'static str, String)> {
        let channel = self.acknowledge.as_ref().map(|(_, channel)| ("x-splunk-request-channel", channel.clone()));
        channel.into_iter().collect()
    }

    fn judge(&self, batch: &[Message], answer: &Answer, reply: &Reply) -> Outcome {
        let count = batch.len();
        let code = reply.code.unwrap_or(if answer.status == 200 { 0 } else { -1 });
        if answer.status == 200 && code == 0 {
            return Outcome::delivered(count);
        }
        if MISCONFIGURED.contains(&code) {
            return self.caller.stopped(count, self.caller.text(answer));
        }
        let Some(bad) = reply.invalid_event.filter(|_| OF_ONE_EVENT.contains(&code)) else {
            // A failure that says so in its body alone must not pass for a success.
            if answer.status == 200 {
                return Outcome::all(count, Verdict::Again { answer: self.caller.text(answer), answered: true });
            }
            return self.caller.judge(count, answer);
        };
        // Whether those before the bad one were taken is not written down anywhere: they are sent again.
        let text = self.caller.text(answer);
        let mut events = 0;
        let verdicts = batch.iter().map(|message| {
            let own = events..events + message.parts.len();
            events = own.end;
            if own.contains(&bad) {
                Verdict::Refused(text.clone())
            } else {
                Verdict::Again { answer: text.clone(), answered: true }
            }
        });
        Outcome { verdicts: verdicts.collect(), ..Outcome::default() }
    }

    /// Waits until Splunk says that it has the request with this number.
    async fn wait_for(&self, count: usize, ack_id: i64, within: Duration) -> Outcome {
        let mut url = self.caller.url().clone();
        let path = match url.path().rfind("/collector") {
            Some(at) => format!("{}/collector/ack", &url.path()[..at]),
            None => "/services/collector/ack".to_owned(),
        };
        url.set_path(&path);
        url.set_query(self.acknowledge.as_ref().map(|(_, channel)| format!("channel={channel}")).as_deref());
        let question = serde_json::json!({"acks": [ack_id]}).to_string();
        let headers = self.channel();
        let asked = async {
            loop {
                let sent =
                    self.caller.post_to(url.clone(), question.clone().into_bytes(), "application/json", &headers);
                match sent.await {
                    Ok(answer) if answer.status == 200 => {
                        let reply: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                        if reply["acks"][ack_id.to_string()] == true {
                            return Outcome::delivered(count);
                        }
                    }
                    Ok(answer) if answer.status < 500 && answer.status != 429 => {
                        return self.caller.stopped(count, self.caller.text(&answer));
                    }
                    // What was taken may still be acknowledged.
                    _ => {}
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(within, asked).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let answer = format!("not acknowledged within {} s", within.as_secs_f64());
                Outcome::all(count, Verdict::Again { answer, answered: true })
            }
        }
    }
}

#[async_trait]
impl Destination for SplunkHec {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        let answer = match self.caller.post(self.body(batch), "application/json", &self.channel()).await {
            Ok(answer) => answer,
            Err(cause) => return Outcome::unreachable(batch.len(), cause),
        };
        let reply: Reply = serde_json::from_slice(&answer.body).unwrap_or_default();
        let outcome = self.judge(batch, &answer, &reply);
        match (&self.acknowledge, reply.ack_id) {
            (Some((within, _)), Some(ack_id)) if outcome == Outcome::delivered(batch.len()) => {
                self.wait_for(batch.len(), ack_id, *within).await
            }
            (Some(_), None) if outcome == Outcome::delivered(batch.len()) => {
                let note = "Splunk acknowledges nothing for this token: switch indexer acknowledgement on there, or `acknowledge` off";
                Outcome { note: Some(short(note)), ..outcome }
            }
            _ => outcome,
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        self.caller.preview(self.body(batch))
    }
}
