//! What a sink's destination is told, as the configuration says it: plain values, nothing opened.

use super::secret::Value;
use super::tls::Tls;
use crate::sink::{Batching, Encoding};
use std::path::PathBuf;
use std::time::Duration;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    File(FileTarget),
    Syslog(SyslogTarget),
    Kafka(KafkaTarget),
    Http(Box<HttpTarget>),
}

/// A file that grows and is put aside when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTarget {
    pub path: PathBuf,
    /// Bytes from which on a new file is begun; 0: never.
    pub rotate_at: u64,
    /// Files that are kept beside the one that grows.
    pub keep: usize,
}

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogTarget {
    /// `host:port`.
    pub address: String,
    pub transport: SyslogTransport,
    /// RFC 5424 facility, 0 to 23.
    pub facility: u8,
    /// Whether the connection is ended after each batch, which shows that the receiver has read it.
    pub confirm: bool,
    pub tls: Tls,
}

/// How syslog travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// One datagram a message (RFC 5426): nobody knows what arrives.
    Udp,
    /// Octet counting (RFC 6587).
    Tcp,
    /// Octet counting over TLS (RFC 5425).
    Tls,
}

impl SyslogTransport {
    /// All transports by name.
    pub const ALL: [(&'static str, Self); 3] = [("udp", Self::Udp), ("tcp", Self::Tcp), ("tls", Self::Tls)];
}

/// A Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTarget {
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    pub topic: String,
    /// Name and password.
    pub login: Option<(Value, Value)>,
    pub mechanism: SaslMechanism,
    /// Whether connections are encrypted, and by which files.
    pub tls: Option<Tls>,
}

/// How name and password are shown to a Kafka broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// As they are (RFC 4616): over TLS only.
    Plain,
    /// RFC 7677.
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// All mechanisms by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("plain", Self::Plain), ("scram-sha-256", Self::ScramSha256), ("scram-sha-512", Self::ScramSha512)];
}

/// Something that takes HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    pub kind: HttpKind,
    /// May be a credential itself, as those of Slack and Sumo Logic are.
    pub url: Value,
    pub auth: Auth,
    /// Headers beside those that the destination needs.
    pub headers: Vec<(String, Value)>,
    pub tls: Tls,
    pub proxy: Option<Value>,
    pub compress: bool,
}

/// Who speaks HTTP there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpKind {
    SplunkHec { acknowledge: bool, acknowledge_within: Duration },
    Elastic { index: String },
    Otlp,
    Sentinel(SentinelTarget),
    Service { service: Service, signed: Option<Value> },
}

/// A table of Microsoft Sentinel, as the Logs Ingestion API names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelTarget {
    /// Immutable id of the data collection rule.
    pub rule: String,
    /// Its stream: `Custom-…`.
    pub stream: String,
    pub tenant: String,
    pub client_id: String,
    pub client_secret: Value,
    /// Where tokens come from.
    pub authority: String,
    /// What the token is for.
    pub scope: String,
}

/// Credentials of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    /// `Authorization: SCHEME token`.
    Token {
        scheme: &'static str,
        token: Value,
    },
    /// A header with nothing but the key.
    Header {
        name: &'static str,
        key: Value,
    },
    Basic {
        user: Value,
        password: Value,
    },
    /// A key that stands in the message itself.
    InMessage {
        key: Value,
    },
}

/// What one request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// One message.
    One,
    /// A JSON array of messages.
    Array,
    /// A message a line.
    Lines,
    /// As the encoding puts its messages together.
    Encoding,
}

/// Services that differ in nothing but what their requests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Webhook(Body),
    Slack,
    Teams,
    PagerDuty,
    Datadog,
    SumoLogic,
    SecOps,
}

impl Service {
    /// What one of its requests holds.
    pub fn body(self) -> Body {
        match self {
            Self::Webhook(body) => body,
            Self::Slack | Self::Teams | Self::PagerDuty => Body::One,
            Self::Datadog => Body::Array,
            Self::SumoLogic => Body::Lines,
            Self::SecOps => Body::Encoding,
        }
    }
}

impl Target {
    /// The encoding that it is given if the configuration names none.
    pub fn default_encoding(&self) -> Encoding {
        match self {
            Self::Stdout | Self::File(_) | Self::Kafka(_) => Encoding::Ocsf,
            Self::Syslog(_) => Encoding::Cef,
            Self::Http(http) => match &http.kind {
                HttpKind::SplunkHec { .. } => Encoding::Hec,
                HttpKind::Elastic { .. } => Encoding::Ecs,
                HttpKind::Otlp => Encoding::Otlp,
                HttpKind::Sentinel(_) => Encoding::Asim,
                HttpKind::Service { service, .. } => match service {
                    Service::Webhook(_) => Encoding::Ocsf,
                    Service::Slack => Encoding::Slack,
                    Service::Teams => Encoding::Teams,
                    Service::PagerDuty => Encoding::Pagerduty,
                    Service::Datadog => Encoding::Datadog,
                    Service::SumoLogic => Encoding::Sumo,
                    Service::SecOps => Encoding::Udm,
                },
            },
        }
    }

    /// Encodings that it takes, if not all: services want their own.
    pub fn takes(&self, encoding: Encoding) -> bool {
        match self {
            Self::Stdout | Self::File(_) | Self::Kafka(_) => encoding != Encoding::Table,
            Self::Syslog(_) => encoding.is_one_line(),
            Self::Http(http) => match &http.kind {
                HttpKind::SplunkHec { .. } => encoding.batching() == Batching::Lines && encoding.is_one_line(),
                HttpKind::Elastic { .. } => {
                    matches!(
                        encoding,
                        Encoding::Ecs | Encoding::Bulk | Encoding::Ocsf | Encoding::Json | Encoding::Jsonl
                    )
                }
                HttpKind::Service { service: Service::Webhook(_), .. } => encoding != Encoding::Table,
                HttpKind::Service { service: Service::SumoLogic, .. } => encoding.batching() == Batching::Lines,
                HttpKind::Otlp | HttpKind::Sentinel(_) | HttpKind::Service { .. } => {
                    encoding == self.default_encoding()
                }
            },
        }
    }
}
