//! TLS of sinks, for HTTP and syslog alike: rustls with the system's authorities or those of a file, and a client certificate.

use super::secret::read_text;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a sink proves who it is, and whom it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that may have signed the receiver's certificate, in place of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of our own certificate, with those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// The name that the receiver's certificate must have, if not that of its address (syslog).
    pub server_name: Option<String>,
}

/// Reads the files and makes a client's configuration.
///
/// # Errors
/// A file cannot be read, has nothing in it, or certificate and key do not fit.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| format!("TLS: {cause}"))?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    match (&tls.certificate, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let pem = read_text(key)?;
            let private = PrivateKeyDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| format!("`{}` holds no private key in PEM", key.display()))?;
            builder.with_client_auth_cert(chain, private).map_err(|cause| {
                format!("certificate `{}` and key `{}`: {cause}", certificate.display(), key.display())
            })
        }
        _ => Err("`certificate` and `key` belong together: name both or none".to_owned()),
    }
}

/// The same for all sinks, named because several are linked in and rustls would not choose one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|cause| format!("`{}`: {cause}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system has no certificate authorities: install ca-certificates, or name a file with `tls.ca`"
                        .to_owned(),
                );
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_text(path)?;
    let bad = |cause: String| format!("`{}` is not a PEM file of certificates: {cause}", path.display());
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|c| bad(c.to_string()))?;
    if found.is_empty() { Err(bad("there is none in it".to_owned())) } else { Ok(found) }
}
