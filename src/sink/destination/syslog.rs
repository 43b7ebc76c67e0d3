//! Syslog: frames of RFC 5424, which the encoding has made, over UDP, over TCP with octet counting (RFC 6587), over TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. What comes closest: after a batch the line is closed in order, our half first, and the receiver's end of file
//! is waited for. A receiver that closes has read everything before it. With TLS, `close_notify` goes first: without it, receivers drop what they
//! have not read yet. A receiver that does not close costs five seconds once; from then on the connection is kept, and a batch counts as
//! delivered when the system has taken it.

use super::settings::{SyslogTarget, SyslogTransport};
use super::{Destination, Message, Outcome, Preview, Verdict, short, tls};
use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
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
    tls: Option<(TlsConnector, ServerName<'static>)>,
    line: Option<Box<dyn Line>>,
    datagrams: Option<UdpSocket>,
    /// Whether the receiver closes after us; unknown at first.
    closes: bool,
}

impl SyslogSink {
    pub(super) fn open(target: &SyslogTarget, timeout: Duration) -> Result<Self, String> {
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
        Ok(Self { target: target.clone(), timeout, tls, line: None, datagrams: None, closes: target.confirm })
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

    /// Frames with the facility that is asked for.
    fn texts<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = String> + 'a {
        message.parts.iter().map(|part| with_facility(part, self.target.facility))
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

/// The frame with another facility; its severity stays.
fn with_facility(frame: &str, facility: u8) -> String {
    let parts = frame.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match parts.and_then(|(priority, rest)| Some((priority.parse::<u32>().ok()?, rest))) {
        Some((priority, rest)) => format!("<{}>{rest}", u32::from(facility) * 8 + priority % 8),
        None => frame.to_owned(),
    }
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
