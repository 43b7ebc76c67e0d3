//! Microsoft Sentinel by the Logs Ingestion API: a JSON array to a stream of a data collection rule, with a token of Entra ID.

use super::http::{self, Caller};
use super::secret::Secret;
use super::settings::SentinelTarget;
use super::{Destination, Message, Outcome, Preview, Verdict};
use crate::sink::{Batching, Encoding};
use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;

/// A token is renewed so many seconds before it ends.
const MARGIN: i64 = 60;

pub(super) struct Sentinel {
    caller: Caller,
    /// Where tokens come from, and the form that asks for one.
    token_url: String,
    form: String,
    encoding: Encoding,
    token: Option<(Secret, i64)>,
    clock: fn() -> i64,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

impl Sentinel {
    pub(super) fn new(
        mut caller: Caller,
        target: &SentinelTarget,
        client_secret: Secret,
        encoding: Encoding,
        clock: fn() -> i64,
    ) -> Self {
        caller.append_path(&format!("/dataCollectionRules/{}/streams/{}", target.rule, target.stream));
        caller.set_query("api-version=2023-01-01");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &target.client_id)
            .append_pair("client_secret", client_secret.expose())
            .append_pair("scope", &target.scope)
            .finish();
        caller.add_secret(client_secret);
        let token_url = format!("{}/{}/oauth2/v2.0/token", target.authority.trim_end_matches('/'), target.tenant);
        Self { caller, token_url, form, encoding, token: None, clock }
    }

    fn body(&self, batch: &[Message]) -> Vec<u8> {
        match self.encoding.batching() {
            Batching::Array => http::encoded(self.encoding, batch),
            _ => http::array(batch),
        }
    }

    /// A token that holds, or what to do without one.
    async fn token(&mut self, count: usize) -> Result<Secret, Outcome> {
        if let Some((token, until)) = &self.token
            && (self.clock)() < *until
        {
            return Ok(token.clone());
        }
        let url = Url::parse(&self.token_url)
            .map_err(|_| self.caller.stopped(count, "`authority` or `tenant` makes no URL".to_owned()))?;
        let form = self.form.clone().into_bytes();
        let answer = self.caller.post_to(url, form, "application/x-www-form-urlencoded", &[]).await;
        let answer = answer.map_err(|cause| Outcome::unreachable(count, format!("no token: {cause}")))?;
        match (answer.status, serde_json::from_slice::<Token>(&answer.body)) {
            (200, Ok(token)) => {
                let secret = Secret::new(token.access_token);
                self.caller.add_secret(secret.clone());
                let until = (self.clock)().saturating_add(token.expires_in.saturating_sub(MARGIN).max(0));
                self.token = Some((secret.clone(), until));
                Ok(secret)
            }
            (408 | 429 | 500..=599, _) => {
                let verdict =
                    Verdict::Again { answer: format!("no token: {}", self.caller.text(&answer)), answered: true };
                Err(Outcome { wait: answer.wait, ..Outcome::all(count, verdict) })
            }
            _ => Err(self.caller.stopped(count, format!("no token: {}", self.caller.text(&answer)))),
        }
    }
}

#[async_trait]
impl Destination for Sentinel {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        let mut is_fresh = false;
        loop {
            let token = match self.token(batch.len()).await {
                Ok(token) => token,
                Err(outcome) => return outcome,
            };
            let headers = [("authorization", format!("Bearer {}", token.expose()))];
            match self.caller.post(self.body(batch), "application/json", &headers).await {
                // A token can be taken back before it ends.
                Ok(answer) if answer.status == 401 && !is_fresh => {
                    self.token = None;
                    is_fresh = true;
                }
                Ok(answer) => return self.caller.judge(batch.len(), &answer),
                Err(cause) => return Outcome::unreachable(batch.len(), cause),
            }
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        self.caller.preview(self.body(batch))
    }
}
