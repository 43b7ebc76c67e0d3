//! `calltrail ship`: alerts to the sinks of `calltrail.toml`.

use super::around::signals;
use super::exit::CommandError;
use super::{Context, OutputFormat, ui};
use crate::lake::Lake;
use crate::sink::deliver::{Opened, OwnEvent, Report, Retried, Shipment, Sink, Stop, preview, ship};
use crate::sink::destination::Surroundings;
use crate::sink::encode::json_text;
use crate::visible::visible;
use clap::Args;
use std::io::{self, Write as _};
use std::sync::Arc;

/// Alerts that a dry run shows at most: they are all in memory.
const DRY_RUN: usize = 10_000;

#[derive(Debug, Default, Args)]
pub(super) struct ShipArgs {
    /// Only these sinks [default: all that are enabled]
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Send nothing: write to standard output what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Send those again that were refused and set aside
    #[arg(long)]
    retry_refused: bool,
}

pub(super) fn run(context: &Context, args: &ShipArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    let sinks = chosen(context, &args.sinks)?;
    if sinks.is_empty() {
        return Err(CommandError::usage(
            "no sink is configured: add a table [[sinks]] to calltrail.toml, see docs/ship.md",
        ));
    }
    let opened = open(context, sinks)?;
    let retried = if args.retry_refused { Retried::Refused } else { Retried::Pending };
    if args.dry_run {
        return dry_run(context, &opened, retried);
    }
    let stop = stop_on_signal(context)?;
    let reports = ship_now(context, opened, retried, Vec::new(), stop)?;
    show(context, &reports, format)?;
    Ok(exit_code(&reports))
}

/// The sinks that are asked for, with what depends on the clock.
pub(super) fn chosen(context: &Context, names: &[String]) -> Result<Vec<Sink>, CommandError> {
    let all = &context.config.sinks;
    let unknown = names.iter().filter(|name| !all.iter().any(|setting| setting.sink.name == **name));
    let problems: Vec<String> = unknown.map(|name| format!("no sink `{name}` in calltrail.toml")).collect();
    if !problems.is_empty() {
        return Err(CommandError::usage(problems.join("\n")));
    }
    let is_chosen = |sink: &Sink| if names.is_empty() { sink.enabled } else { names.contains(&sink.name) };
    let chosen = all.iter().filter(|setting| is_chosen(&setting.sink)).map(|setting| {
        let mut sink = setting.sink.clone();
        sink.filter.since = setting.since.map(|since| since.resolve(ui::now()).timestamp_micros());
        sink
    });
    Ok(chosen.collect())
}

