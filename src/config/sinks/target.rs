//! What each type of sink is told of its destination, and which of its values are credentials.

use super::{FromEnv, FromFile, Source, TlsWritten, Written, bytes_of};
use crate::config::Check;
use crate::sink::destination::{
    Auth, Body, FileTarget, HttpKind, HttpTarget, KafkaTarget, SaslMechanism, SentinelTarget, Service, SyslogTarget,
    SyslogTransport, Target, Tls, Value,
};
use crate::sink::encode::Options;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// Headers that hold credentials.
const SECRET_HEADERS: &[&str] = &["authoriz", "cookie", "token", "key", "secret", "password"];
/// Bytes of a syslog message that every receiver takes (RFC 5424, section 6.1).
const MIN_MESSAGE: u64 = 480;

impl Check<'_> {
    /// What the type needs; a fault where it is missing.
    fn needed<T>(&mut self, written: Option<Spanned<T>>, key: &str, at: &std::ops::Range<usize>) -> Option<T> {
        if written.is_none() {
            self.faults.push((Some(at.clone()), format!("the sink lacks `{key}`")));
        }
        written.map(Spanned::into_inner)
    }

    /// The same of a text, which must say something.
    fn needed_text(
        &mut self,
        written: Option<Spanned<String>>,
        key: &str,
        at: &std::ops::Range<usize>,
    ) -> Option<String> {
        let text = self.needed(written.clone(), key, at)?;
        if text.trim().is_empty() {
            self.faults.push((written.map(|text| text.span()), format!("`{key}` is empty")));
            return None;
        }
        Some(text)
    }

    pub(super) fn target(
        &mut self,
        kind: &str,
        mut w: Written,
        at: &std::ops::Range<usize>,
        options: &mut Options,
    ) -> Option<Target> {
        let tls = w.tls.take().map(|tls| self.tls(tls, kind));
        Some(match kind {
            "stdout" => Target::Stdout,
            "file" => {
                let path = self.needed_text(w.path.take(), "path", at).map(|path| self.located(&path).into());
                let rotate_at = self.value(w.rotate_at.take(), bytes_of).unwrap_or(100 << 20);
                let keep = w.keep.map_or(10, |keep| usize::try_from(keep.into_inner()).unwrap_or(usize::MAX));
                Target::File(FileTarget { path: path?, rotate_at, keep })
            }
            "syslog" => {
                let transport = self.value(w.transport.take(), |text: &String| {
                    let found = SyslogTransport::ALL.into_iter().find(|(name, _)| name == text);
                    found
                        .map(|(_, transport)| transport)
                        .ok_or_else(|| format!("`{text}` is no transport; there are udp, tcp, tls"))
                });
                let facility = self.value(w.facility.take(), |facility| match u8::try_from(*facility) {
                    Ok(facility @ 0..=23) => Ok(facility),
                    _ => Err(format!("{facility} is no facility of syslog; they go from 0 to 23")),
                });
                self.value(w.address.clone(), |text: &String| host_and_port(text));
                let address = self.needed(w.address.take(), "address", at);
                // What rsyslog takes as one message unless told otherwise.
                let max_bytes = self.value(w.max_message.take(), |size| match bytes_of(size)? {
                    bytes if bytes < MIN_MESSAGE => {
                        Err(format!("`max_message` is {bytes}; no receiver takes less than {MIN_MESSAGE}"))
                    }
                    bytes => Ok(bytes),
                });
                let max_bytes = max_bytes.unwrap_or(8096);
                options.max_bytes = Some(usize::try_from(max_bytes).unwrap_or(usize::MAX));
                Target::Syslog(SyslogTarget {
                    address: address?,
                    transport: transport.unwrap_or(SyslogTransport::Tls),
                    facility: facility.unwrap_or(13),
                    confirm: w.confirm.is_none_or(Spanned::into_inner),
                    tls: tls.unwrap_or_default(),
                })
            }
            "kafka" => {
                self.value(w.brokers.clone(), |brokers: &Vec<String>| match brokers.as_slice() {
                    [] => Err("`brokers` names none".to_owned()),
                    all => all.iter().try_for_each(|broker| host_and_port(broker)),
                });
                let brokers = self.needed(w.brokers.take(), "brokers", at);
                let topic = self.needed_text(w.topic.take(), "topic", at);
                let named = w.mechanism.as_ref().map(Spanned::span);
                let mechanism = self.value(w.mechanism.take(), |text: &String| {
                    let found = SaslMechanism::ALL.into_iter().find(|(name, _)| name == text);
                    found.map(|(_, mechanism)| mechanism).ok_or_else(|| {
                        format!("`{text}` is no mechanism; there are plain, scram-sha-256, scram-sha-512")
                    })
                });
                let login = self.login(w.user.take(), w.password.take(), at);
                if mechanism == Some(SaslMechanism::Plain) && tls.is_none() {
                    self.faults.push((named, "`plain` shows the password: it needs `tls = {}` or more".to_owned()));
                } else if mechanism.is_some() && login.is_none() {
                    self.faults.push((named, "`mechanism` needs `user` and `password`".to_owned()));
                }
                Target::Kafka(KafkaTarget {
                    brokers: brokers?,
                    topic: topic?,
                    login,
                    mechanism: mechanism.unwrap_or(SaslMechanism::ScramSha512),
                    tls,
                })
            }
            _ => Target::Http(Box::new(self.http(kind, w, tls.unwrap_or_default(), at, options)?)),
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
                // `X-Auth`, but not `X-Author`.
                let is_secret = lower.split('-').any(|word| word == "auth")
                    || SECRET_HEADERS.iter().any(|word| lower.contains(word));
                let value = if is_secret {
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
            ("datadog", None, _) | ("pagerduty", None, _) => {
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
                acknowledge_within: self.duration(
                    w.acknowledge_within.take(),
                    "acknowledge_within",
                    Duration::from_secs(60),
                ),
            },
            "elasticsearch" | "opensearch" => {
                // The request's path names it.
                options.index = None;
                let index = self.value(w.index.take(), |text: &String| index_name(text));
                HttpKind::Elastic { index: index.unwrap_or_else(|| "calltrail-alerts".to_owned()) }
            }
            "otlp" => HttpKind::Otlp,
            "sentinel" => {
                let rule = self.needed_text(w.dcr.take(), "dcr", at);
                let stream = self.needed_text(w.stream.take(), "stream", at);
                let tenant = self.needed_text(w.tenant.take(), "tenant", at);
                let client_id = self.needed_text(w.client_id.take(), "client_id", at);
                let secret = match w.client_secret.take() {
                    Some(secret) => self.secret("client_secret", secret),
                    None => self.needed(None, "client_secret", at),
                };
                let text = |written: Option<Spanned<String>>, default: &str| {
                    written.map_or_else(|| default.to_owned(), Spanned::into_inner)
                };
                self.value(w.authority.clone(), |text: &String| web_address(text));
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

    fn tls(&mut self, written: Spanned<TlsWritten>, kind: &str) -> Tls {
        let at = written.span();
        let TlsWritten { ca, certificate, key, server_name } = written.into_inner();
        if certificate.is_some() != key.is_some() {
            self.faults.push((Some(at.clone()), "`certificate` and `key` belong together".to_owned()));
        }
        if server_name.is_some() && kind != "syslog" {
            let message =
                format!("`server_name` is for syslog only; a certificate of {kind} must have the name of its address");
            self.faults.push((Some(at), message));
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
                _ => web_address(text).err(),
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
    pub(super) fn targets(&self) -> Vec<(&'static str, Option<std::ops::Range<usize>>)> {
        let mut set = Vec::new();
        macro_rules! look {
            ($($key:ident),*) => { $(if let Some(value) = &self.$key { set.push((stringify!($key), Some(value.span()))); })* };
        }
        look!(
            path,
            rotate_at,
            keep,
            address,
            transport,
            facility,
            confirm,
            hostname,
            enterprise_id,
            max_message,
            brokers,
            topic,
            mechanism,
            url,
            index,
            source,
            sourcetype,
            acknowledge,
            acknowledge_within,
            body,
            sign_with,
            compress,
            token,
            user,
            password,
            proxy,
            tls,
            dcr,
            stream,
            tenant,
            client_id,
            client_secret,
            authority,
            scope
        );
        if let Some((name, _)) = self.headers.first_key_value() {
            set.push(("headers", Some(name.span())));
        }
        set
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

fn web_address(text: &str) -> Result<(), String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("this is no URL that begins with http:// or https://".to_owned()),
    }
}

fn host_and_port(text: &str) -> Result<(), String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => Err(format!("`{text}` is no address; write it like `syslog.example:6514`")),
    }
}
