//! `[[sinks]]`: as written, then checked against what the sink's type knows.
//!
//! Credentials may stand in the environment or in a file only, and are not read here. A value that is a credential and stands in the
//! configuration itself is a fault, and is not repeated in the message.

use super::schema::{OneOrMore, Setting, Size};
use super::units::{When, parse_bytes, parse_duration};
use super::{Check, list};
use crate::alert::{Level, Wildcard};
use crate::sink::deliver::{BatchLimits, Filter, Rate, Retry, Sink};
use crate::sink::destination::{
    Auth, Body, FileTarget, HttpKind, HttpTarget, KafkaTarget, SentinelTarget, Service, SyslogTarget, SyslogTransport,
    Target, Tls, Value,
};
use crate::sink::encode::{OcsfVersion, Options};
use crate::sink::Encoding;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// A sink, and the setting of it that needs a clock.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkSetting {
    pub sink: Sink,
    /// Older alerts are not for it.
    pub since: Option<When>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    name: Option<Spanned<String>>,
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    enabled: Option<bool>,
    encoding: Option<Spanned<String>>,
    // Which alerts.
    min_level: Option<Spanned<String>>,
    rules: Option<Spanned<OneOrMore>>,
    except_rules: Option<Spanned<OneOrMore>>,
    tags: Option<Spanned<OneOrMore>>,
    since: Option<Spanned<super::schema::Moment>>,
    send_resolved: Option<bool>,
    own_events: Option<bool>,
    // How they are sent.
    batch: Batch,
    retry: RetryWritten,
    timeout: Option<Spanned<String>>,
    rate_limit: Option<Spanned<String>>,
    digest_above: Option<Spanned<u64>>,
    calls: Option<bool>,
    ocsf_version: Option<Spanned<String>>,
    // Where to.
    path: Option<Spanned<String>>,
    rotate_at: Option<Spanned<Size>>,
    keep: Option<Spanned<u64>>,
    address: Option<Spanned<String>>,
    transport: Option<Spanned<String>>,
    facility: Option<Spanned<u64>>,
    confirm: Option<Spanned<bool>>,
    hostname: Option<Spanned<String>>,
    enterprise_id: Option<Spanned<u32>>,
    max_message: Option<Spanned<Size>>,
    brokers: Option<Spanned<Vec<String>>>,
    topic: Option<Spanned<String>>,
    url: Option<Spanned<Source>>,
    index: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
    sourcetype: Option<Spanned<String>>,
    acknowledge: Option<Spanned<bool>>,
    acknowledge_within: Option<Spanned<String>>,
    body: Option<Spanned<String>>,
    sign_with: Option<Spanned<Source>>,
    compress: Option<Spanned<bool>>,
    headers: BTreeMap<Spanned<String>, Spanned<Source>>,
    token: Option<Spanned<Source>>,
    user: Option<Spanned<Source>>,
    password: Option<Spanned<Source>>,
    proxy: Option<Spanned<Source>>,
    tls: Option<Spanned<TlsWritten>>,
    dcr: Option<Spanned<String>>,
    stream: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
    client_id: Option<Spanned<String>>,
    client_secret: Option<Spanned<Source>>,
    authority: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Batch {
    count: Option<Spanned<u64>>,
    bytes: Option<Spanned<Size>>,
    age: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetryWritten {
    tries: Option<Spanned<u32>>,
    first: Option<Spanned<String>>,
    cap: Option<Spanned<String>>,
    give_up: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsWritten {
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
}

/// A value itself, or where it stands. A text may be a credential by mistake: it is not shown.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, { env = \"VARIABLE\" } or { file = \"path\" }")]
enum Source {
    Plain(Setting),
    Env(FromEnv),
    File(FromFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromEnv {
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    file: String,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(set)")
    }
}

/// Types with the keys that each knows beside those of every sink.
const TYPES: &[(&str, &[&str])] = &[
    ("stdout", &[]),
    ("file", &["path", "rotate_at", "keep"]),
    ("syslog", &["address", "transport", "facility", "confirm", "hostname", "enterprise_id", "max_message", "tls"]),
    ("splunk_hec", &["acknowledge", "acknowledge_within", "index", "source", "sourcetype", "token"]),
    ("elasticsearch", &["index", "token", "user", "password"]),
    ("opensearch", &["index", "token", "user", "password"]),
    ("otlp", &["token", "user", "password"]),
    ("sentinel", &["dcr", "stream", "tenant", "client_id", "client_secret", "authority", "scope"]),
    ("webhook", &["body", "sign_with", "token", "user", "password"]),
    ("slack", &["token"]),
    ("teams", &["token"]),
    ("pagerduty", &["token"]),
    ("datadog", &["token", "source"]),
    ("sumologic", &[]),
    ("secops", &["token"]),
    ("kafka", &["brokers", "topic", "user", "password"]),
];
/// Keys of everything that speaks HTTP.
const OF_HTTP: &[&str] = &["url", "headers", "tls", "proxy", "compress"];
const NOT_HTTP: &[&str] = &["stdout", "file", "syslog", "kafka"];
/// Headers that hold credentials.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "token", "key", "secret", "password"];

impl Check<'_> {
    pub(super) fn sinks(&mut self, written: Vec<Spanned<Written>>) -> Vec<SinkSetting> {
        let mut sinks: Vec<SinkSetting> = Vec::new();
        for one in written {
            let at = one.span();
            let before = self.faults.len();
            let sink = self.sink(one);
            let Some(sink) = sink.filter(|_| self.faults.len() == before) else { continue };
            if sinks.iter().any(|known| known.sink.name == sink.sink.name) {
                self.faults.push((Some(at), format!("there are two sinks named `{}`", sink.sink.name)));
            }
            sinks.push(sink);
        }
        sinks
    }

    fn sink(&mut self, one: Spanned<Written>) -> Option<SinkSetting> {
        let at = one.span();
        let mut w = one.into_inner();
        let kind = match w.kind.take() {
            Some(kind) => kind,
            None => {
                self.faults.push((Some(at), "the sink lacks `type`".to_owned()));
                return None;
            }
        };
        let Some((kind_name, own)) = TYPES.iter().find(|(name, _)| name == kind.get_ref()) else {
            let message = format!("`{}` is no type of sink; there are {}", kind.get_ref(), list(TYPES.iter().map(|(name, _)| *name)));
            self.faults.push((Some(kind.span()), message));
            return None;
        };
        let is_http = !NOT_HTTP.contains(kind_name);
        for (key, span) in w.targets() {
            if !own.contains(&key) && !(is_http && OF_HTTP.contains(&key)) {
                self.faults.push((span, format!("`{key}` means nothing to a sink of type `{kind_name}`")));
            }
        }
        let name = match w.name.take() {
            None => (*kind_name).to_owned(),
            Some(name) => self.value(Some(name), |name: &String| sink_name(name))?,
        };
        let mut options = Options {
            calls: w.calls.unwrap_or(false),
            enterprise_id: w.enterprise_id.as_ref().map_or(Options::default().enterprise_id, |id| *id.get_ref()),
            index: w.index.as_ref().map(|index| index.get_ref().clone()),
            source: w.source.take().map(Spanned::into_inner),
            sourcetype: w.sourcetype.take().map(Spanned::into_inner),
            host: w.hostname.as_ref().map(|host| host.get_ref().clone()),
            ..Options::default()
        };
        let version = self.value(w.ocsf_version.take(), |text: &String| {
            OcsfVersion::parse(text).ok_or_else(|| format!("`{text}` is no version of OCSF that is known; there are 1.8 and 1.9"))
        });
        options.ocsf_version = version.unwrap_or_default();
        let filter = self.filter(&mut w);
        let since = self.value(w.since.take(), |moment| When::parse(&moment.text()));
        let batch = std::mem::take(&mut w.batch);
        let retry = std::mem::take(&mut w.retry);
        let timeout = self.duration(w.timeout.take(), "timeout", Duration::from_secs(30));
        let rate = self.value(w.rate_limit.take(), |text: &String| rate(text));
        let digest_above = self.value(w.digest_above.take(), |above| match above {
            0 => Err("`digest_above` is 0; write from which number of alerts on one message says them all".to_owned()),
            above => Ok(usize::try_from(*above).unwrap_or(usize::MAX)),
        });
        let encoding = w.encoding.take();
        let (enabled, send_resolved, own_events) = (w.enabled.unwrap_or(true), w.send_resolved, w.own_events.unwrap_or(false));
        let target = self.target(kind_name, w, &at, &mut options)?;
        let encoding = self.value(encoding, |text: &String| match Encoding::parse(text) {
            Some(encoding) if target.takes(encoding) => Ok(encoding),
            _ => {
                let known = Encoding::ALL.into_iter().filter(|encoding| target.takes(*encoding));
                let known = list(known.map(Encoding::as_str));
                Err(format!("`{text}` is no encoding for a sink of type `{kind_name}`; there are {known}"))
            }
        });
        let encoding = encoding.unwrap_or_else(|| target.default_encoding());
        // These say that an alert is closed; in others it would look like a second alert.
        let says_closed = matches!(encoding, Encoding::Pagerduty | Encoding::Asim | Encoding::Udm);
        let send_resolved = send_resolved.unwrap_or(says_closed);
        let batch = self.batch(batch, kind_name);
        let retry = self.retry(retry);
        Some(SinkSetting {
            sink: Sink {
                name,
                enabled,
                target,
                encoding,
                options,
                filter,
                batch,
                retry,
                timeout,
                rate,
                digest_above,
                send_resolved,
                own_events,
            },
            since,
        })
    }

    fn filter(&mut self, w: &mut Written) -> Filter {
        let patterns = |written: Option<Spanned<OneOrMore>>| -> Vec<Wildcard> {
            written.map(|texts| texts.get_ref().list().iter().map(Wildcard::new).collect()).unwrap_or_default()
        };
        let level = self.value(w.min_level.take(), |text: &String| {
            Level::parse(text)
                .ok_or_else(|| format!("`{text}` is no level; the levels are {}", list(Level::ALL.map(Level::as_str))))
        });
        Filter {
            min_level: level.unwrap_or(Level::Informational),
            rules: patterns(w.rules.take()),
            except_rules: patterns(w.except_rules.take()),
            tags: patterns(w.tags.take()),
            since: None,
        }
    }

    fn batch(&mut self, written: Batch, kind: &str) -> BatchLimits {
        let (count, bytes) = match kind {
            "syslog" => (5000, 4 << 20),
            "stdout" | "file" => (1000, 4 << 20),
            "sentinel" => (500, 900 << 10),
            "datadog" => (1000, 4 << 20),
            "slack" | "teams" | "pagerduty" => (20, 1 << 20),
            _ => (1000, 2 << 20),
        };
        let positive = |text: &str, number: u64| match usize::try_from(number) {
            Ok(0) | Err(_) => Err(format!("`{text}` is {number}; nothing could be sent")),
            Ok(number) => Ok(number),
        };
        let age = written.age.is_some().then(|| self.duration(written.age, "age", Duration::ZERO));
        BatchLimits {
            count: self.value(written.count, |count| positive("count", *count)).unwrap_or(count),
            bytes: self.value(written.bytes, |size| positive("bytes", bytes_of(size)?)).unwrap_or(bytes),
            age: age.unwrap_or(Duration::from_secs(5)),
        }
    }

    fn retry(&mut self, written: RetryWritten) -> Retry {
        let tries = self.value(written.tries, |tries| match tries {
            0 => Err("`tries` is 0; nothing would be sent".to_owned()),
            tries => Ok(*tries),
        });
        Retry {
            tries: tries.unwrap_or(5),
            first: self.duration(written.first, "first", Duration::from_secs(1)),
            cap: self.duration(written.cap, "cap", Duration::from_secs(60)),
            give_up: self.duration(written.give_up, "give_up", Duration::from_secs(60)),
        }
    }

    fn duration(&mut self, written: Option<Spanned<String>>, key: &'static str, default: Duration) -> Duration {
        let read = self.value(written, |text: &String| match parse_duration(text)? {
            Duration::ZERO => Err(format!("`{key}` is 0")),
            duration => Ok(duration),
        });
        read.unwrap_or(default)
    }

    /// What the type needs; a fault where it is missing.
    fn needed<T>(&mut self, written: Option<Spanned<T>>, key: &str, at: &std::ops::Range<usize>) -> Option<T> {
        if written.is_none() {
            self.faults.push((Some(at.clone()), format!("the sink lacks `{key}`")));
        }
        written.map(Spanned::into_inner)
    }

    fn target(
        &mut self,
        kind: &str,
        mut w: Written,
        at: &std::ops::Range<usize>,
        options: &mut Options,
    ) -> Option<Target> {
        let tls = w.tls.take().map(|tls| self.tls(tls)).unwrap_or_default();
        Some(match kind {
            "stdout" => Target::Stdout,
            "file" => Target::File(FileTarget {
                path: self.needed(w.path.take(), "path", at).map(|path| self.located(&path).into())?,
                rotate_at: self.value(w.rotate_at.take(), bytes_of).unwrap_or(100 << 20),
                keep: w.keep.map_or(10, |keep| usize::try_from(keep.into_inner()).unwrap_or(usize::MAX)),
            }),
            "syslog" => {
                let transport = self.value(w.transport.take(), |text: &String| {
                    let found = SyslogTransport::ALL.into_iter().find(|(name, _)| name == text);
                    found.map(|(_, transport)| transport).ok_or_else(|| format!("`{text}` is no transport; there are udp, tcp, tls"))
                });
                let facility = self.value(w.facility.take(), |facility| match u8::try_from(*facility) {
                    Ok(facility @ 0..=23) => Ok(facility),
                    _ => Err(format!("{facility} is no facility of syslog; they go from 0 to 23")),
                });
                self.value(w.address.clone(), |text: &String| host_and_port(text));
                let address = self.needed(w.address.take(), "address", at);
                // What rsyslog takes as one message unless told otherwise.
                let max_bytes = self.value(w.max_message.take(), bytes_of).unwrap_or(8096);
                options.max_bytes = Some(usize::try_from(max_bytes).unwrap_or(usize::MAX));
                Target::Syslog(SyslogTarget {
                    address: address?,
                    transport: transport.unwrap_or(SyslogTransport::Tls),
                    facility: facility.unwrap_or(13),
                    confirm: w.confirm.is_none_or(Spanned::into_inner),
                    tls,
                })
            }
            "kafka" => {
                let brokers = self.needed(w.brokers.take(), "brokers", at);
                let topic = self.needed(w.topic.take(), "topic", at);
                Target::Kafka(KafkaTarget { brokers: brokers?, topic: topic?, login: self.login(w.user, w.password, at) })
            }
            _ => Target::Http(Box::new(self.http(kind, w, tls, at, options)?)),
        })
    }

    fn http(
        &mut self,
        kind: &str,
        mut w: Written,
        tls: Tls,
        at: &std::ops::Range<usize>,
        options: &mut Options,
    ) -> Option<HttpTarget> {
        // Their addresses are their credentials.
        let secret_url = matches!(kind, "slack" | "teams" | "sumologic");
        let default = match kind {
            "pagerduty" => Some("https://events.pagerduty.com"),
            "datadog" => Some("https://http-intake.logs.datadoghq.com"),
            _ => None,
        };
        let url = match (w.url.take(), default) {
            (None, Some(default)) => Some(Value::Plain(default.to_owned())),
            (None, None) => {
                self.faults.push((Some(at.clone()), "the sink lacks `url`".to_owned()));
                None
            }
            (Some(url), _) if secret_url => self.secret("url", url),
            (Some(url), _) => self.url(url),
        };
        let headers: Vec<(String, Value)> = std::mem::take(&mut w.headers)
            .into_iter()
            .filter_map(|(name, value)| {
                let lower = name.get_ref().to_ascii_lowercase();
                let value = if SECRET_HEADERS.iter().any(|word| lower.contains(word)) {
                    self.secret(&format!("headers.{}", name.get_ref()), value)
                } else {
                    Some(self.plain_or_source(value.into_inner()))
                };
                Some((name.into_inner(), value?))
            })
            .collect();
        let proxy = w.proxy.take().and_then(|proxy| self.url(proxy));
        let token = w.token.take().and_then(|token| self.secret("token", token));
        let login = self.login(w.user.take(), w.password.take(), at);
        let auth = match (kind, token, login) {
            ("splunk_hec", Some(token), _) => Auth::Token { scheme: "Splunk", token },
            ("splunk_hec", None, _) => {
                self.faults.push((Some(at.clone()), "the sink lacks `token`".to_owned()));
                Auth::None
            }
            ("elasticsearch", Some(token), _) => Auth::Token { scheme: "ApiKey", token },
            ("datadog", Some(key), _) => Auth::Header { name: "dd-api-key", key },
            ("datadog" , None, _) | ("pagerduty", None, _) => {
                self.faults.push((Some(at.clone()), "the sink lacks `token`".to_owned()));
                Auth::None
            }
            // It stands in the message.
            ("pagerduty", Some(key), _) => Auth::InMessage { key },
            (_, Some(token), _) => Auth::Token { scheme: "Bearer", token },
            (_, None, Some((user, password))) => Auth::Basic { user, password },
            (_, None, None) => Auth::None,
        };
        let kind = match kind {
            "splunk_hec" => HttpKind::SplunkHec {
                acknowledge: w.acknowledge.is_some_and(Spanned::into_inner),
                acknowledge_within: self.duration(w.acknowledge_within.take(), "acknowledge_within", Duration::from_secs(60)),
            },
            "elasticsearch" | "opensearch" => {
                // The request's path names it.
                options.index = None;
                let index = self.value(w.index.take(), |text: &String| index_name(text));
                HttpKind::Elastic { index: index.unwrap_or_else(|| "calltrail-alerts".to_owned()) }
            }
            "otlp" => HttpKind::Otlp,
            "sentinel" => {
                let (rule, stream) = (self.needed(w.dcr.take(), "dcr", at), self.needed(w.stream.take(), "stream", at));
                let (tenant, client_id) =
                    (self.needed(w.tenant.take(), "tenant", at), self.needed(w.client_id.take(), "client_id", at));
                let secret = match w.client_secret.take() {
                    Some(secret) => self.secret("client_secret", secret),
                    None => self.needed(None, "client_secret", at),
                };
                let text = |written: Option<Spanned<String>>, default: &str| written.map_or_else(|| default.to_owned(), Spanned::into_inner);
                HttpKind::Sentinel(SentinelTarget {
                    rule: rule?,
                    stream: stream?,
                    tenant: tenant?,
                    client_id: client_id?,
                    client_secret: secret?,
                    authority: text(w.authority.take(), "https://login.microsoftonline.com"),
                    scope: text(w.scope.take(), "https://monitor.azure.com/.default"),
                })
            }
            service => {
                let body = self.value(w.body.take(), |text: &String| match text.as_str() {
                    "one" => Ok(Body::One),
                    "array" => Ok(Body::Array),
                    "lines" => Ok(Body::Lines),
                    _ => Err(format!("`{text}` is no body; there are one, array, lines")),
                });
                let signed = w.sign_with.take().and_then(|key| self.secret("sign_with", key));
                let service = match service {
                    "slack" => Service::Slack,
                    "teams" => Service::Teams,
                    "pagerduty" => Service::PagerDuty,
                    "datadog" => Service::Datadog,
                    "sumologic" => Service::SumoLogic,
                    "secops" => Service::SecOps,
                    _ => Service::Webhook(body.unwrap_or(Body::One)),
                };
                HttpKind::Service { service, signed }
            }
        };
        let is_packed = !matches!(&kind, HttpKind::Service { service, .. } if !matches!(service, Service::Datadog | Service::SumoLogic));
        Some(HttpTarget {
            kind,
            url: url?,
            auth,
            headers,
            tls,
            proxy,
            compress: w.compress.map_or(is_packed, Spanned::into_inner),
        })
    }

    fn login(
        &mut self,
        user: Option<Spanned<Source>>,
        password: Option<Spanned<Source>>,
        at: &std::ops::Range<usize>,
    ) -> Option<(Value, Value)> {
        match (user, password) {
            (Some(user), Some(password)) => {
                let user = self.plain_or_source(user.into_inner());
                Some((user, self.secret("password", password)?))
            }
            (None, None) => None,
            _ => {
                self.faults.push((Some(at.clone()), "`user` and `password` belong together".to_owned()));
                None
            }
        }
    }

    fn tls(&mut self, written: Spanned<TlsWritten>) -> Tls {
        let at = written.span();
        let TlsWritten { ca, certificate, key, server_name } = written.into_inner();
        if certificate.is_some() != key.is_some() {
            self.faults.push((Some(at), "`certificate` and `key` belong together".to_owned()));
        }
        let path = |text: Option<String>| text.map(|text| PathBuf::from(self.located(&text)));
        Tls { ca: path(ca), certificate: path(certificate), key: path(key), server_name }
    }

    fn plain_or_source(&self, source: Source) -> Value {
        match source {
            Source::Plain(text) => Value::Plain(text.text()),
            Source::Env(FromEnv { env }) => Value::Env(env),
            Source::File(FromFile { file }) => Value::File(self.located(&file).into()),
        }
    }

    /// A credential: from the environment or a file.
    fn secret(&mut self, key: &str, source: Spanned<Source>) -> Option<Value> {
        let at = source.span();
        match self.plain_or_source(source.into_inner()) {
            Value::Plain(_) => {
                let message = format!(
                    "`{key}` is a credential and must not stand here: write {{ env = \"VARIABLE\" }} or {{ file = \"path\" }}"
                );
                self.faults.push((Some(at), message));
                None
            }
            value => Some(value),
        }
    }

    /// An address, without credentials in it if it stands here.
    fn url(&mut self, source: Spanned<Source>) -> Option<Value> {
        let at = source.span();
        let value = self.plain_or_source(source.into_inner());
        let fault = match &value {
            Value::Plain(text) => match url::Url::parse(text) {
                Ok(url) if !url.username().is_empty() || url.password().is_some() => Some(
                    "a URL with a name or password in it must not stand here: write { env = \"VARIABLE\" } or { file = \"path\" }, \
                     or use `user` and `password`"
                        .to_owned(),
                ),
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => None,
                _ => Some("this is no URL that begins with http:// or https://".to_owned()),
            },
            _ => None,
        };
        match fault {
            Some(message) => {
                self.faults.push((Some(at), message));
                None
            }
            None => Some(value),
        }
    }
}

impl Written {
    /// Keys of destinations that are set, with their places.
    fn targets(&self) -> Vec<(&'static str, Option<std::ops::Range<usize>>)> {
        let mut set = Vec::new();
        macro_rules! look {
            ($($key:ident),*) => { $(if let Some(value) = &self.$key { set.push((stringify!($key), Some(value.span()))); })* };
        }
        look!(
            path, rotate_at, keep, address, transport, facility, confirm, hostname, enterprise_id, max_message, brokers, topic,
            url, index, source, sourcetype, acknowledge, acknowledge_within, body, sign_with, compress, token, user, password,
            proxy, tls, dcr, stream, tenant, client_id, client_secret, authority, scope
        );
        if let Some((name, _)) = self.headers.first_key_value() {
            set.push(("headers", Some(name.span())));
        }
        set
    }
}

fn bytes_of(size: &Size) -> Result<u64, String> {
    match size {
        Size::Bytes(bytes) => Ok(*bytes),
        Size::Text(text) => parse_bytes(text),
    }
}

/// Names stand in SQL and in JSON.
fn sink_name(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
        Ok(name.to_owned())
    } else {
        Err("a sink's name has letters, digits, `_`, `-` and `.`, at most 64".to_owned())
    }
}

fn index_name(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && !name.starts_with(['_', '-', '.']) && name.chars().all(fits) {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` is no name of an index or data stream"))
    }
}

fn host_and_port(text: &str) -> Result<(), String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => Err(format!("`{text}` is no address; write it like `syslog.example:6514`")),
    }
}

/// `10/s`, `60/m`, `1000/h`.
fn rate(text: &str) -> Result<Rate, String> {
    let bad = || format!("`{text}` is no rate; write it like `10/s`, `60/m` or `1000/h`");
    let (count, unit) = text.split_once('/').ok_or_else(bad)?;
    let count: u32 = count.trim().parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    if count == 0 { Err(bad()) } else { Ok(Rate { count, per: Duration::from_secs(seconds) }) }
}
