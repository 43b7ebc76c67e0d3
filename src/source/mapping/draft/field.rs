//! What is known of one field of an unknown log, and which column it looks like, by its name and its values.

use super::names::{APPROVALS, ENDS, NAMES, PATTERNS};
use crate::source::json::{self, Object};
use crate::source::mapping::{DurationUnit, TimeFormat, Zone};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Distinct values of one field that are looked at.
const VALUES: usize = 60;
/// Distinct values from which on a field is no status.
const FEW: usize = 12;

/// One field over the records that were looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    /// JSON pointer, or key of a line.
    pub(super) place: String,
    /// Records that have it.
    pub(super) present: usize,
    /// Values that are objects, arrays, or JSON text of such.
    nested: usize,
    booleans: usize,
    /// Distinct other values, as text.
    pub(super) values: BTreeSet<String>,
    many: bool,
}

/// How well a name fits: names of a list, then names that mean several things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Weak,
    Strong,
}

impl Field {
    pub(super) fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), ..Self::default() }
    }

    /// Looks at one more value, raw JSON text.
    pub(super) fn add_json(&mut self, raw: &str) {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => self.add_nested(),
            Some(b'"') => self.add_text(&json::unescape(raw)),
            Some(b't' | b'f') => {
                self.booleans += 1;
                self.add_text(raw);
            }
            Some(b'n') | None => {}
            _ => self.add_text(raw),
        }
    }

    /// Looks at one more value as plain text.
    pub(super) fn add_text(&mut self, text: &str) {
        if Object::parse(text.trim()).is_ok() {
            return self.add_nested();
        }
        self.present += 1;
        if text.len() > 300 || self.values.len() >= VALUES {
            self.many = true;
        } else {
            self.values.insert(text.to_owned());
        }
    }

    fn add_nested(&mut self) {
        self.present += 1;
        self.nested += 1;
    }

    /// The columns that the field may be.
    pub(super) fn fits(&self) -> Vec<(&'static str, Fit)> {
        let names = self.names();
        let of_list = |list: &[&str]| names.iter().any(|name| list.contains(&name.as_str()));
        let mut fits = Vec::new();
        for (column, strong, weak) in NAMES {
            let fit = match () {
                () if of_list(strong) => Fit::Strong,
                // `result=SUCCESS`: what it says leaves no doubt.
                () if of_list(weak) && *column == "outcome" && self.is_plain_outcome() => Fit::Strong,
                () if of_list(weak) && *column == "http_response_status_code" && self.are_codes() => Fit::Strong,
                () if of_list(weak) => Fit::Weak,
                () => continue,
            };
            if self.plausible(column) {
                fits.push((*column, fit));
            }
        }
        fits
    }

    /// Words of the last key, without a unit, and with the key above it: `/toolCall/durationMs` is `duration` and
    /// `tool_call_duration`.
    fn names(&self) -> Vec<String> {
        let words: Vec<String> = self.place.split(['/', '.']).filter(|t| !t.is_empty()).map(snake).collect();
        let Some(last) = words.last() else { return Vec::new() };
        // Members of the compact log event format (Serilog) have names of one letter.
        let last = match self.place.as_str() {
            "/@t" => "timestamp",
            "/@x" => "exception",
            _ => without_unit(last).0,
        };
        let mut names = vec![last.to_owned()];
        if let [.., above, _] = words.as_slice() {
            names.push(format!("{above}_{last}"));
            // `/error/message`, `/user/id`, `/tool/name`: the key above says what it is.
            if matches!(last, "name" | "id" | "message" | "value" | "key") {
                names[0].clone_from(above);
            }
            // The request of JSON-RPC.
            if above == "params" && last == "name" {
                names[0] = "tool_name".to_owned();
            }
        }
        names
    }

    fn plausible(&self, column: &str) -> bool {
        let scalar = self.nested == 0;
        let short = scalar && !self.values.is_empty();
        let all = |test: &dyn Fn(&str) -> bool| short && self.values.iter().all(|value| test(value));
        let number = |text: &str| text.parse::<f64>().is_ok();
        match column {
            "time" | "time_end" => self.time_format().is_some(),
            "duration" => all(&|v| number(v) || DurationUnit::Text.read(v).is_some()),
            "http_response_status_code" => self.are_codes(),
            // Codes of JSON-RPC are negative; others mean something else.
            "rpc_response_status_code" => all(&|v| v.parse::<i32>().is_ok_and(|code| (-32_999..0).contains(&code))),
            "outcome" | "approval" => {
                short && !self.are_codes() && !self.many && self.values.len() <= FEW && all(&|v| v.len() <= 40)
            }
            "arguments" => self.nested * 2 > self.present || (scalar && self.present > 0 && self.booleans == 0),
            "result" => self.nested > 0 || self.values.len() > 4 || !self.is_outcome(),
            "method" => all(&|v| v.contains('/') || matches!(v, "initialize" | "ping")),
            "tool" | "server" | "agent" | "client_name" => all(&|v| v.len() <= 200 && !number(v)),
            "error_message" => self.booleans == 0,
            _ => short,
        }
    }

    /// Whether the values are statuses of HTTP.
    fn are_codes(&self) -> bool {
        let is_code = |value: &String| value.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
        self.nested == 0 && !self.values.is_empty() && self.values.iter().all(is_code)
    }

    /// Whether the values are objects, arrays, or JSON text of such.
    pub(super) fn is_nested(&self) -> bool {
        self.nested * 2 > self.present
    }

    /// Whether most of the values are words for how a call ended.
    pub(super) fn is_outcome(&self) -> bool {
        let known = self.values.iter().filter(|value| meaning(ENDS, value).is_some()).count();
        self.nested == 0 && known * 2 >= self.values.len().max(1)
    }

    /// Whether all of the values are such words, and none a number.
    fn is_plain_outcome(&self) -> bool {
        let is_word = |value: &String| meaning(ENDS, value).is_some() && value.parse::<f64>().is_err();
        self.nested == 0 && !self.values.is_empty() && self.values.iter().all(is_word)
    }

    /// The `values` of an outcome, and what is not understood; the words of other logs are added to those seen.
    pub(super) fn outcomes(&self) -> (Vec<(String, &'static str)>, Vec<String>) {
        let more: &[(&str, &str)] = match self.booleans > 0 {
            true => &[("true", "success"), ("false", "tool_error")],
            false => &[
                ("ok", "success"),
                ("error", "tool_error"),
                ("failed", "tool_error"),
                ("denied", "denied"),
                ("timeout", "timeout"),
            ],
        };
        self.table(ENDS, more)
    }

    /// The `values` of an approval, and what is not understood.
    pub(super) fn approvals(&self) -> (Vec<(String, &'static str)>, Vec<String>) {
        self.table(APPROVALS, &[])
    }

    fn table(
        &self,
        words: &'static [(&'static str, &'static [&'static str])],
        more: &[(&str, &'static str)],
    ) -> (Vec<(String, &'static str)>, Vec<String>) {
        let mut known: Vec<(String, &'static str)> = Vec::new();
        let mut unknown = Vec::new();
        for value in &self.values {
            match meaning(words, value) {
                Some(meaning) => known.push((value.clone(), meaning)),
                None => unknown.push(value.clone()),
            }
        }
        for (word, meaning) in more {
            if !self.values.iter().any(|value| value.eq_ignore_ascii_case(word)) {
                known.push(((*word).to_owned(), meaning));
            }
        }
        (known, unknown)
    }

    /// How the times are written, and whether they lack a zone.
    pub(super) fn time_format(&self) -> Option<(&'static str, bool)> {
        if self.nested > 0 || self.values.is_empty() {
            return None;
        }
        // From 1990 to 2100: below and above, a number is something else.
        const YEARS: std::ops::Range<i64> = 631_152_000_000_000_000..4_102_444_800_000_000_000;
        let utc = Zone::parse("UTC").ok();
        ["auto"].iter().chain(PATTERNS).find_map(|format| {
            let reader = TimeFormat::parse(format, super::super::EpochUnit::Auto).ok()?;
            // A year for patterns without one.
            let mtime = Some(1_700_000_000_000_000_000);
            let all = self.values.iter().all(|v| reader.read(v, utc, mtime).is_some_and(|m| YEARS.contains(&m.nanos)));
            let bare = self.values.iter().any(|v| reader.read(v, None, mtime).is_some_and(|m| m.zone_assumed));
            all.then_some((*format, bare))
        })
    }

    /// The unit of a duration, and whether it is more than a guess.
    pub(super) fn unit(&self) -> (&'static str, bool) {
        let last = snake(self.place.rsplit('/').next().unwrap_or_default());
        if let Some(unit) = without_unit(&last).1 {
            return (unit, true);
        }
        if self.values.iter().all(|value| value.parse::<f64>().is_err()) {
            return ("text", true);
        }
        let fractions = self.values.iter().all(|v| v.contains('.') && v.parse::<f64>().is_ok_and(|v| v < 100.0));
        // nginx counts seconds to the millisecond.
        (if fractions { "s" } else { "ms" }, fractions && last == "request_time")
    }

    /// What separates server and tool in every value, if something does.
    pub(super) fn separator(&self) -> Option<&'static str> {
        ["__", "::", "/", ".", ":"].into_iter().find(|separator| {
            self.values.iter().all(|v| v.split_once(separator).is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()))
        })
    }

    /// Regexes of the server and the tool in values that are paths or requests over HTTP, such as `POST /servers/s/tools/t`.
    pub(super) fn path(&self) -> Option<(Option<&'static str>, &'static str)> {
        const TOOL: &str = r#"/tools?/([^/?\s"]+)"#;
        const SERVER: &str = r#"/(?:mcp|servers?)/([^/?\s"]+)/"#;
        static READ: LazyLock<[Regex; 2]> =
            LazyLock::new(|| [SERVER, TOOL].map(|pattern| Regex::new(pattern).expect("a constant regex")));
        let [server, tool] = &*READ;
        let all = |regex: &Regex| self.values.iter().all(|value| regex.is_match(value));
        (!self.values.is_empty() && all(tool)).then(|| (all(server).then_some(SERVER), TOOL))
    }

    /// Whether the values look as if each occurred once ever, in whatever file.
    pub(super) fn is_unique_by_itself(&self) -> bool {
        self.values.iter().all(|v| v.len() >= 16 && v.bytes().any(|b| b.is_ascii_digit()))
    }

    /// Whether every record has its own value.
    pub(super) fn differs(&self) -> bool {
        self.many || self.values.len() == self.present
    }
}

