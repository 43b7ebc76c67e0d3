//! `calltrail run`: ingest, detect and ship as `calltrail.toml` says, once or, with `--every`, again and again.

use super::around::Around;
use super::daemon::{Metrics, serve};
use super::detect::{self, DetectArgs, Outcome};
use super::exit::CommandError;
use super::{Context, OutputFormat, ingest, ship, ui};
use crate::alert::Level;
use crate::config::units::parse_duration;
use crate::ingest::Summary;
use crate::sink::deliver::{OwnEvent, Report, Retried, Stop};
use crate::sink::encode::json_text;
use crate::visible::visible;
use clap::Args;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Input after which a long run commits.
const COMMIT_BYTES: u64 = 1 << 30;
/// Failed rules and unreadable inputs that a run tells sinks of, each.
const MAX_EVENTS: usize = 20;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// What to read in place of `ingest.paths`
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// File with the secret that mcp-audit signs its entries with
    #[arg(long, env = "CALLTRAIL_MCP_AUDIT_KEY_FILE", value_name = "FILE")]
    mcp_audit_key: Option<PathBuf>,
    /// Do it again and again, so long after the last beginning, until a signal ends it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    every: Option<Duration>,
    /// With --every: answer /healthz and /metrics at this address of the machine itself
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, requires = "every")]
    listen: Option<SocketAddr>,
    /// Ingest and detect only
    #[arg(long)]
    no_ship: bool,
    #[command(flatten)]
    detect: DetectArgs,
}

/// What one run did.
struct Done {
    ingested: Summary,
    ingest_seconds: f64,
    /// `None`: a signal came before.
    detected: Option<Outcome>,
    shipped: Vec<Report>,
}

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<u8, CommandError> {
    let format = context.format(&OutputFormat::ALERTS)?;
    if paths(context, args).is_empty() {
        return Err(CommandError::usage(
            "nothing to read: set `paths` under [ingest] in calltrail.toml, or name paths here",
        ));
    }
    // What is wrong with a sink shows before any work.
    ship::open(context, sinks(context, args)?)?;
    match args.every {
        Some(every) => again_and_again(context, args, every.max(Duration::from_secs(1)), format),
        None => {
            let stop = ship::never();
            let done = once(context, args, format, &stop)?;
            let code = exit_code(context, args, &done);
            show(context, &done, format)?;
            Ok(code)
        }
    }
}

fn paths<'a>(context: &'a Context, args: &'a RunArgs) -> &'a [String] {
    if args.paths.is_empty() { &context.config.ingest.paths } else { &args.paths }
}

fn sinks(context: &Context, args: &RunArgs) -> Result<Vec<crate::sink::deliver::Sink>, CommandError> {
    if args.no_ship { Ok(Vec::new()) } else { ship::chosen(context, &[]) }
}

/// One run; alerts are written out as soon as they are found.
fn once(context: &Context, args: &RunArgs, format: OutputFormat, stop: &Stop) -> Result<Done, CommandError> {
    let _span = tracing::info_span!("run").entered();
    let key = args.mcp_audit_key.as_deref();
    let around = Around::within(context, stop);
    let paths = paths(context, args);
    let found = ingest::found_at(context, paths)?;
    let (ingested, ingest_seconds) = ingest::ingest(context, &around, (paths, found), false, COMMIT_BYTES, key)?;
    if format != OutputFormat::Json {
        context.ui.say(ingest::line(&ingested, ingest_seconds));
    }
    // What was not read, or not looked at, is when the program runs again.
    if *stop.borrow() {
        return Ok(Done { ingested, ingest_seconds, detected: None, shipped: Vec::new() });
    }
    let detected = detect::detect_now(context, &args.detect, stop)?;
    detect::show(context, &args.detect, &detected, format)?;
    if format != OutputFormat::Json {
        context.ui.say(detect::line(&detected));
    }
    let events = events(context, &ingested, &detected)?;
    let shipped = ship_all(context, args, events, stop)?;
    Ok(Done { ingested, ingest_seconds, detected: Some(detected), shipped })
}

fn ship_all(
    context: &Context,
    args: &RunArgs,
    events: Vec<OwnEvent>,
    stop: &Stop,
) -> Result<Vec<Report>, CommandError> {
    let sinks = sinks(context, args)?;
    if sinks.is_empty() {
        return Ok(Vec::new());
    }
    ship::ship_now(context, ship::open(context, sinks)?, Retried::Pending, events, stop.clone())
}

fn show(context: &Context, done: &Done, format: OutputFormat) -> Result<(), CommandError> {
    if format != OutputFormat::Json {
        return ship::show(context, &done.shipped, OutputFormat::Table);
    }
    ship::warn(context, &done.shipped);
    let mut data = context.ui.data();
    let all = serde_json::json!({
        "ingest": ingest::json(&done.ingested, done.ingest_seconds),
        "detect": done.detected.as_ref().map(detect::json),
        "ship": done.shipped.iter().map(ship::json).collect::<Vec<_>>(),
    });
    writeln!(data, "{}", json_text(&all)?)?;
    Ok(data.flush()?)
}

