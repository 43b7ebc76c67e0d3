//! One HTTP request and what its answer means, for every destination that speaks HTTP.
//!
//! Credentials are read when the destination is opened, and are taken out of everything that is said about a request.

use super::secret::{Secret, Value};
use super::settings::{Auth, HttpTarget};
use super::{Message, Outcome, Preview, Surroundings, Verdict, short, tls};
use crate::sink::{self, Batching, Encoding};
use base64::Engine as _;
use flate2::{Compression, write::GzEncoder};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url, redirect};
use std::io::Write as _;
use std::time::Duration;

/// Bytes of an answer that are read: a bulk response with an error for each of thousands of items fits.
const MAX_ANSWER: usize = 16 << 20;
/// The type of bodies that are no JSON.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// Smaller bodies gain nothing from compression.
const MIN_COMPRESSED: usize = 512;

/// Sends requests to one place.
pub(super) struct Caller {
    client: Client,
    url: Url,
    /// How the place is named to people.
    shown: String,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    compress: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) wait: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Caller {
    pub(super) fn open(target: &HttpTarget, timeout: Duration, around: &Surroundings<'_>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut secrets = Vec::new();
        let mut secret = |key: &str, value: &Value| match value.secret(around.environment) {
            Ok(secret) => {
                if !matches!(value, Value::Plain(_)) {
                    secrets.push(secret.clone());
                }
                Some(secret)
            }
            Err(cause) => {
                problems.push(format!("{key}: {cause}"));
                None
            }
        };
        let mut headers = HeaderMap::new();
        let mut set = Vec::new();
        let mut login = None;
        match &target.auth {
            Auth::None => {}
            Auth::InMessage { key } => drop(secret("token", key)),
            Auth::Token { scheme, token } => {
                set.extend(
                    secret("token", token).map(|token| ("authorization", format!("{scheme} {}", token.expose()))),
                );
            }
            Auth::Header { name, key } => {
                set.extend(secret("token", key).map(|key| (*name, key.expose().to_owned())));
            }
            Auth::Basic { user, password } => {
                if let (Some(user), Some(password)) = (secret("user", user), secret("password", password)) {
                    let both = format!("{}:{}", user.expose(), password.expose());
                    let packed = base64::engine::general_purpose::STANDARD.encode(both);
                    login = Some(Secret::new(packed.clone()));
                    set.push(("authorization", format!("Basic {packed}")));
                }
            }
        }
        let written: Vec<_> = target
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), secret(&format!("headers.{name}"), value)?)))
            .collect();
        set.extend(written.iter().map(|(name, value)| (*name, value.expose().to_owned())));
        let url = secret("url", &target.url);
        let proxy = target.proxy.as_ref().and_then(|proxy| secret("proxy", proxy));
        for (name, value) in set {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                _ => problems.push(format!(
                    "headers: `{name}` cannot be sent: it or its value has characters that no header may have"
                )),
            }
        }
        let mut parsed = |text: &Secret, key: &str, written: &Value| match Url::parse(text.expose()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            // The text may be a credential.
            _ => {
                problems.push(format!("{key}: {written} is no URL that begins with http:// or https://"));
                None
            }
        };
        let url = url.and_then(|text| parsed(&text, "url", &target.url));
        let proxy =
            proxy.filter(|text| target.proxy.as_ref().is_some_and(|written| parsed(text, "proxy", written).is_some()));
        let client = client(target, timeout, proxy.as_ref()).map_err(|cause| problems.push(cause));
        match (url, client) {
            (Some(url), Ok(client)) if problems.is_empty() => {
                secrets.extend(url.password().map(Secret::new));
                secrets.extend(login);
                if !matches!(target.url, Value::Plain(_)) {
                    secrets.extend(parts_of(&url));
                }
                // What stands in an address that is a credential must not be told from it.
                let host = url.host_str().unwrap_or_default();
                let shown = match &target.url {
                    Value::Plain(_) => without_login(&url),
                    hidden => format!("{}://{host}/… {hidden}", url.scheme()),
                };
                Ok(Self { client, url, shown, headers, secrets, compress: target.compress })
            }
            _ => Err(problems),
        }
    }

    /// The address with this path, unless the configuration names another than `/`.
    pub(super) fn set_default_path(&mut self, path: &str) {
        if matches!(self.url.path(), "" | "/") {
            self.set_path(path);
        }
    }

    /// The address with this path, what it has for a path before it.
    pub(super) fn append_path(&mut self, path: &str) {
        let whole = format!("{}{path}", self.url.path().trim_end_matches('/'));
        self.set_path(&whole);
    }

    fn set_path(&mut self, path: &str) {
        let before = without_login(&self.url);
        self.url.set_path(path);
        if self.shown == before {
            self.shown = without_login(&self.url);
        }
    }

    pub(super) fn set_query(&mut self, query: &str) {
        let before = without_login(&self.url);
        self.url.set_query(Some(query));
        if self.shown == before {
            self.shown = without_login(&self.url);
        }
    }

    /// The address; for further ones beside it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Keeps a credential out of what is said.
    pub(super) fn add_secret(&mut self, secret: Secret) {
        self.secrets.push(secret);
    }

    /// Sends a request. An error says why there was no answer.
    pub(super) async fn post(
        &self,
        body: Vec<u8>,
        content_type: &'static str,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, String> {
        self.post_to(self.url.clone(), body, content_type, headers).await
    }

    pub(super) async fn post_to(
        &self,
        url: Url,
        body: Vec<u8>,
        content_type: &'static str,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, String> {
        let mut own = self.headers.clone();
        // The configuration may name another type.
        own.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        let mut request = self.client.post(url).headers(own);
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value).map_err(|_| format!("`{name}` is no value of a header"))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if self.compress && body.len() >= MIN_COMPRESSED {
            request = request.header(CONTENT_ENCODING, "gzip").body(gzip(&body).map_err(|cause| cause.to_string())?);
        } else {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(|error| self.hide(&why(error)))?;
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let date = response.headers().get(reqwest::header::DATE).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|wait| retry_after(&wait, date));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.hide(&why(error)))? {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]);
            if body.len() >= MAX_ANSWER {
                break;
            }
        }
        Ok(Answer { status, wait, body })
    }

    /// What an answer means, where it says nothing of single messages.
    pub(super) fn judge(&self, count: usize, answer: &Answer) -> Outcome {
        let text = self.text(answer);
        match answer.status {
            200..=299 => Outcome::delivered(count),
            408 | 429 | 500..=599 => Outcome {
                wait: answer.wait,
                // These say that there is too much, not that something is wrong with it.
                ..Outcome::all(
                    count,
                    Verdict::Again { answer: text, answered: !matches!(answer.status, 408 | 429 | 503) },
                )
            },
            401 | 403 | 407 => self.stopped(count, format!("the credentials are refused: {text}")),
            300..=399 | 404 | 405 | 410 => self.stopped(count, format!("nobody takes alerts at this address: {text}")),
            _ => Outcome::all(count, Verdict::Suspect(text)),
        }
    }

    /// Nothing more can be sent.
    pub(super) fn stopped(&self, count: usize, answer: String) -> Outcome {
        let verdict = Verdict::Again { answer: answer.clone(), answered: true };
        Outcome { stop: Some(answer), ..Outcome::all(count, verdict) }
    }

    /// The answer as a report may say it.
    pub(super) fn text(&self, answer: &Answer) -> String {
        let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(4096)]).into_owned();
        short(&format!("HTTP {} {}", answer.status, self.hide(&body)))
    }

    /// The text without any credential of this place.
    pub(super) fn hide(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| secret.hide(&text))
    }

    /// What [`Self::post`] would send.
    pub(super) fn preview(&self, body: Vec<u8>) -> Preview {
        let packed = if self.compress { ", sent as gzip" } else { "" };
        let bytes =
            if self.secrets.is_empty() { body } else { self.hide(&String::from_utf8_lossy(&body)).into_bytes() };
        Preview { to: format!("POST {}{packed}", self.shown), bytes }
    }
}

