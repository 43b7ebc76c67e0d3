//! Logs that write a record when a call starts and another when it ends.

use super::choose::Chosen;
use super::field::Field;
use super::write::Table;
use super::{fields_of, has, value_at};
use crate::source::json::Object;
use std::collections::BTreeSet;

/// How the two kinds of records are told apart, and paired.
#[derive(Debug)]
pub(super) struct Halves {
    place: String,
    requests: Vec<String>,
    responses: Vec<String>,
    id: String,
}

const ENDS: &[&str] = &[
    "response",
    "result",
    "end",
    "ended",
    "finish",
    "finished",
    "complete",
    "completed",
    "done",
    "reply",
    "returned",
    "return",
    "output",
    "failed",
    "succeeded",
    "error",
    "success",
    "post",
];
const STARTS: &[&str] = &[
    "request",
    "start",
    "started",
    "begin",
    "began",
    "call",
    "called",
    "invoke",
    "invoked",
    "requested",
    "input",
    "pre",
    "use",
];

/// Looks for a field whose values name starts and ends, and an id that both have.
pub(super) fn find(objects: &[Object<'_>]) -> Option<Halves> {
    let fields = fields_of(objects);
    let kinds =
        fields.iter().filter(|field| (2..=12).contains(&field.values.len()) && field.present * 2 >= objects.len());
    kinds.filter_map(|kind| paired(kind, &fields, objects)).next()
}

fn paired(kind: &Field, fields: &[Field], objects: &[Object<'_>]) -> Option<Halves> {
    let of = |words: &[&str], value: &str| super::field::snake(value).split('_').any(|word| words.contains(&word));
    let (responses, rest): (Vec<_>, Vec<_>) = kind.values.iter().cloned().partition(|value| of(ENDS, value));
    let requests: Vec<_> = rest.into_iter().filter(|value| of(STARTS, value)).collect();
    if requests.is_empty() || responses.is_empty() {
        return None;
    }
    let of_kind = |object: &&Object<'_>, values: &[String]| {
        value_at(object, &kind.place).is_some_and(|value| values.contains(&value))
    };
    let asked: Vec<&Object<'_>> = objects.iter().filter(|o| of_kind(o, &requests)).collect();
    let answered: Vec<&Object<'_>> = objects.iter().filter(|o| of_kind(o, &responses)).collect();
    // The tool stands in the start, else these are the starts of something else.
    let started: Vec<Object<'_>> = asked.iter().map(|o| (*o).clone()).collect();
    super::choose::tool(&fields_of(&started))?;
    // An id may start over in each session.
    let session = fields.iter().find(|field| field.fits().iter().any(|(column, _)| *column == "session_id"));
    let session = session.filter(|field| field.present == objects.len());
    let is_id = |field: &&Field| {
        let ids = |of: &[&Object<'_>]| -> BTreeSet<(Option<String>, String)> {
            let within = |object| session.and_then(|session| value_at(object, &session.place));
            of.iter().filter_map(|object| Some((within(object), value_at(object, &field.place)?))).collect()
        };
        let (asked_ids, answered_ids) = (ids(&asked), ids(&answered));
        let shared = asked_ids.intersection(&answered_ids).count();
        // A session has several calls, an id has one.
        asked_ids.len() * 10 >= asked.len() * 9 && shared * 2 > answered.len() && field.place != kind.place
    };
    let named = |field: &&Field| field.fits().iter().any(|(column, _)| *column == "request_id");
    let timed = |field: &&Field| field.time_format().is_some();
    let id = fields.iter().filter(named).find(is_id).or_else(|| fields.iter().filter(|f| !timed(f)).find(is_id))?;
    Some(Halves { place: kind.place.clone(), requests, responses, id: id.place.clone() })
}

pub(super) fn draft(objects: &[Object<'_>], id: &str, halves: &Halves) -> Option<String> {
    let mut out = String::new();
    for (side, values) in [("request", &halves.requests), ("response", &halves.responses)] {
        let of_side: Vec<Object<'_>> = objects
            .iter()
            .filter(|object| value_at(object, &halves.place).is_some_and(|value| values.contains(&value)))
            .cloned()
            .collect();
        let fields = fields_of(&of_side);
        let unique = fields.iter().find(|f| f.place == halves.id).is_some_and(Field::is_unique_by_itself);
        let mut chosen = Chosen::of(&fields, of_side.len());
        // Of both sides alike, whether or not the response's table has the column.
        let within = chosen
            .place("session_id")
            .filter(|place| !unique && objects.iter().all(|o| has(o, place)))
            .map(str::to_owned);
        // What tells the kinds apart is no outcome, unless it is all that there is.
        chosen.lines.retain(|line| line.place != halves.place && line.place != halves.id);
        if side == "response" {
            let own: &[&str] = &[
                "time",
                "time_end",
                "duration",
                "outcome",
                "result",
                "error_message",
                "http_response_status_code",
                "approval",
            ];
            chosen.lines.retain(|line| own.contains(&line.column));
        } else {
            chosen.lines.retain(|line| !matches!(line.column, "outcome" | "result" | "duration"));
        }
        let mut table = Table::new(id);
        table.comment(&format!("drafted from {} records of {}", of_side.len(), objects.len()));
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        table.equals(&halves.place, &values);
        table.list("exists", &[halves.id.as_str()]);
        table.key("side", side);
        table.pair(&halves.id, within.as_deref(), unique);
        table.columns(&chosen);
        out.push_str(&table.finish());
        out.push('\n');
    }
    Some(out)
}