/// A finding is what the caller waits for; an input that could not be read comes second, alerts that did not arrive third.
fn exit_code(context: &Context, args: &RunArgs, done: &Done) -> u8 {
    let codes = [
        done.detected.as_ref().map_or(0, |detected| detect::exit_code(context, &args.detect, detected)),
        ingest::exit_code(&done.ingested),
        ship::exit_code(&done.shipped),
    ];
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

/// Runs until a signal. A run that fails is told of and does not end the others; alerts that wait are shipped all the same.
fn again_and_again(
    context: &Context,
    args: &RunArgs,
    every: Duration,
    format: OutputFormat,
) -> Result<u8, CommandError> {
    let mut stop = ship::stop_on_signal(context)?;
    let metrics = Metrics::new(every);
    if let Some(address) = args.listen {
        let bound = serve(context, address, metrics.clone())
            .map_err(|cause| CommandError::failure(format!("cannot listen at {address}: {cause}")))?;
        context.ui.say(format!("listening at http://{bound}/healthz and /metrics"));
    }
    loop {
        let begun = ui::clock();
        match once(context, args, format, &stop) {
            Ok(done) => {
                metrics.ran(&done.ingested, done.detected.as_ref(), ui::unix_seconds());
                metrics.shipped(&done.shipped, ui::now());
                show(context, &done, format)?;
            }
            // Whoever waited for the lake was told to end.
            Err(error) if *stop.borrow() => context.ui.warn(visible(error.message())),
            Err(error) => {
                context.ui.warn(visible(error.message()));
                metrics.failed();
                let failed =
                    event("calltrail_run_failed", "CallTrail run failed", Level::High, error.message().to_owned());
                match ship_all(context, args, vec![failed], &stop) {
                    Ok(reports) => {
                        metrics.shipped(&reports, ui::now());
                        ship::show(context, &reports, OutputFormat::Table)?;
                    }
                    // There is no lake yet, or it cannot be had: said above.
                    Err(again) if again.message() == error.message() => {}
                    Err(again) => context.ui.warn(visible(again.message())),
                }
            }
        }
        let left = every.saturating_sub(ui::clock() - begun);
        let stopped = context.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(left) => *stop.borrow(),
                changed = stop.changed() => changed.is_ok(),
            }
        });
        if stopped || *stop.borrow() {
            context.ui.say("ended by a signal; what was not read or sent is when calltrail runs again");
            return Ok(0);
        }
    }
}

/// What sinks are told of the run itself: that it was, where the chain of changes stands, and what went wrong.
fn events(context: &Context, ingested: &Summary, detected: &Outcome) -> Result<Vec<OwnEvent>, CommandError> {
    if !context.config.sinks.iter().any(|setting| setting.sink.own_events) {
        return Ok(Vec::new());
    }
    let head = context.open_lake()?.head()?;
    let found = &detected.detected;
    let at = head.as_ref().map_or_else(|| "no chain yet".to_owned(), |head| format!("chain head {head}"));
    let text = format!("{} calls read, {} new alerts, {at}", ingested.calls, found.new.len());
    let mut run = event("calltrail_run", "CallTrail run", Level::Informational, text);
    run.evidence = [
        ("calls", ingested.calls),
        ("rejects", ingested.rejects),
        ("alerts", found.alerts.len() as u64),
        ("new_alerts", found.new.len() as u64),
        ("failed_rules", found.failed.len() as u64),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count.into()))
    .collect();
    if let Some(head) = head {
        run.evidence.insert("chain_number".to_owned(), head.number.into());
        run.evidence.insert("chain_head".to_owned(), head.hash.into());
    }
    let mut events = vec![run];
    events.extend(
        found
            .failed
            .iter()
            .take(MAX_EVENTS)
            .map(|failed| event("calltrail_rule_failed", "CallTrail rule failed", Level::Medium, failed.to_string())),
    );
    if ingested.rejects > 0 {
        let text = format!("{} records could not be read as calls: see the table `rejects`", ingested.rejects);
        events.push(event("calltrail_input_rejected", "CallTrail rejected input", Level::Low, text));
    }
    let unread = ingested.unknown.iter().chain(&ingested.failures).take(MAX_EVENTS);
    events.extend(unread.map(|input| {
        let text = format!("{}: {}", input.path, input.cause);
        event("calltrail_input_unreadable", "CallTrail could not read an input", Level::Medium, text)
    }));
    Ok(events)
}

fn event(id: &'static str, title: &'static str, level: Level, message: String) -> OwnEvent {
    OwnEvent { id, title, level, time: ui::now(), message, evidence: serde_json::Map::new() }
}

/// An address that only this machine can reach: what is served there is not encrypted and asks nobody who they are.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("this address can be reached from other machines; use 127.0.0.1 or [::1]".to_owned()),
        Err(_) => Err("write it like 127.0.0.1:9464".to_owned()),
    }
}
