//! Elasticsearch and OpenSearch: `_bulk` with `create` and the alert's id as the document's, so that a repeat changes nothing.
//!
//! A request that succeeds may hide documents that did not: each item has a status of its own. 409 means that the document is there already.

use super::http::{Answer, Caller};
use super::{Destination, Message, Outcome, Preview, Verdict, short};
use async_trait::async_trait;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) struct Elastic {
    caller: Caller,
}

#[derive(Deserialize)]
struct Reply {
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: serde_json::Value,
}

impl Elastic {
    pub(super) fn new(mut caller: Caller, index: String) -> Self {
        caller.append_path(&format!("/{index}/_bulk"));
        Self { caller }
    }

    fn judge(&self, batch: &[Message], answer: &Answer) -> Outcome {
        if answer.status != 200 {
            return self.caller.judge(batch.len(), answer);
        }
        let documents: usize = batch.iter().map(|message| message.parts.len()).sum();
        let reply: Option<Reply> = serde_json::from_slice(&answer.body).ok();
        let Some(reply) = reply.filter(|reply| reply.items.len() == documents) else {
            let answer = format!("the answer does not say what became of each document: {}", self.caller.text(answer));
            return Outcome::all(batch.len(), Verdict::Again { answer: short(&answer), answered: true });
        };
        let mut items = reply.items.into_iter().filter_map(|item| item.into_values().next());
        let verdicts = batch.iter().map(|message| {
            let mut verdict = Verdict::Delivered;
            for item in items.by_ref().take(message.parts.len()) {
                match (&verdict, item.status) {
                    (_, 200..=299 | 409) | (Verdict::Refused(_), _) => {}
                    (_, status @ (429 | 500..=599)) => {
                        verdict = Verdict::Again {
                            answer: self.why(status, &item.error),
                            answered: !matches!(status, 429 | 503),
                        };
                    }
                    (_, status) => verdict = Verdict::Refused(self.why(status, &item.error)),
                }
            }
            verdict
        });
        Outcome { verdicts: verdicts.collect(), wait: answer.wait, ..Outcome::default() }
    }

    fn why(&self, status: u16, error: &serde_json::Value) -> String {
        let (kind, reason) = (error["type"].as_str().unwrap_or("error"), error["reason"].as_str().unwrap_or_default());
        short(&self.caller.hide(&format!("status {status} {kind}: {reason}")))
    }
}

/// Two lines a document. What an encoding for bulk requests made has both already.
fn body(batch: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in batch {
        for (number, part) in message.parts.iter().enumerate() {
            if !part.contains('\n') {
                let id = match number {
                    0 => message.id.clone(),
                    // Events for calls that the alert rests on.
                    number => format!("{}-{number}", message.id),
                };
                let action = serde_json::json!({"create": {"_id": id}}).to_string();
                out.extend_from_slice(action.as_bytes());
                out.push(b'\n');
            }
            out.extend_from_slice(part.as_bytes());
            out.push(b'\n');
        }
    }
    out
}

#[async_trait]
impl Destination for Elastic {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        match self.caller.post(body(batch), "application/x-ndjson", &[]).await {
            Ok(answer) => self.judge(batch, &answer),
            Err(cause) => Outcome::unreachable(batch.len(), cause),
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        self.caller.preview(body(batch))
    }
}
