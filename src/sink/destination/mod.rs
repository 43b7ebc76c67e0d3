//! Where messages go: one file per destination, behind [`Destination`].
//!
//! A destination sends one batch and says of each message what became of it. It knows no outbox, no waiting and no second try: that is
//! [`deliver`](super::deliver)'s. One connection or request is under way at a time, so what is sent arrives in the order in which it was given.

mod elastic;
mod file;
mod http;
mod kafka;
mod otlp;
mod secret;
mod sentinel;
mod settings;
mod splunk_hec;
mod stdout;
mod syslog;
mod tls;
mod webhook;

pub use http::retry_after;
pub use secret::{Secret, Value};
pub use settings::{
    Auth, Body, FileTarget, HttpKind, HttpTarget, KafkaTarget, SaslMechanism, SentinelTarget, Service, SyslogTarget,
    SyslogTransport, Target,
};
pub use tls::Tls;

use super::Encoding;
use crate::alert::Level;
use async_trait::async_trait;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// One alert as a destination gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Id of the alert: the same however often it is sent.
    pub id: String,
    /// Messages with the same key keep their order.
    pub key: String,
    pub rule: String,
    pub level: Level,
    /// Microseconds.
    pub time: i64,
    /// What the encoding made of it: at least one text, without a line end. Shared, because a batch is kept until its fate is known.
    pub parts: Arc<[String]>,
}

impl Message {
    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len() + 1).sum()
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived, as far as the destination can tell.
    Delivered,
    /// It may or may not have arrived and is to be sent again. `answered`: the receiver was there and failed at it; if it does so again and
    /// again, the message may be to blame.
    Again { answer: String, answered: bool },
    /// The receiver does not want this very message.
    Refused(String),
    /// The receiver does not want it or another one of its batch: smaller batches will tell.
    Suspect(String),
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One for each message, in their order.
    pub verdicts: Vec<Verdict>,
    /// How long the receiver asks to be left alone.
    pub wait: Option<Duration>,
    /// Nothing can be sent before somebody mends this: credentials, an address.
    pub stop: Option<String>,
    /// What is worth telling though everything went well.
    pub note: Option<String>,
}

impl Outcome {
    /// The same for each of so many messages.
    pub fn all(count: usize, verdict: Verdict) -> Self {
        Self { verdicts: vec![verdict; count], ..Self::default() }
    }

    /// All arrived.
    pub fn delivered(count: usize) -> Self {
        Self::all(count, Verdict::Delivered)
    }

    /// Nobody was there, or the line broke.
    pub fn unreachable(count: usize, answer: impl Into<String>) -> Self {
        Self::all(count, Verdict::Again { answer: answer.into(), answered: false })
    }
}

/// A place that takes messages.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Sends a batch that is not empty.
    async fn send(&mut self, batch: &[Message]) -> Outcome;

    /// The bytes that [`Self::send`] would put on the wire for the batch, before compression, and where: without credentials.
    fn preview(&self, batch: &[Message]) -> Preview;

    /// Ends what is open, in order.
    async fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// What would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// For people: method and address, a path.
    pub to: String,
    pub bytes: Vec<u8>,
}

/// Gives a stream to write data to.
pub type Stdout = Arc<dyn Fn() -> Box<dyn Write + Send> + Send + Sync>;

/// What a destination needs of the world around it.
#[derive(Clone)]
pub struct Surroundings<'a> {
    /// Looks a variable of the environment up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    pub stdout: Stdout,
    /// Name of this machine.
    pub host: Option<String>,
    /// The time now, in seconds since the epoch: how long a token holds, what is signed.
    pub clock: fn() -> i64,
}

/// Opens a destination: reads its credentials and certificates, connects to nothing.
///
/// # Errors
/// Everything that is missing or does not fit, one line each.
pub fn open(
    target: &Target,
    encoding: Encoding,
    timeout: Duration,
    around: &Surroundings<'_>,
) -> Result<Box<dyn Destination>, Vec<String>> {
    Ok(match target {
        Target::Stdout => Box::new(stdout::StdoutSink::new(encoding, Arc::clone(&around.stdout))),
        Target::File(target) => Box::new(file::FileSink::new(target, encoding)),
        Target::Syslog(target) => Box::new(syslog::SyslogSink::open(target, timeout).map_err(|e| vec![e])?),
        Target::Kafka(target) => Box::new(kafka::KafkaSink::open(target, encoding, timeout, around)?),
        Target::Http(target) => {
            let caller = http::Caller::open(target, timeout, around)?;
            match &target.kind {
                HttpKind::SplunkHec { acknowledge, acknowledge_within } => {
                    let within = acknowledge.then_some(*acknowledge_within);
                    Box::new(splunk_hec::SplunkHec::new(caller, encoding, within))
                }
                HttpKind::Elastic { index } => Box::new(elastic::Elastic::new(caller, index.clone())),
                HttpKind::Otlp => Box::new(otlp::Otlp::new(caller, encoding)),
                HttpKind::Sentinel(sentinel) => {
                    let client = sentinel.client_secret.secret(around.environment).map_err(|e| vec![e])?;
                    Box::new(sentinel::Sentinel::new(caller, sentinel, client, encoding, around.clock))
                }
                HttpKind::Service { service, signed } => {
                    let key = signed.as_ref().map(|value| value.secret(around.environment)).transpose();
                    let key = key.map_err(|cause| vec![format!("sign_with: {cause}")])?;
                    Box::new(webhook::Webhook::new(caller, *service, encoding, key, around.clock))
                }
            }
        }
    })
}

/// Cuts an answer to what fits a line of a report.
fn short(text: &str) -> String {
    const MAX: usize = 300;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = crate::visible::visible(&text).into_owned();
    crate::visible::shorten(&mut text, MAX);
    text
}
