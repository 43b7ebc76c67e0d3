//! Receivers of alerts that do what a test tells them: HTTP, plain TCP and TLS, with every way to fail that a test needs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Unpacked.
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, further headers with their line ends, body.
    Answer(u16, &'static str, String),
    /// The line is cut without a word.
    Reset,
    /// Our half is closed, nothing was answered.
    HalfClose,
    /// Half of an answer.
    Torn,
    /// Nothing for so long, then success.
    Slow(Duration),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Answer(200, "", "{}".to_owned())
    }
}

/// A server that ends with the test.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers HTTP requests.
    pub(crate) fn http(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        Self::tcp(move |stream| {
            let answer = Arc::clone(&answer);
            let _ = serve_http(&stream, &mut |request| (answer.lock().expect("not poisoned"))(request));
        })
    }

    /// Answers HTTP requests over TLS, one a connection, with the certificates of a folder made by [`certificates`].
    pub(crate) fn https(folder: &Path, mutual: bool, answer: impl FnMut(&Request) -> String + Send + 'static) -> Self {
        let (answer, folder) = (Arc::new(Mutex::new(answer)), folder.to_path_buf());
        Self::tcp(move |stream| {
            let mut reader = BufReader::new(tls(&folder, mutual, stream));
            let Ok(Some(request)) = read_request(&mut reader) else { return };
            let body = (answer.lock().expect("not poisoned"))(&request);
            let out = reader.get_mut();
            let length = body.len();
            let _ = write!(out, "HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            out.conn.send_close_notify();
            let _ = out.flush();
        })
    }

    /// Gives each connection to a function, each on a thread of its own.
    pub(crate) fn tcp(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let serve = Arc::new(serve);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { port, end, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A port at which nobody listens.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn serve_http(stream: &TcpStream, answer: &mut dyn FnMut(&Request) -> Reply) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let mut out = stream;
        match answer(&request) {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                write!(out, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}")?;
            }
            // Bytes that nobody read make the system reset the line.
            Reply::Reset => return stream.shutdown(Shutdown::Both),
            Reply::HalfClose => {
                stream.shutdown(Shutdown::Write)?;
                let mut rest = Vec::new();
                return reader.read_to_end(&mut rest).map(|_| ());
            }
            Reply::Torn => {
                write!(out, "HTTP/1.1 200 x\r\ncontent-length: 400\r\n\r\n{{")?;
                return stream.shutdown(Shutdown::Both);
            }
            Reply::Slow(time) => {
                std::thread::sleep(time);
                write!(out, "HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{{}}")?;
            }
        }
    }
    Ok(())
}

/// Reads a request; `None` at the end of the connection.
pub(crate) fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split(' ').map(str::to_owned);
    (request.method, request.path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if request.header("content-encoding") == "gzip" {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut unpacked)?;
        body = unpacked;
    }
    request.body = String::from_utf8(body).expect("bodies are UTF-8");
    Ok(Some(request))
}

/// Splits what came over a stream with octet counting into messages.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').expect("a length before each message");
        let length: usize = std::str::from_utf8(&bytes[..space]).expect("digits").parse().expect("a length");
        frames.push(String::from_utf8(bytes[space + 1..space + 1 + length].to_vec()).expect("UTF-8"));
        bytes = &bytes[space + 1 + length..];
    }
    frames
}

/// Certificates of one authority, as PEM files in a folder: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
pub(crate) fn certificates(folder: &Path, server_name: &str) {
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate of its issuer's name for one that signed itself.
    ca.distinguished_name.push(DnType::CommonName, "Authority of a test");
    let ca_key = KeyPair::generate().expect("a key");
    let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
    std::fs::create_dir_all(folder).expect("folder");
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("file");
    write("ca.pem", ca_certificate.pem());
    let issuer = Issuer::new(ca, ca_key);
    for (name, subject) in [("server", server_name), ("client", "client.example")] {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(vec![subject.to_owned()]).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, subject);
        write(&format!("{name}.pem"), parameters.signed_by(&key, &issuer).expect("a certificate").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// A TLS server of a folder made by [`certificates`]; with `mutual`, clients must show a certificate.
pub(crate) fn tls(folder: &Path, mutual: bool, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        let pem = std::fs::read(folder.join(name)).expect("file");
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().expect("certificates")
    };
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem"));
    let builder = if mutual {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(certificates("server.pem"), key).expect("a certificate with its key");
    StreamOwned::new(ServerConnection::new(Arc::new(config)).expect("a connection"), stream)
}
