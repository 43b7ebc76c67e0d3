//! Services that take a JSON body by POST: a webhook of the user's own, chats, paging, and log services that differ in little else.
//!
//! With `sign_with`, requests carry a signature as Standard Webhooks has it: HMAC-SHA256 over id, time and body.

use super::http::{self, Caller};
use super::secret::Secret;
use super::settings::{Body, Service};
use super::{Destination, Message, Outcome, Preview, Verdict};
use crate::sink::Encoding;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

pub(super) struct Webhook {
    caller: Caller,
    body: Body,
    encoding: Encoding,
    key: Option<Secret>,
    clock: fn() -> i64,
}

impl Webhook {
    pub(super) fn new(
        mut caller: Caller,
        service: Service,
        encoding: Encoding,
        key: Option<Secret>,
        clock: fn() -> i64,
    ) -> Self {
        match service {
            Service::Datadog => caller.set_default_path("/api/v2/logs"),
            Service::PagerDuty => caller.set_default_path("/v2/enqueue"),
            _ => {}
        }
        if let Some(key) = &key {
            caller.add_secret(key.clone());
        }
        Self { caller, body: service.body(), encoding, key, clock }
    }

    /// The one body of a batch; of [`Body::One`] there is none.
    fn body(&self, batch: &[Message]) -> Vec<u8> {
        match self.body {
            Body::Array => http::array(batch),
            Body::Lines | Body::One => http::lines(batch),
            Body::Encoding => http::encoded(self.encoding, batch),
        }
    }

    async fn request(&self, batch: &[Message], body: Vec<u8>) -> Outcome {
        let content_type = match self.body {
            Body::One | Body::Lines if http::is_text(self.encoding) => http::TEXT,
            Body::Lines => "application/x-ndjson",
            _ => "application/json",
        };
        let headers = self.headers(&id_of(batch), &body);
        match self.caller.post(body, content_type, &headers).await {
            Ok(answer) => self.caller.judge(batch.len(), &answer),
            Err(cause) => Outcome::unreachable(batch.len(), cause),
        }
    }

    /// A message of several parts is several requests, and arrived when the last one did.
    async fn one(&self, message: &Message) -> Outcome {
        let mut outcome = Outcome::delivered(1);
        for part in message.parts.iter() {
            outcome = self.request(std::slice::from_ref(message), part.clone().into_bytes()).await;
            if outcome.verdicts != [Verdict::Delivered] {
                break;
            }
        }
        outcome
    }

    fn headers(&self, id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let Some(key) = &self.key else { return Vec::new() };
        let time = (self.clock)().to_string();
        let signature = sign(key, id, &time, body);
        vec![("webhook-id", id.to_owned()), ("webhook-timestamp", time), ("webhook-signature", signature)]
    }
}

/// `v1,` and the HMAC in base64. A key that begins with `whsec_` is base64 behind that, as Standard Webhooks writes keys.
fn sign(key: &Secret, id: &str, time: &str, body: &[u8]) -> String {
    let text = key.expose();
    let packed = text.strip_prefix("whsec_").and_then(|packed| STANDARD.decode(packed).ok());
    let key = packed.unwrap_or_else(|| text.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The same for the same messages, so that a receiver can tell a repeat.
fn id_of(batch: &[Message]) -> String {
    if let [only] = batch {
        return only.id.clone();
    }
    let mut digest = Sha256::new();
    batch.iter().for_each(|message| digest.update(message.id.as_bytes()));
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Destination for Webhook {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        if self.body != Body::One {
            return self.request(batch, self.body(batch)).await;
        }
        let mut done = Outcome::default();
        for message in batch {
            let mut outcome = self.one(message).await;
            match outcome.verdicts.pop() {
                // There is no doubt who was refused.
                Some(Verdict::Suspect(answer)) => done.verdicts.push(Verdict::Refused(answer)),
                // Those behind it wait for the same reason.
                Some(again @ Verdict::Again { .. }) => {
                    done.verdicts.resize(batch.len(), again);
                    return Outcome { verdicts: done.verdicts, ..outcome };
                }
                Some(other) => done.verdicts.push(other),
                None => done.verdicts.push(Verdict::Delivered),
            }
        }
        done
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        let preview = self.caller.preview(self.body(batch));
        let requests = batch.iter().map(|message| message.parts.len()).sum::<usize>();
        let is_several = self.body == Body::One && requests > 1;
        let to = if is_several { format!("{}, {requests} requests", preview.to) } else { preview.to };
        Preview { to, ..preview }
    }
}
