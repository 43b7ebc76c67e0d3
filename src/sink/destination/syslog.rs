//! Syslog: RFC 5424 messages over UDP, over TCP with octet counting (RFC 6587), over TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. What comes closest: after a batch the line is closed in order, our half first, and the receiver's end of file
//! is waited for. A receiver that closes has read everything before it. With TLS, `close_notify` goes first: without it, receivers drop what they
//! have not read yet. A receiver that does not close costs five seconds once; from then on the connection is kept, and a batch counts as
//! delivered when the system has taken it.

use super::settings::{SyslogTarget, SyslogTransport};
use super::{Destination, Message, Outcome, Preview, Surroundings, Verdict, short, tls};
use crate::alert::Level;
use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio_rustls::TlsConnector;

/// How long a receiver may take to close the line after us.
const DRAIN: Duration = Duration::from_secs(5);
/// Largest payload of a datagram over IPv4.
const MAX_DATAGRAM: usize = 65_507;

trait Line: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Line for T {}

pub(super) struct SyslogSink {
    target: SyslogTarget,
    timeout: Duration,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    line: Option<Box<dyn Line>>,
    datagrams: Option<UdpSocket>,
    /// Whether the receiver closes after us; unknown at first.
    closes: bool,
}

impl SyslogSink {
    pub(super) fn open(target: &SyslogTarget, timeout: Duration, around: &Surroundings<'_>) -> Result<Self, String> {
        let tls = match target.transport {
            SyslogTransport::Tls => {
                let config: ClientConfig = tls::client_config(&target.tls)?;
                let host = target.address.rsplit_once(':').map_or(target.address.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = target.tls.server_name.as_deref().unwrap_or(host).to_owned();
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| format!("`{name}` is no name that a certificate can have: set `tls.server_name`"))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => None,
        };
        let host = target.hostname.clone().or_else(|| around.host.clone()).unwrap_or_else(|| "-".to_owned());
        let host = name(&host, 255);
        Ok(Self { target: target.clone(), timeout, host, tls, line: None, datagrams: None, closes: target.confirm })
    }

    async fn connect(&self) -> io::Result<Box<dyn Line>> {
        let tcp = TcpStream::connect(&self.target.address).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), tcp).await?)),
            None => Ok(Box::new(tcp)),
        }
    }

    /// Messages with their lengths, as they go over a stream.
    fn framed(&self, batch: &[Message]) -> Vec<u8> {
        let mut out = Vec::new();
        for text in batch.iter().flat_map(|message| self.texts(message)) {
            out.extend_from_slice(format!("{} ", text.len()).as_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// RFC 5424 messages. What the encoding gave a header already stays as it is.
    fn texts<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = String> + 'a {
        message.parts.iter().map(|part| if has_header(part) { part.clone() } else { self.header(message) + part })
    }

    fn header(&self, message: &Message) -> String {
        let severity = match message.level {
            Level::Critical => 1,
            Level::High => 2,
            Level::Medium => 4,
            Level::Low => 5,
            Level::Informational => 6,
        };
        let priority = u32::from(self.target.facility) * 8 + severity;
        let time = chrono::DateTime::from_timestamp_micros(message.time)
            .map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
        let mut head = format!("<{priority}>1 {time} {} calltrail - {} [calltrail@", self.host, name(&message.rule, 32));
        let _ = write!(head, "{}", self.target.enterprise_id);
        for (name, value) in [("alert_id", message.id.as_str()), ("rule", &message.rule), ("level", message.level.as_str())] {
            let _ = write!(head, " {name}=\"{}\"", parameter(value));
        }
        head.push_str("] ");
        head
    }

    async fn send_stream(&mut self, batch: &[Message]) -> Result<(), io::Error> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect().await?,
        };
        line.write_all(&self.framed(batch)).await?;
        line.flush().await?;
        if !self.closes {
            // A receiver that is gone shows as an end of file, if it shows at all.
            let mut byte = [0u8; 64];
            match tokio::time::timeout(Duration::from_millis(1), line.read(&mut byte)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Ok(Err(cause)) => return Err(cause),
                _ => {}
            }
            self.line = Some(line);
            return Ok(());
        }
        // A time-out is no failure here: what was written is on its way.
        if !hang_up(line).await? {
            self.closes = false;
        }
        Ok(())
    }

    async fn send_datagrams(&mut self, batch: &[Message]) -> Result<Vec<Verdict>, io::Error> {
        if self.datagrams.is_none() {
            let Some(address) = lookup_host(&self.target.address).await?.next() else {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            };
            let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(own).await?;
            socket.connect(address).await?;
            self.datagrams = Some(socket);
        }
        let Some(socket) = &self.datagrams else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut verdicts = Vec::new();
        for message in batch {
            let mut verdict = Verdict::Delivered;
            for text in self.texts(message) {
                if text.len() > MAX_DATAGRAM {
                    verdict = Verdict::Refused(format!("{} bytes do not fit a datagram", text.len()));
                    break;
                }
                socket.send(text.as_bytes()).await?;
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}

/// Ends a line: our half, then what the other side still says. False if it does not close in time.
async fn hang_up(mut line: Box<dyn Line>) -> io::Result<bool> {
    line.shutdown().await?;
    let drained = tokio::time::timeout(DRAIN, async {
        let mut rest = [0u8; 512];
        while line.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    });
    match drained.await {
        Ok(Ok(())) => Ok(true),
        // TLS: closed without close_notify, but after our own was read.
        Ok(Err(cause)) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        Ok(Err(cause)) => Err(cause),
        Err(_) => Ok(false),
    }
}

/// Whether a text begins as RFC 5424 messages do.
fn has_header(text: &str) -> bool {
    let Some((priority, rest)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')) else { return false };
    (1..=3).contains(&priority.len()) && priority.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with("1 ")
}

/// A field of the header: printable ASCII without spaces.
fn name(text: &str, max: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

/// The value of a parameter: exactly these three characters are escaped.
fn parameter(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(if crate::visible::is_hidden(c) { ' ' } else { c });
    }
    out
}

#[async_trait]
impl Destination for SyslogSink {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        let timeout = self.timeout;
        let sent = async {
            match self.target.transport {
                SyslogTransport::Udp => self.send_datagrams(batch).await,
                _ => self.send_stream(batch).await.map(|()| vec![Verdict::Delivered; batch.len()]),
            }
        };
        let sent = tokio::time::timeout(timeout + DRAIN, sent).await;
        match sent {
            Ok(Ok(verdicts)) => Outcome { verdicts, ..Outcome::default() },
            Ok(Err(cause)) => {
                (self.line, self.datagrams) = (None, None);
                Outcome::unreachable(batch.len(), short(&format!("{}: {cause}", self.target.address)))
            }
            Err(_) => {
                (self.line, self.datagrams) = (None, None);
                Outcome::unreachable(batch.len(), format!("{}: no progress in time", self.target.address))
            }
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        let (how, bytes) = match self.target.transport {
            SyslogTransport::Udp => {
                let texts: Vec<String> = batch.iter().flat_map(|message| self.texts(message)).collect();
                ("UDP", texts.join("\n").into_bytes())
            }
            SyslogTransport::Tcp => ("TCP", self.framed(batch)),
            SyslogTransport::Tls => ("TLS", self.framed(batch)),
        };
        Preview { to: format!("{how} {}", self.target.address), bytes }
    }

    async fn close(&mut self) -> Result<(), String> {
        match self.line.take() {
            Some(line) => hang_up(line).await.map(|_| ()).map_err(|cause| short(&cause.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_header_is_escaped_or_left_out() {
        assert_eq!(parameter("a\"b\\c]d\ne"), "a\\\"b\\\\c\\]d e");
        assert_eq!((name("a b\u{202e}=é", 32).as_str(), name("", 32).as_str()), ("ab=", "-"));
        assert!(has_header("<105>1 2026-11-22T10:15:30Z h a - - - x"));
        for text in ["<x>1 a", "<1051>1 ", "{\"a\":1}", "<105>2 x", "CEF:0|"] {
            assert!(!has_header(text), "{text}");
        }
    }
}
