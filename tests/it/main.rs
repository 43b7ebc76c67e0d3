//! The tests that run the binary, one file per promise.

#![allow(clippy::print_stderr, reason = "a test that cannot run here says why")]

mod common; // the binary in a clean environment, or the library; rows as JSON

mod architecture; // who may use whom, what documents name
mod claims; // whose every record is
mod clock; // a clock that jumps between ingests and within one
mod corpus; // real logs beside the repository: counts, order, one run seen from three points
mod crash; // kill -9 at random instants, then again
mod detect; // any order of ingesting and detecting gives the same alerts; a killed detection gives none
mod e2e; // ingest, detect, alerts on the sample logs
mod encoding_alerts; // awkward alerts
mod encoding_page; // docs/encodings.md names what is written
mod encoding_parsers; // CEF, LEEF and RFC 5424, read
mod encodings; // alerts in the formats of others, as others read them
mod engines; // other engines read the lake as it is
mod flows; // where data of results went, however the logs arrive
mod follow; // an ingest without end
mod formats; // every format on its sample logs
mod growth; // grown, rotated, copied, piped, sliced logs
mod hostile; // input that nobody should write, lakes that cannot be used, a full disk
mod keep; // compaction and retention change nothing that remains
mod late; // what changes rows that stand
mod mapping;
mod model; // formats that a user describes, and what is said of unknown files
mod object_store; // logs and lakes in an object store
mod receiver; // receivers of alerts that fail on purpose
mod rules; // the built-in rules hold
mod secrets; // no secret reaches the disk
mod ship; // alerts arrive, whatever happens on the way
mod ship_process; // as a program that is killed, or goes on for ever
mod ship_receivers; // receivers that others wrote get what was sent
mod ship_secrets; // no credential is said
mod ship_services; // services that take JSON over HTTP, proxies, certificates
mod ship_targets; // each destination's own language
mod shipping; // what these share
mod sigma; // Sigma rules are rules like others
mod silences; // suppressions and allow-lists hide what they say, and nothing is lost
mod sql; // SQL functions as written down
mod standing; // which alerts are current after a range, without a rule, with another program
mod turns; // two ingesters of one lake
mod verify; // tampering with any file shows
