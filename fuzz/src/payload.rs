//! Enrichment: no payload is too odd, JSON stays JSON, a planted secret does not survive, and time grows with size only.

use crate::call::{Call, PayloadState};
use crate::enrich::{EnrichOptions, Enricher, hashed_tokens, result_text};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const SECRET: &str = "ghp_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2cD4";
/// What must be found nowhere: the secret without what names its kind.
const NEEDLE: &str = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2cD4";
/// Bytes of the payload that must be done in [`PATIENCE`].
const LARGE: usize = 64 << 10;
/// A hundred times what it takes, with instrumentation.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same options each time: building them anew would take longer than their work.
static ENRICHERS: LazyLock<Vec<(usize, Enricher)>> = LazyLock::new(|| {
    [256, 700, 4096, EnrichOptions::PAYLOAD_LIMIT]
        .map(|limit| (limit, Enricher::new(EnrichOptions { payload_limit: limit, ..EnrichOptions::new([1; 32]) })))
        .into()
});

/// The first bytes choose the limit, the place of the payload and of the secret.
pub fn check(data: &[u8]) {
    let Some((&[choice, place], rest)) = data.split_first_chunk::<2>() else { return };
    let (limit, enricher) = &ENRICHERS[usize::from(choice) % ENRICHERS.len()];
    let text = String::from_utf8_lossy(rest);
    if text.contains(NEEDLE) {
        // Without the prefix that makes it one it is no secret, and stays.
        return;
    }
    let text = match serde_json::from_str::<Value>(&text) {
        Ok(mut value) if choice & 4 == 0 => {
            let mut count = 0;
            plant(&mut value, place, &mut count);
            let text = value.to_string();
            // JSON inside a string of JSON.
            if choice & 8 == 0 { text } else { serde_json::json!({"content": [{"type": "text", "text": text}]}).to_string() }
        }
        _ => {
            let mut at = text.len() * usize::from(place) / 255;
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            format!("{} {SECRET} {}", &text[..at], &text[at..])
        }
    };
    let mut call = Call { source_format: "fuzz".into(), ..Call::default() };
    match choice >> 4 & 3 {
        0 => {
            call.arguments = Some(text.clone());
            call.arguments_state = PayloadState::Present;
        }
        1 => {
            call.result = Some(text.clone());
            call.result_state = PayloadState::Present;
        }
        2 => {
            call.arguments = Some("{}".to_owned());
            call.error_message = Some(text.clone());
            call.more().server_command = Some(text.clone());
        }
        _ => {
            call.arguments = Some(text.clone());
            call.result = Some(text.clone());
            call.more().meta_json = Some(text.clone());
            call.more().extra_json = Some(text.clone());
            call.more().server_url = Some(text.as_str().into());
        }
    }
    let enriched = enricher.call(&mut call);
    for (stored, state) in [(&call.arguments, call.arguments_state), (&call.result, call.result_state)] {
        let Some(stored) = stored else { continue };
        // What never was JSON is kept as it is, and its state says so.
        let json = serde_json::from_str::<&serde_json::value::RawValue>(stored).is_ok();
        assert!(json || state != PayloadState::Present, "no longer JSON: {stored}");
        assert!(stored.len() <= (*limit).max(512), "{} bytes stored, {limit} allowed", stored.len());
    }
    let everything = format!("{call:?}{enriched:?}");
    assert!(!everything.contains(NEEDLE), "a secret survived\nof {text}\nin {everything}");

    let free = enricher.text(&text, "prompt");
    assert!(!format!("{free:?}").contains(NEEDLE), "a secret survived in free text\nof {text}\nin {free:?}");
    // What is stored is what it would be the second time.
    hashed_tokens(&free.text, &[1; 32]);
    result_text(&text, *limit);
}

/// A payload of 64 KiB that repeats the bytes.
pub fn check_large(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first().filter(|(_, rest)| !rest.is_empty()) else { return };
    let text = String::from_utf8_lossy(rest);
    let mut large = text.repeat(LARGE / text.len() + 1);
    match choice & 3 {
        0 => {}
        // One string.
        1 => large = serde_json::Value::from(large).to_string(),
        // Half as one string, then as it is: nesting that never closes, and what follows.
        2 => large = format!("{{\"text\":{},\"rest\":{large}", serde_json::Value::from(text.as_ref())),
        // The elements of an array.
        _ => large = format!("[{}]", vec![text.as_ref(); LARGE / (text.len() + 1) + 1].join(",")),
    }
    let (_, enricher) = &ENRICHERS[3];
    let mut fastest = Duration::MAX;
    // The machine has other work: only what is slow each time is slow.
    for _ in 0..3 {
        let mut call = Call { result: Some(large.clone()), result_state: PayloadState::Present, ..Call::default() };
        let started = Instant::now();
        enricher.call(&mut call);
        fastest = fastest.min(started.elapsed());
        if fastest < PATIENCE {
            return;
        }
    }
    panic!("{} bytes took {fastest:?}", large.len());
}

/// Puts the secret into strings, or behind a name.
fn plant(value: &mut Value, place: u8, count: &mut u8) {
    const BEFORE: &[&str] = &[" ", "\n", "\\n", "\"", "%22", "token=", "=", ": "];
    *count = count.wrapping_add(1);
    match value {
        Value::String(text) => {
            let before = BEFORE[usize::from(place.wrapping_add(*count)) % BEFORE.len()];
            *text = format!("{text}{before}{SECRET} ");
        }
        Value::Array(all) => all.iter_mut().for_each(|value| plant(value, place, count)),
        Value::Object(all) => {
            all.values_mut().for_each(|value| plant(value, place, count));
            if place & 1 == 1 {
                all.insert(format!("key {SECRET}"), Value::from(true));
            }
        }
        _ => {}
    }
}
