//! `calltrail sinks`: which there are, and whether they take what they are sent.

use super::exit::CommandError;
use super::{Context, OutputFormat, ship, ui};
use crate::sink::deliver::{Rate, Sink, check};
use crate::sink::destination::{Target, Verdict};
use crate::sink::encode::json_text;
use crate::visible::visible;
use clap::{Args, Subcommand};
use std::io::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum SinksCommand {
    /// List the sinks with what they get; credentials are not shown
    List,
    /// Send each sink an event that says it is a test, and show what came back
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Only these sinks [default: all that are enabled]
    #[arg(value_name = "NAME")]
    sinks: Vec<String>,
}

pub(super) fn run(context: &Context, command: &SinksCommand) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    match command {
        SinksCommand::List => list(context, format),
        SinksCommand::Check(args) => check_all(context, args, format),
    }
}

fn list(context: &Context, format: OutputFormat) -> Result<u8, CommandError> {
    let mut data = context.ui.data();
    for setting in &context.config.sinks {
        let sink = &setting.sink;
        let (kind, to) = (sink.kind, place(&sink.target));
        let gets = gets(sink);
        if format == OutputFormat::Table {
            let off = if sink.enabled { "" } else { " (off)" };
            let encoding = sink.encoding.as_str();
            writeln!(data, "{:<20} {kind:<14} {encoding:<10} {}{off}  {gets}", sink.name, visible(&to))?;
        } else {
            let json = serde_json::json!({
                "sink": sink.name, "type": kind, "to": to, "encoding": sink.encoding.as_str(), "enabled": sink.enabled, "gets": gets,
            });
            writeln!(data, "{}", json_text(&json)?)?;
        }
    }
    data.flush()?;
    Ok(0)
}

/// Where a destination is.
fn place(target: &Target) -> String {
    match target {
        Target::Stdout => "standard output".to_owned(),
        Target::File(file) => file.path.display().to_string(),
        Target::Syslog(syslog) => syslog.address.clone(),
        Target::Kafka(kafka) => format!("{} at {}", kafka.topic, kafka.brokers.join(", ")),
        Target::Http(http) => http.url.to_string(),
    }
}

/// Which alerts a sink gets, in words.
fn gets(sink: &Sink) -> String {
    let filter = &sink.filter;
    let names = |patterns: &[crate::alert::Wildcard]| {
        patterns.iter().map(crate::alert::Wildcard::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut parts = vec![format!("{} and above", filter.min_level)];
    for (what, patterns) in [("rules", &filter.rules), ("not", &filter.except_rules), ("tags", &filter.tags)] {
        if !patterns.is_empty() {
            parts.push(format!("{what} {}", names(patterns)));
        }
    }
    if let Some(Rate { count, per }) = sink.rate {
        parts.push(format!("{count} in {} s", per.as_secs()));
    }
    parts.extend(sink.digest_above.map(|above| format!("one digest above {above}")));
    parts.join("; ")
}

fn check_all(context: &Context, args: &CheckArgs, format: OutputFormat) -> Result<u8, CommandError> {
    let sinks = ship::chosen(context, &args.sinks)?;
    if sinks.is_empty() {
        return Err(CommandError::usage(
            "no sink is configured: add a table [[sinks]] to calltrail.toml, see docs/ship.md",
        ));
    }
    let mut all_well = true;
    let mut data = context.ui.data();
    for mut opened in ship::open(context, sinks)? {
        let started = ui::clock();
        let outcome = context.runtime.block_on(check(&mut opened, ui::now()));
        let seconds = (ui::clock() - started).as_secs_f64();
        let (state, answer) = match outcome.verdicts.first() {
            Some(Verdict::Delivered) => ("delivered", String::new()),
            Some(Verdict::Refused(answer) | Verdict::Suspect(answer)) => ("refused", answer.clone()),
            Some(Verdict::Again { answer, .. }) => ("failed", answer.clone()),
            None => ("failed", "the destination said nothing".to_owned()),
        };
        all_well &= state == "delivered";
        let name = &opened.sink.name;
        let answer = outcome.note.unwrap_or(answer);
        if format == OutputFormat::Table {
            writeln!(data, "{name:<20} {state:<10} {seconds:>6.2} s  {}", visible(&answer))?;
        } else {
            let json = serde_json::json!({"sink": name, "state": state, "answer": answer, "seconds": seconds});
            writeln!(data, "{}", json_text(&json)?)?;
        }
    }
    data.flush()?;
    Ok(u8::from(!all_well))
}