/// Texts of a batch as one body, as the encoding puts them together.
pub(super) fn encoded(encoding: Encoding, batch: &[Message]) -> Vec<u8> {
    let parts: Vec<&str> = batch.iter().flat_map(|message| message.parts.iter()).map(String::as_str).collect();
    sink::body(encoding, &parts).into_bytes()
}

/// Texts of a batch one a line.
pub(super) fn lines(batch: &[Message]) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.iter().map(Message::bytes).sum());
    for part in batch.iter().flat_map(|message| message.parts.iter()) {
        out.extend_from_slice(part.as_bytes());
        out.push(b'\n');
    }
    out
}

/// Texts of a batch as a JSON array; those of an encoding that makes arrays lose their brackets, and lines of text become JSON's.
pub(super) fn array(batch: &[Message]) -> Vec<u8> {
    let mut out = vec![b'['];
    for part in batch.iter().flat_map(|message| message.parts.iter()) {
        if out.len() > 1 {
            out.push(b',');
        }
        let trimmed = part.trim();
        let inner = trimmed.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        match inner.or(Some(trimmed).filter(|text| text.starts_with('{'))) {
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => out.extend_from_slice(serde_json::Value::from(trimmed).to_string().as_bytes()),
        }
    }
    out.push(b']');
    out
}

/// Whether messages of this encoding are no JSON.
pub(super) fn is_text(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Cef | Encoding::Leef | Encoding::Syslog)
}

/// What bodies of this encoding are.
pub(super) fn content_type(encoding: Encoding) -> &'static str {
    match encoding.batching() {
        _ if is_text(encoding) => TEXT,
        Batching::Lines => "application/x-ndjson",
        Batching::Array | Batching::Inside(..) | Batching::Single => "application/json",
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date, which the receiver's own clock is held against if it says its time.
pub fn retry_after(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text: &str| chrono::DateTime::parse_from_rfc2822(text.trim()).ok();
    let wait = time(text)?.signed_duration_since(time(date?)?);
    Some(wait.to_std().unwrap_or(Duration::ZERO))
}

fn client(target: &HttpTarget, timeout: Duration, proxy: Option<&Secret>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("calltrail/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        // An alert goes where the configuration says, and nowhere else.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls::client_config(&target.tls)?);
    if let Some(proxy) = proxy {
        let proxy = reqwest::Proxy::all(proxy.expose()).map_err(|_| "proxy: it is no URL of a proxy".to_owned())?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| format!("HTTP: {}", why(error)))
}

/// Parts of an address that is a credential, as a receiver may repeat them.
fn parts_of(url: &Url) -> impl Iterator<Item = Secret> + '_ {
    let long = |part: &&str| part.len() >= 8;
    let whole = &url[url::Position::BeforePath..];
    let segments = url.path().split('/').chain(url.query());
    [whole, url.path()].into_iter().chain(segments).filter(long).map(Secret::new)
}

fn without_login(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// An error with its causes, without the address: it may be a credential.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { error.to_string() };
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    short(&text)
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    packed.write_all(body)?;
    packed.finish()
}
