//! How long and how much pairing waits.

use crate::call::Nanos;

/// Settings of pairing.
#[derive(Clone, Copy, Debug)]
pub struct PairingOptions {
    /// A derived session ends when nothing happens for this long.
    pub session_gap: Nanos,
    /// Halves kept open at most; beyond, the oldest are given up (and flagged).
    pub max_open: usize,
    /// Bytes of what they carry, at most.
    pub max_open_bytes: usize,
}

impl Default for PairingOptions {
    fn default() -> Self {
        Self { session_gap: 30 * 60 * 1_000_000_000, max_open: 100_000, max_open_bytes: 512 << 20 }
    }
}
