//! `[[sinks]]`: as written, then checked against what the sink's type knows.
//!
//! Credentials may stand in the environment or in a file only, and are not read here. A value that is a credential and stands in the
//! configuration itself is a fault, and is not repeated in the message.

mod target;

use super::schema::{OneOrMore, Setting, Size};
use super::units::{When, parse_bytes, parse_duration};
use super::{Check, list};
use crate::alert::{Level, Wildcard};
use crate::sink::Encoding;
use crate::sink::deliver::{BatchLimits, Filter, Rate, Retry, Sink};
use crate::sink::encode::{OcsfVersion, Options};
use serde::Deserialize;
use std::collections::BTreeMap;
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
    mechanism: Option<Spanned<String>>,
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
    ("kafka", &["brokers", "topic", "mechanism", "user", "password", "tls"]),
];
/// Keys of everything that speaks HTTP.
const OF_HTTP: &[&str] = &["url", "headers", "tls", "proxy", "compress"];
const NOT_HTTP: &[&str] = &["stdout", "file", "syslog", "kafka"];

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
            let message = format!(
                "`{}` is no type of sink; there are {}",
                kind.get_ref(),
                list(TYPES.iter().map(|(name, _)| *name))
            );
            self.faults.push((Some(kind.span()), message));
            return None;
        };
        let is_http = !NOT_HTTP.contains(kind_name);
        for (key, span) in w.targets() {
            if !(own.contains(&key) || is_http && OF_HTTP.contains(&key)) {
                self.faults.push((span, format!("`{key}` means nothing to a sink of type `{kind_name}`")));
            }
        }
        let name = match w.name.take() {
            None => Some((*kind_name).to_owned()),
            Some(name) => self.value(Some(name), |name: &String| sink_name(name)),
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
            OcsfVersion::parse(text)
                .ok_or_else(|| format!("`{text}` is no version of OCSF that is known; there are 1.8 and 1.9"))
        });
        options.ocsf_version = version.unwrap_or_default();
        let filter = self.filter(&mut w);
        let since = self.value(w.since.take(), |moment| When::parse(&moment.text()));
        let batch = self.batch(std::mem::take(&mut w.batch), kind_name);
        let retry = self.retry(std::mem::take(&mut w.retry));
        let timeout = self.duration(w.timeout.take(), "timeout", Duration::from_secs(30));
        let rate = self.value(w.rate_limit.take(), |text: &String| rate(text));
        let digest_above = self.value(w.digest_above.take(), |above| match above {
            0 => Err("`digest_above` is 0; write from which number of alerts on one message says them all".to_owned()),
            above => Ok(usize::try_from(*above).unwrap_or(usize::MAX)),
        });
        let encoding = w.encoding.take();
        let (enabled, send_resolved, own_events) =
            (w.enabled.unwrap_or(true), w.send_resolved, w.own_events.unwrap_or(false));
        let target = self.target(kind_name, w, &at, &mut options);
        let takes = |encoding| target.as_ref().is_none_or(|target| target.takes(encoding));
        let encoding = self.value(encoding, |text: &String| match Encoding::parse(text) {
            Some(encoding) if takes(encoding) => Ok(encoding),
            _ => {
                let known = Encoding::ALL.into_iter().filter(|encoding| takes(*encoding));
                let known = list(known.map(Encoding::as_str));
                Err(format!("`{text}` is no encoding for a sink of type `{kind_name}`; there are {known}"))
            }
        });
        let target = target?;
        let encoding = encoding.unwrap_or_else(|| target.default_encoding());
        // These say that an alert is closed; in others it would look like a second alert.
        let says_closed = matches!(encoding, Encoding::Pagerduty | Encoding::Asim | Encoding::Udm);
        let send_resolved = send_resolved.unwrap_or(says_closed);
        Some(SinkSetting {
            sink: Sink {
                name: name?,
                kind: kind_name,
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
