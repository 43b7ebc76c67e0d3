//! Ed25519 signatures of the chain's heads: keys from files, signing, checking.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fmt;
use std::sync::Arc;

/// What a key file may hold, for messages.
const PRIVATE: &str =
    "an Ed25519 private key: a PEM file as `openssl genpkey -algorithm ed25519` writes it, or 64 hex digits";
const PUBLIC: &str = "an Ed25519 public key: a PEM file as `openssl pkey -pubout` writes it, or 64 hex digits";
/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A private key that signs each new head.
#[derive(Clone)]
pub struct Signer(Arc<Ed25519KeyPair>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}

impl Signer {
    /// Reads a private key: PKCS#8 in PEM, or the 32 bytes of the seed as hex digits.
    ///
    /// # Errors
    /// What the text should have been.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pair = match from_hex::<32>(text.trim()) {
            Some(seed) => Ed25519KeyPair::from_seed_unchecked(&seed).ok(),
            None => PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
                .ok()
                // openssl leaves the public key out.
                .and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()),
        };
        pair.map(|pair| Self(Arc::new(pair))).ok_or_else(|| format!("it is not {PRIVATE}"))
    }

    /// The key that checks its signatures.
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// Lower-case hex digits.
    pub(super) fn sign(&self, text: &str) -> String {
        to_hex(self.0.sign(text.as_bytes()).as_ref())
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl PublicKey {
    /// Reads a public key: PEM, or its 32 bytes as hex digits.
    ///
    /// # Errors
    /// What the text should have been.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY") {
            return Err("it is a private key, which belongs to the writer alone: give the public one".to_owned());
        }
        let pem = || {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).ok()?;
            Some(Self(der.strip_prefix(SPKI)?.try_into().ok()?))
        };
        Self::from_hex(text.trim()).or_else(pem).ok_or_else(|| format!("it is not {PUBLIC}"))
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// Whether a signature in hex digits is this key's.
    pub(super) fn verifies(&self, text: &str, signature: &str) -> bool {
        from_hex::<64>(signature)
            .is_some_and(|bytes| UnparsedPublicKey::new(&ED25519, &self.0).verify(text.as_bytes(), &bytes).is_ok())
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Lower-case digits only: one value has one spelling.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes?.try_into().ok()
}