fn meaning(words: &[(&'static str, &[&str])], value: &str) -> Option<&'static str> {
    let value = value.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    words.iter().find(|(_, words)| words.contains(&value.as_str())).map(|(meaning, _)| *meaning)
}

/// `durationMs`, `Duration-ms`, `@timestamp` → `duration_ms`, `duration_ms`, `timestamp`.
pub(super) fn snake(key: &str) -> String {
    let mut out = String::new();
    let mut before = '_';
    for c in key.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            out.push('_');
        }
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        before = c;
    }
    out.trim_end_matches('_').to_owned()
}

/// A name without the unit at its end, and the unit.
fn without_unit(name: &str) -> (&str, Option<&'static str>) {
    const ENDS: &[(&str, &str)] = &[
        ("_milliseconds", "ms"),
        ("_millis", "ms"),
        ("_msec", "ms"),
        ("_ms", "ms"),
        ("_microseconds", "us"),
        ("_micros", "us"),
        ("_us", "us"),
        ("_nanoseconds", "ns"),
        ("_nanos", "ns"),
        ("_ns", "ns"),
        ("_seconds", "s"),
        ("_secs", "s"),
        ("_sec", "s"),
        ("_s", "s"),
    ];
    ENDS.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, Some(*unit)))).unwrap_or((name, None))
}
