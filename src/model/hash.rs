//! Names as numbers that are the same on every machine and in every version: what a model's file keeps in place of names.

/// Hash of a list of texts. No two lists run into each other: each text is preceded by its length.
pub(super) fn name(parts: &[&str]) -> u64 {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().as_bytes().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Hash of two hashes, in their order.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.rotate_left(25).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
