//! One record: who reads it, as it stands or out of what was put around it.

use super::around::{self, Parts};
use super::{SourceView, repair};
use crate::call::{Bits, Flag, Position};
use crate::source::frame::csv::Head;
use crate::source::frame::events;
use crate::source::json::Object;
use crate::source::{Carried, Decoded, Record, Reject};
use std::borrow::Cow;

/// Wrappers in wrappers that are opened: colours, `docker compose logs --timestamps` of a line that another collector has put into JSON.
const DEPTH: usize = 5;
/// Of so many parts one must be known, or none is looked for among the others.
const HEAD: usize = 100;

pub(in crate::ingest) enum Known {
    Events,
    Noise,
    Rejected(String),
}

/// Reads one record; whoever reads it gets a vote. `flags` learns what was odd about its text.
pub(in crate::ingest) fn one(
    text: &str,
    lossy: bool,
    position: Position,
    source: &SourceView,
    out: &mut Decoded,
    votes: &mut [u64],
    flags: &mut Bits,
) -> Known {
    if lossy {
        flags.add(Flag::LossyUtf8 as u32);
    }
    Reading { lossy, position, source, out, votes, flags }.read(text, 0)
}

struct Reading<'a> {
    lossy: bool,
    position: Position,
    source: &'a SourceView,
    out: &'a mut Decoded,
    votes: &'a mut [u64],
    /// What had to be done to the text.
    flags: &'a mut Bits,
}

