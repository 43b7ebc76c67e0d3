//! Name-based UUIDs (version 5), for formats that demand one: the same alert has the same one wherever and whenever it is written.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use uuid::{Builder, Uuid};

/// The namespace of ids that are made of ours.
pub(super) const OURS: Uuid = Uuid::from_u128(0x6f6a_2c0e_3d59_5b0c_9a43_71d2_e8b4_1f05);

/// The UUID of a name in a namespace.
pub(super) fn uuid(namespace: Uuid, parts: &[&str]) -> Uuid {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(namespace.as_bytes());
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            context.update(b"/");
        }
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_is_the_published_one() {
        // RFC 9562, appendix A.4.
        let dns = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);
        assert_eq!(uuid(dns, &["www.example.com"]).to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }
}
