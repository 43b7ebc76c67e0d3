//! CallTrail reads the audit logs of AI agents' MCP calls, keeps them in an open columnar lake, runs SQL
//! detections over them and hands the alerts to a SIEM.
//!
//! ```text
//!  files, folders, stdin ─▶ source ─▶ ingest ─▶ lake ─▶ query ─▶ detect ─▶ alert ─▶ sink
//!                           format    pairing   Delta   SQL      rules     ids      OCSF JSONL
//!                           frame     enrich    Parquet UDFs               table
//! ```
//!
//! `cli` drives all of it and nothing depends on `cli`. A later stage may use an earlier one, never the reverse.

pub mod alert;
pub mod call;
pub mod cli;
pub mod config;
pub mod detect;
pub mod enrich;
pub mod ingest;
pub mod lake;
pub mod lineage;
pub mod model;
pub mod query;
pub mod rule;
pub mod sink;
pub mod source;
pub mod visible;
