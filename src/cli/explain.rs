//! `calltrail formats explain`: what an input is, what its records say, and a mapping for one that nobody knows.

use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::alert::visible;
use crate::config::Config;
use crate::ingest::explain::{Explanation, Seen, SeenEvent, explain, understood};
use crate::ingest::remote;
use crate::sink::encode::json_text;
use crate::source::frame::Framing;
use crate::source::input::Input;
use crate::source::mapping::draft::draft;
use crate::source::registry::Formats;
use crate::visible::shorten;
use clap::Args;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a value that a line shows.
const SHOWN: usize = 100;
/// Places that a line names.
const PLACES: usize = 12;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A file, a URL, or - for standard input
    file: String,
    /// Show so many records
    #[arg(long, value_name = "N", default_value_t = 5)]
    records: usize,
}

pub(super) fn run(context: &Context, args: &ExplainArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    if Path::new(&args.file).is_dir() {
        return Err(CommandError::usage(format!("`{}` is a folder; name one file", args.file)));
    }
    let inputs = remote::expand(std::slice::from_ref(&args.file), &context.storage)?.inputs;
    let [input] = inputs.as_slice() else {
        return Err(CommandError::usage(format!("`{}` names {} files; name one", args.file, inputs.len())));
    };
    let formats = Arc::new(Formats::new(context.config.mappings.clone()));
    let unreadable = |cause| CommandError::failure(format!("cannot read `{}`: {cause}", input.name()));
    let explanation = explain(input, &formats, args.records).map_err(unreadable)?;
    let drafted = drafted(&explanation, input);
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        let mut value = serde_json::to_value(&explanation).map_err(|cause| CommandError::failure(cause.to_string()))?;
        value["draft"] = drafted.map_or(serde_json::Value::Null, |draft| draft.toml.into());
        writeln!(out, "{}", json_text(&value)?)?;
    } else {
        head(&explanation, &mut out)?;
        for record in &explanation.records {
            self::record(record, &mut out)?;
        }
        tail(&explanation, &mut out)?;
        match drafted {
            Some(Draft { toml, understood, of }) => {
                writeln!(
                    out,
                    "\n# A first mapping for calltrail.toml: it reads {understood} of {of} records that nobody knew."
                )?;
                writeln!(
                    out,
                    "# Look it through (docs/mapping.md), paste it, and run `calltrail formats explain` again.\n"
                )?;
                for line in toml.lines() {
                    writeln!(out, "{}", visible(line))?;
                }
            }
            None if explanation.format.is_none() && explanation.scanned.records > 0 => {
                writeln!(
                    out,
                    "\nNothing in it looks like calls of tools, so no mapping is drafted (docs/mapping.md has examples)."
                )?;
            }
            None => {}
        }
    }
    out.flush()?;
    Ok(0)
}

/// A drafted mapping, and what it reads of the records that it was drafted from.
struct Draft {
    toml: String,
    understood: usize,
    of: usize,
}

/// A draft, if most of the input is unknown.
fn drafted(explanation: &Explanation, input: &Input) -> Option<Draft> {
    let scanned = &explanation.scanned;
    if explanation.format.is_some() && scanned.unknown * 2 < scanned.records {
        return None;
    }
    let records: Vec<&str> = explanation.unknown.iter().map(String::as_str).collect();
    let toml = draft(&records, &input.hints().file_name)?;
    // What cannot be read back is no mapping.
    let config = Config::parse(&toml, Path::new("draft"))
        .inspect_err(|error| tracing::debug!(%error, toml, "a draft is no valid configuration"))
        .ok()?;
    let understood = understood(input, &explanation.unknown, config.mappings);
    (understood > 0).then_some(Draft { toml, understood, of: explanation.unknown.len() })
}

fn head(seen: &Explanation, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut line = |key: &str, value: &str| writeln!(out, "{key:<12} {}", visible(value));
    line("input", &seen.input)?;
    line("compression", seen.compression.unwrap_or("none"))?;
    line(
        "framing",
        match seen.framing {
            Framing::Lines => "one record a line",
            Framing::Documents => "JSON values over several lines",
            Framing::Rows => "rows of CSV",
            Framing::Streams => "responses of event streams",
        },
    )?;
    match &seen.format {
        Some(format) => {
            line("format", &format!("{}: {}", format.id, format.title))?;
            line("known from", &format.evidence)?;
        }
        None if seen.scanned.records == 0 => line("format", "unknown: there is nothing in it")?,
        None => line("format", "unknown: no format claims any of its first records")?,
    }
    let votes: Vec<String> = seen.votes.iter().map(|vote| format!("{} {}", vote.format, vote.records)).collect();
    if !votes.is_empty() {
        line("why", &format!("of its first {} records these formats claim: {}", seen.head_records, votes.join(", ")))?;
    }
    if let Some(shape) = &seen.shape {
        line("looks like", shape)?;
    }
    Ok(())
}

fn record(record: &Seen, out: &mut dyn Write) -> Result<(), CommandError> {
    let format = record.format.as_deref().unwrap_or("no format");
    let what = match (&record.reject, record.events.is_empty()) {
        (Some(reason), _) => format!("rejected: {reason}"),
        (None, true) => "noise".to_owned(),
        (None, false) => record.events.iter().map(|event| event.kind).collect::<Vec<_>>().join(", "),
    };
    writeln!(out, "\nline {:<7} {} ({})", record.line, visible(&what), visible(format))?;
    for event in &record.events {
        self::event(event, record.events.len() > 1, out)?;
    }
    if !record.not_read.is_empty() {
        writeln!(out, "  in no column: {}", visible(&places(record.not_read.iter().map(String::as_str))))?;
    }
    Ok(())
}

fn event(event: &SeenEvent, named: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    if named {
        writeln!(out, "  {}", event.kind)?;
    }
    let shown = |value: &str| {
        let mut value = visible(value).into_owned();
        shorten(&mut value, SHOWN);
        value
    };
    for filled in &event.columns {
        let from = filled.from.as_deref().map_or_else(String::new, |from| format!("  ← {}", shown(from)));
        writeln!(out, "  {:<26} {}{from}", filled.column, shown(&filled.value))?;
    }
    Ok(())
}

fn tail(seen: &Explanation, out: &mut dyn Write) -> Result<(), CommandError> {
    let counts = &seen.scanned;
    let first = if seen.more { "first " } else { "" };
    writeln!(
        out,
        "\nof the {first}{} records: {} understood, {} noise, {} rejected",
        counts.records, counts.understood, counts.noise, counts.rejected
    )?;
    for reason in &seen.rejects {
        writeln!(
            out,
            "  rejected {} (first in line {}): {}",
            reason.records,
            reason.first_line,
            visible(&reason.reason)
        )?;
    }
    if !seen.not_read.is_empty() {
        let unread: Vec<String> =
            seen.not_read.iter().map(|unread| format!("{} ({})", unread.place, unread.records)).collect();
        writeln!(out, "  in no column: {}", visible(&places(unread.iter().map(String::as_str))))?;
    }
    Ok(())
}

fn places<'a>(all: impl Iterator<Item = &'a str> + Clone) -> String {
    let count = all.clone().count();
    let mut text = all.take(PLACES).collect::<Vec<_>>().join(", ");
    if count > PLACES {
        text.push_str(&format!(", … and {} more", count - PLACES));
    }
    text
}
