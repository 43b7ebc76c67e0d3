//! An alert cut until its message is no larger than the target takes: payloads and evidence first, then the message and long lists, last
//! the names. Ids, level and times always stay.

use super::{Message, Options, Shown};
use crate::alert::{Alert, shorten};
use serde_json::Value;
use std::io;

/// What is left at one step. Numbers are bytes of a text, or entries of a list.
struct Step {
    payload: usize,
    message: usize,
    name: usize,
    calls: usize,
    list: usize,
}

/// The last one is small enough for 8 KiB in every encoding, also if every character has to be written as an escape.
const STEPS: [Step; 6] = [
    Step { payload: 1024, message: 4096, name: 512, calls: 20, list: 100 },
    Step { payload: 256, message: 2048, name: 256, calls: 20, list: 50 },
    Step { payload: 64, message: 1024, name: 128, calls: 10, list: 20 },
    Step { payload: 0, message: 512, name: 96, calls: 4, list: 8 },
    Step { payload: 0, message: 128, name: 48, calls: 0, list: 2 },
    Step { payload: 0, message: 24, name: 16, calls: 0, list: 0 },
];

/// Writes the alert whole if it fits, else cut as little as it takes.
pub(in crate::sink) fn fit(
    alert: &Alert,
    options: &Options,
    max_bytes: usize,
    write: &dyn Fn(&Shown<'_>) -> io::Result<Message>,
) -> io::Result<String> {
    let whole = write(&Shown { alert, options, full_bytes: None })?;
    let fits = |message: &Message| !message.is_too_long && message.text.len() <= max_bytes;
    if fits(&whole) {
        return Ok(whole.text);
    }
    let full_bytes = Some(whole.text.len());
    let mut least = whole.text.len();
    for step in &STEPS {
        let cut = cut(alert, step);
        let message = write(&Shown { alert: &cut, options, full_bytes })?;
        if fits(&message) {
            return Ok(message.text);
        }
        least = message.text.len();
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "alert {} takes {least} bytes even cut to the bone, the limit is {max_bytes}: raise it (`--max-bytes`, or `max_message` of a sink)",
            alert.alert_id
        ),
    ))
}

fn cut(alert: &Alert, step: &Step) -> Alert {
    let mut alert = alert.clone();
    let finding = &mut alert.finding;
    let entity = &mut finding.entity;
    let names = [&mut entity.session_id, &mut entity.agent, &mut entity.user_id, &mut entity.server, &mut entity.tool];
    let names = names.into_iter().flatten().chain([
        &mut finding.rule_id,
        &mut finding.rule_title,
        &mut finding.rule_version,
        &mut finding.rule_group,
        &mut finding.status,
    ]);
    names.for_each(|text| shorten(text, step.name));
    if let Some(message) = &mut finding.message {
        shorten(message, step.message);
    }
    shorten(&mut finding.description, step.message);
    for texts in [&mut finding.tags, &mut finding.falsepositives, &mut finding.call_ids] {
        texts.truncate(step.list);
        texts.iter_mut().for_each(|text| shorten(text, step.name));
    }
    for members in [&mut finding.evidence, &mut finding.settings] {
        cut_members(members, step);
    }
    while alert.lake_versions.len() > step.list {
        alert.lake_versions.pop_last();
    }
    // One is kept: an event about a call is about it.
    let calls = step.calls.max(1);
    if alert.calls.len() > calls {
        let first = calls / 2;
        let last = calls - first;
        alert.calls.drain(first..alert.calls.len() - last);
    }
    for call in &mut alert.calls {
        for text in [&mut call.arguments, &mut call.result_text] {
            match text {
                Some(text) if step.payload > 0 => shorten(text, step.payload),
                _ => *text = None,
            }
        }
        let names = [&mut call.session_id, &mut call.agent, &mut call.user_id, &mut call.server, &mut call.tool];
        let names = names.into_iter().flatten().chain(&mut call.source_file);
        names.chain([&mut call.call_id, &mut call.method, &mut call.outcome, &mut call.approval]).for_each(|text| {
            shorten(text, step.name);
        });
    }
    alert.observables.truncate(step.list);
    for observable in &mut alert.observables {
        shorten(&mut observable.value, step.name);
        shorten(&mut observable.kind, step.name);
    }
    for text in [&mut alert.suppressed_by, &mut alert.resolved].into_iter().flatten() {
        shorten(text, step.name);
    }
    alert
}

fn cut_members(members: &mut serde_json::Map<String, Value>, step: &Step) {
    if step.payload == 0 {
        members.clear();
    }
    let old = std::mem::take(members);
    for (mut name, mut value) in old.into_iter().take(step.list) {
        shorten(&mut name, step.name);
        cut_value(&mut value, step);
        members.insert(name, value);
    }
}

fn cut_value(value: &mut Value, step: &Step) {
    match value {
        Value::String(text) => shorten(text, step.payload),
        Value::Array(items) => {
            items.truncate(step.list);
            items.iter_mut().for_each(|item| cut_value(item, step));
        }
        Value::Object(members) => cut_members(members, step),
        _ => {}
    }
}