/// Reads credentials and certificates of all sinks, or says everything that is wrong with them.
pub(super) fn open(context: &Context, sinks: Vec<Sink>) -> Result<Vec<Opened>, CommandError> {
    let environment = |name: &str| std::env::var(name).ok();
    let ui = context.ui.clone();
    let around = Surroundings {
        environment: &environment,
        stdout: Arc::new(move || Box::new(ui.data())),
        host: ui::host_name(),
        clock: ui::unix_seconds,
    };
    // Clients of HTTP want a runtime from the start.
    let _runtime = context.runtime.enter();
    let (mut opened, mut problems) = (Vec::new(), Vec::new());
    for sink in sinks {
        match Opened::open(sink, &around) {
            Ok(sink) => opened.push(sink),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(opened) } else { Err(CommandError::usage(problems.join("\n"))) }
}

/// From now on a signal ends the run after the batch in hand.
pub(super) fn stop_on_signal(context: &Context) -> Result<Stop, CommandError> {
    let failed = |cause: io::Error| CommandError::failure(format!("cannot wait for signals: {cause}"));
    let (sender, stop) = tokio::sync::watch::channel(false);
    let signal = {
        let _runtime = context.runtime.enter();
        signals().map_err(failed)?
    };
    context.runtime.spawn(async move {
        signal.await;
        // Whoever waits holds a receiver.
        let _ = sender.send(true);
        // The channel stays open, so that nobody takes its end for a wish.
        sender.closed().await;
    });
    Ok(stop)
}

/// Ships to opened sinks.
pub(super) fn ship_now(
    context: &Context,
    opened: Vec<Opened>,
    retried: Retried,
    events: Vec<OwnEvent>,
    stop: Stop,
) -> Result<Vec<Report>, CommandError> {
    let _span = tracing::info_span!("ship", sinks = opened.len()).entered();
    let lake = writable(context)?;
    let ui = context.ui.clone();
    let shipment = Shipment {
        retried,
        suppressions: super::alerts::suppress::all(context, &lake)?,
        events,
        clock: Arc::new(ui::RealClock),
        stop,
        notice: Arc::new(move |text| ui.say(visible(text))),
        lock_timeout: context.global.lock_timeout,
    };
    Ok(context.runtime.block_on(ship(Arc::new(lake), opened, shipment))?)
}

fn writable(context: &Context) -> Result<Lake, CommandError> {
    context.signed(context.open_lake()?)
}

/// Shows what would be sent.
fn dry_run(context: &Context, opened: &[Opened], retried: Retried) -> Result<u8, CommandError> {
    let lake = Arc::new(context.open_lake()?);
    let suppressions = super::alerts::suppress::all(context, &lake)?;
    let mut data = context.ui.data();
    for sink in opened {
        let shown = preview(&lake, sink, retried, &suppressions, ui::now(), DRY_RUN);
        let (report, previews) = context.runtime.block_on(shown)?;
        context.ui.say(format!("sink {}: {} alerts in {} batches", report.sink, report.pending, previews.len()));
        for preview in previews {
            context.ui.say(format!("{}, {} bytes:", visible(&preview.to), preview.bytes.len()));
            data.write_all(&preview.bytes)?;
            if !preview.bytes.ends_with(b"\n") {
                data.write_all(b"\n")?;
            }
            data.flush()?;
        }
        if report.pending > DRY_RUN as u64 {
            context.ui.say(format!("… and {} more alerts", report.pending - DRY_RUN as u64));
        }
    }
    Ok(0)
}

/// Nobody says stop.
pub(super) fn never() -> Stop {
    tokio::sync::watch::channel(false).1
}

/// Says what went wrong.
pub(super) fn warn(context: &Context, reports: &[Report]) {
    for report in reports {
        let name = &report.sink;
        for answer in &report.refusals {
            context.ui.warn(format!("sink {name} refused: {}", visible(answer)));
        }
        for note in &report.notes {
            context.ui.warn(format!("sink {name}: {}", visible(note)));
        }
        if let Some(problem) = &report.problem {
            context.ui.warn(format!("sink {name}: {}", visible(problem)));
        }
    }
}

/// Says what became of everything: as JSON on standard output, else to people.
pub(super) fn show(context: &Context, reports: &[Report], format: OutputFormat) -> Result<(), CommandError> {
    warn(context, reports);
    if matches!(format, OutputFormat::Json | OutputFormat::Jsonl) {
        let mut data = context.ui.data();
        for report in reports {
            writeln!(data, "{}", json_text(&json(report))?)?;
        }
        data.flush()?;
    } else {
        reports.iter().for_each(|report| context.ui.say(line(report)));
    }
    Ok(())
}

/// The one-line summary of a sink.
pub(super) fn line(report: &Report) -> String {
    let mut text = format!(
        "{}: {} delivered, {} refused, {} pending",
        report.sink, report.delivered, report.refused, report.pending
    );
    if report.suppressed > 0 {
        text.push_str(&format!(", {} suppressed", report.suppressed));
    }
    if report.set_aside > 0 {
        text.push_str(&format!(" ({} refused before, `ship --retry-refused` sends them again)", report.set_aside));
    }
    text
}

pub(super) fn json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "sink": report.sink,
        "delivered": report.delivered,
        "refused": report.refused,
        "pending": report.pending,
        "suppressed": report.suppressed,
        "set_aside": report.set_aside,
        "batches": report.batches,
        "retries": report.retries,
        "bytes": report.bytes,
        "oldest_pending": report.oldest_pending.map(crate::alert::time_text),
        "problem": report.problem,
        "refusals": report.refusals,
    })
}

/// 1 if something did not arrive.
pub(super) fn exit_code(reports: &[Report]) -> u8 {
    u8::from(!reports.iter().all(Report::is_complete))
}