impl Reading<'_> {
    fn read(&mut self, text: &str, depth: usize) -> Known {
        let source = self.source;
        let mut repaired = None;
        let mut parsed = None;
        let mut broken = None;
        let mut is_array = false;
        if text.starts_with('{') {
            match Object::parse(text) {
                Ok(object) => parsed = Some(object),
                Err(error) => {
                    broken = Some(error);
                    repaired = repair::repaired(text);
                }
            }
        } else if opens_array(text) {
            broken = serde_json::from_str::<&serde_json::value::RawValue>(text).err();
            is_array = broken.is_none();
        }
        let mut text = text;
        if let Some((whole, flags)) = &repaired
            && let Ok(object) = Object::parse(whole)
        {
            *self.flags = self.flags.union(*flags);
            (text, parsed, broken) = (whole, Some(object), None);
        }
        // Fields that were taken out of an event stand beside it, their names flattened: the event says more.
        let event = parsed.as_ref().and_then(around::event).filter(|_| depth < DEPTH);
        if let Some(event) = event
            && let Some(known) = self.known(&event, depth, &mut false)
        {
            self.stamp(text, parsed.as_ref());
            return known;
        }
        let record =
            Record { text, json: parsed.as_ref(), position: self.position, lossy: self.lossy, hints: &source.hints };
        let tolerated = || source.format().is_some_and(|format| format.tolerates(&record));
        // What begins like an array and is none may be a line of text with something in brackets in front.
        let is_text = broken.is_some() && text.starts_with('[') && !tolerated();
        let claimed = if is_text {
            source.formats.route_to_mapping(&record)
        } else {
            source.formats.route(&record, source.known)
        };
        let own = || source.known.filter(|_| source.format().is_some_and(|format| format.claims_in_own(&record)));
        let claimed = claimed.or_else(own);
        if claimed != source.known && source.format().is_some_and(|format| format.echoes(&record)) {
            return Known::Noise;
        }
        if let Some(at) = claimed {
            return self.decode(at, &record, depth);
        }
        let mut is_noise = false;
        if depth == 0
            && !text.starts_with('{')
            && let Some(table) = &source.table
        {
            if text == table.row() {
                return Known::Noise;
            }
            if let Some(known) = self.row(table, text, depth, &mut is_noise) {
                return known;
            }
        }
        let found = match around::parts(text, parsed.as_ref(), is_array) {
            _ if depth >= DEPTH => None,
            Parts::None => None,
            Parts::OneOf(texts) => texts.iter().find_map(|text| self.known(text, depth, &mut is_noise)),
            Parts::All(texts) => self.all(&texts, depth),
        };
        if let Some(known) = found {
            self.stamp(text, parsed.as_ref());
            return known;
        }
        if is_noise || tolerated() || source.known.is_some() && events::is_empty(text) {
            return Known::Noise;
        }
        if let Some(at) = source.formats.route_otherwise(&record) {
            return self.decode(at, &record, depth);
        }
        Known::Rejected(match broken {
            Some(error) => json_error(&error),
            None if text.contains('\0') => "binary data".to_owned(),
            None if parsed.is_some() => "a JSON object of no known format".to_owned(),
            None if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
                "JSON, but no object of a known format".to_owned()
            }
            None => "a line of no known format".to_owned(),
        })
    }

    /// A row of a table. Exports flatten what was nested, and a format that knows some of the names would miss the others: only a
    /// mapping was written for them as they stand.
    fn row(&mut self, table: &Head, text: &str, depth: usize, is_noise: &mut bool) -> Option<Known> {
        let flat = table.object(text)?;
        let nested = table.nested(text).filter(|_| !self.is_mapped(&flat));
        let known = nested.and_then(|nested| self.known(&nested, depth, is_noise));
        known.or_else(|| self.known(&flat, depth, is_noise))
    }

    /// Whether a mapping reads an object.
    fn is_mapped(&self, text: &str) -> bool {
        let source = self.source;
        let json = Object::parse(text).ok();
        let record =
            Record { text, json: json.as_ref(), position: self.position, lossy: self.lossy, hints: &source.hints };
        source.formats.route_to_mapping(&record).is_some()
    }

    /// Gives what was found the time of what was around it, where it has none.
    fn stamp(&mut self, text: &str, json: Option<&Object<'_>>) {
        if let Some(time) = around::time(text, json, self.source.hints.mtime) {
            around::stamp(&mut self.out.events, time);
        }
    }

    fn decode(&mut self, at: usize, record: &Record<'_>, depth: usize) -> Known {
        let formats = &self.source.formats;
        let Some(format) = formats.get(at) else { return Known::Noise };
        self.votes[at] += 1;
        let known = match format.decode(record, self.out) {
            Ok(()) if self.out.events.is_empty() && self.out.rejected.is_empty() => Known::Noise,
            Ok(()) => {
                self.out.origin = crate::source::origin(format.id());
                if let Some(key) = formats.audit_key() {
                    format.judge(record, key, self.out);
                }
                Known::Events
            }
            Err(reject) => {
                self.out.clear();
                return Known::Rejected(reject.reason);
            }
        };
        let lines = if depth < DEPTH { format.carries(record) } else { Vec::new() };
        lines.into_iter().fold(known, |known, line| self.carried(&line, depth, known))
    }

    /// Adds what another format knows of a line that the record carries; nobody need know it.
    fn carried(&mut self, line: &Carried, depth: usize, known: Known) -> Known {
        let mut own = std::mem::take(self.out);
        let found = self.known(&line.text, depth, &mut false);
        match found {
            Some(Known::Events) => {
                if let Some(time) = line.time {
                    around::stamp(&mut self.out.events, (time, false));
                }
                own.events.append(&mut self.out.events);
                own.rejected.append(&mut self.out.rejected);
                own.origin = self.out.origin;
            }
            Some(Known::Rejected(reason)) => own.reject(&line.text, Reject { reason }),
            _ => {}
        }
        *self.out = own;
        if self.out.events.is_empty() && self.out.rejected.is_empty() { known } else { Known::Events }
    }

    /// The text if a format knows it; else whether it is what is expected between the records of the source.
    fn known(&mut self, text: &str, depth: usize, is_noise: &mut bool) -> Option<Known> {
        let voted: u64 = self.votes.iter().sum();
        let known = self.read(text, depth + 1);
        if self.votes.iter().sum::<u64>() > voted {
            return Some(known);
        }
        *is_noise |= matches!(known, Known::Noise);
        None
    }

    /// All texts if a format knows one of them. Those that nobody can read are rejected one by one.
    fn all(&mut self, texts: &[Cow<'_, str>], depth: usize) -> Option<Known> {
        let (mut all, mut is_known) = (Decoded::default(), false);
        let voted: u64 = self.votes.iter().sum();
        for (at, text) in texts.iter().enumerate() {
            if at == HEAD && self.votes.iter().sum::<u64>() == voted {
                return None;
            }
            match self.read(text, depth + 1) {
                Known::Events => {
                    is_known = true;
                    all.origin = self.out.origin;
                    all.events.append(&mut self.out.events);
                    self.out.rejected.drain(..).for_each(|part| all.reject(&part.text, part.reject));
                }
                Known::Noise => {}
                Known::Rejected(reason) => all.reject(text, Reject { reason }),
            }
            self.out.clear();
        }
        if self.votes.iter().sum::<u64>() == voted {
            return None;
        }
        if !is_known {
            return Some(all.rejected.pop().map_or(Known::Noise, |part| Known::Rejected(part.reject.reason)));
        }
        *self.out = all;
        Some(Known::Events)
    }
}

/// Whether the text starts as an array of containers or strings; `[2026-11-10 …] text` is a line of a log.
fn opens_array(text: &str) -> bool {
    text.strip_prefix('[')
        .is_some_and(|rest| matches!(rest.trim_start().as_bytes().first(), None | Some(b'{' | b'[' | b'"' | b']')))
}

fn json_error(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Eof => "truncated JSON".to_owned(),
        _ => {
            let text = error.to_string();
            let reason = text.split(" at line").next().unwrap_or("invalid");
            format!("invalid JSON: {reason}")
        }
    }
}
