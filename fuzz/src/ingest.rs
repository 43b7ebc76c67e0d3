//! A whole stream: cut, detected, decoded, enriched, paired. Every byte is accounted for, and so is every call.

#[path = "../../src/ingest/decode/mod.rs"]
mod decode;

use crate::enrich::{EnrichOptions, Enricher};
use crate::source::frame::Framer;
use crate::source::pairing::{Pairing, PairingOptions, Row, Saved, Scope, SourceContext};
use crate::call::PayloadState;
use crate::source::registry::Formats;
use decode::{Counts, SourceView};
use std::sync::{Arc, LazyLock};

static ENRICHER: LazyLock<Enricher> = LazyLock::new(|| Enricher::new(EnrichOptions::new([1; 32])));

/// Reads the bytes as a file.
pub fn check(data: &[u8]) {
    let mut framer = Framer::new(data, 0, blake3::Hasher::new(), None).expect("bytes can be read");
    let formats = Arc::new(Formats::default());
    let mut source = SourceView { hints: Default::default(), file: "x.log".into(), formats, known: None, table: None };
    let votes = decode::votes(framer.head(), framer.framing(), &source, 100);
    source.known = decode::most_votes(&votes);

    let mut pairing = Pairing::new(PairingOptions { max_open: 50, ..PairingOptions::default() }, Saved::default());
    let mut context = SourceContext::default();
    let mut scope = Scope { number: 1, stream: 1, mtime: None, source: &mut context };
    let mut rows = Vec::new();
    let mut counts = Counts::default();
    while let Some(chunk) = framer.next_chunk().expect("bytes can be read") {
        let decoded = decode::decode(chunk, &source, &ENRICHER);
        counts.add(decoded.counts);
        for reject in &decoded.rejects {
            assert!(!reject.reason.is_empty() && reject.reason.len() < 300, "{}", reject.reason);
        }
        for item in decoded.items {
            pairing.accept(&mut scope, item, &mut rows);
        }
        framer.recycle(decoded.buffer);
    }
    assert_eq!(counts.bytes, data.len() as u64, "every byte is read");
    assert_eq!(counts.bytes_calls + counts.bytes_rejected + counts.bytes_ignored, counts.bytes, "{counts:?}");
    pairing.end_source(&mut scope, &mut rows);
    pairing.leave_source(&scope);
    pairing.end_run(u64::MAX, &mut rows);
    for row in &rows {
        let Row::Call { call, .. } = row else { continue };
        assert!(call.call_id.len() == 32, "{call:?}");
        // What was cut or never JSON is kept as it stands, and its state says so.
        for (stored, state) in [(&call.arguments, call.arguments_state), (&call.result, call.result_state)] {
            let json = |text: &String| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            assert!(state != PayloadState::Present || stored.as_ref().is_some_and(json), "no JSON is stored: {stored:?}");
        }
    }
    // What waits survives being stored.
    let saved = serde_json::to_vec(&pairing).expect("state is plain data");
    let _: Saved = serde_json::from_slice(&saved).expect("state is read back");
}
