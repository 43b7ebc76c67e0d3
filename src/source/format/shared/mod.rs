//! What formats of one kind have in common. No format of its own.

pub(in crate::source) mod gateway;
pub(super) mod host;
pub(super) mod streamed;
#[cfg(test)]
pub(super) mod testing;
