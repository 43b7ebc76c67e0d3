//! An OpenTelemetry collector over OTLP/HTTP with JSON bodies.
//!
//! The protocol says what may be sent again: after 429, 502, 503 and 504, nothing else; and what a partial success refused must not be.

use super::http::{self, Caller};
use super::{Destination, Message, Outcome, Preview, Verdict, short};
use crate::sink::Encoding;
use async_trait::async_trait;

pub(super) struct Otlp {
    caller: Caller,
    encoding: Encoding,
}

impl Otlp {
    pub(super) fn new(mut caller: Caller, encoding: Encoding) -> Self {
        caller.set_default_path("/v1/logs");
        Self { caller, encoding }
    }

    fn judge(&self, count: usize, answer: &http::Answer) -> Outcome {
        match answer.status {
            200..=299 => self.partial(count, answer),
            429 | 502..=504 | 300..=399 | 401 | 403 | 404 | 405 | 407 => self.caller.judge(count, answer),
            _ => Outcome::all(count, Verdict::Suspect(self.caller.text(answer))),
        }
    }

    fn partial(&self, count: usize, answer: &http::Answer) -> Outcome {
        let reply: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let partial = &reply["partialSuccess"];
        // 64-bit numbers are texts in protobuf's JSON.
        let rejected = &partial["rejectedLogRecords"];
        let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
        let why = partial["errorMessage"].as_str().unwrap_or_default();
        let text = short(&self.caller.hide(&format!("{rejected} of {count} records refused: {why}")));
        match rejected {
            0 => Outcome::delivered(count),
            all if all >= count as u64 => Outcome::all(count, Verdict::Refused(text)),
            _ => Outcome { note: Some(text), ..Outcome::delivered(count) },
        }
    }
}

#[async_trait]
impl Destination for Otlp {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        match self.caller.post(http::encoded(self.encoding, batch), "application/json", &[]).await {
            Ok(answer) => self.judge(batch.len(), &answer),
            Err(cause) => Outcome::unreachable(batch.len(), cause),
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        self.caller.preview(http::encoded(self.encoding, batch))
    }
}
