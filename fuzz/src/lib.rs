//! What the fuzz targets check. The pure stages of CallTrail are compiled into this crate from their own files, so that a target
//! builds without DataFusion and Delta, which would take most of an hour with instrumentation.
//!
//! Each module here has one target of the same name in `fuzz_targets/`: bytes in, a panic if a promise is broken.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "the included stages have more than their fuzz targets call")]

#[path = "../../src/call/mod.rs"]
pub mod call;
#[path = "../../src/enrich/mod.rs"]
pub mod enrich;
#[path = "../../src/source/mod.rs"]
pub mod source;

pub mod config;
pub mod decode;
pub mod framing;
pub mod ingest;
pub mod input;
pub mod json;
pub mod mapping;
pub mod mutate;
pub mod pairing;
pub mod payload;
pub mod time;
