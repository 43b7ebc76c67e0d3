//! `calltrail alerts`: what was found so far, and what of it nobody wants to see.

pub(super) mod suppress;

use super::detect::{level, load, style, write_alerts};
use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::alert::{Alert, Level, visible};
use crate::config::units::When;
use crate::detect::{Proof, RuleFrom, incidents_of, replay, stored};
use crate::lake::Lake;
use crate::sink::encode::{OcsfVersion, Options, json_text};
use crate::sink::{self, Encoding};
use clap::{Args, Subcommand};
use std::io::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum AlertsCommand {
    /// List alerts
    List(Selection),
    /// Show one alert with its calls
    Show {
        /// The alert's id, or its first digits
        id: String,
        /// Prove it again: run the rule of its hash over the lake as it was
        #[arg(long)]
        replay: bool,
    },
    /// List incidents: alerts that are one thing to look at, with their risk
    Incidents(IncidentArgs),
    /// Write alerts in the format of a SIEM, JSONL unless --format says otherwise
    Export(ExportArgs),
    /// Hide an alert, or those like it, for a stated reason and time
    Suppress(suppress::SuppressArgs),
    /// End a suppression that `alerts suppress` made
    Unsuppress(suppress::UnsuppressArgs),
    /// Say what each suppression and allow-list hides
    Suppressions,
}

#[derive(Debug, Args)]
pub(super) struct IncidentArgs {
    /// Incidents of this risk and above, from 0 to 100
    #[arg(long, value_name = "RISK", default_value_t = 0.0)]
    min_risk: f64,
    /// With their alerts
    #[arg(long)]
    alerts: bool,
}

#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Alerts from this time on (RFC 3339, a date, or 24h, 7d ago)
    #[arg(long, value_parser = When::parse)]
    since: Option<When>,
    /// Alerts up to this time
    #[arg(long, value_parser = When::parse)]
    until: Option<When>,
    /// Alerts from this level on
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    min_level: Option<Level>,
    /// Alerts of these rules
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// Suppressed ones too
    #[arg(long)]
    suppressed: bool,
    /// Superseded and resolved ones too
    #[arg(long)]
    history: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    selection: Selection,
    /// Version of OCSF events: 1.8.0 or 1.9.0
    #[arg(long, value_name = "VERSION", default_value = "1.8.0", value_parser = ocsf_version)]
    ocsf_version: OcsfVersion,
    /// The calls of each alert as events too (ocsf, hec, sumo, datadog, asim)
    #[arg(long)]
    calls: bool,
    /// Name of the machine that reports, in formats that have a place for it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Index of Splunk events or of a bulk request
    #[arg(long, value_name = "NAME")]
    index: Option<String>,
    /// Bytes that a message may have; a larger alert is cut and says so
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<usize>,
}

fn ocsf_version(text: &str) -> Result<OcsfVersion, String> {
    OcsfVersion::parse(text).ok_or_else(|| {
        format!("no such version; there are {}", OcsfVersion::ALL.map(OcsfVersion::as_str).join(" and "))
    })
}

pub(super) fn run(context: &Context, command: &AlertsCommand) -> Result<u8, CommandError> {
    if let AlertsCommand::Incidents(args) = command {
        return list_incidents(context, args);
    }
    let format = context.format(&OutputFormat::ALERTS)?;
    let lake = context.open_lake()?;
    let mut alerts = context.runtime.block_on(stored(&lake))?;
    context.runtime.block_on(sink::deliver::mark(&lake, &mut alerts))?;
    // What was decided since the alerts were stored counts too.
    crate::alert::suppress(&suppress::all(context, &lake)?, &mut alerts, super::ui::now());
    let (alerts, default) = match command {
        AlertsCommand::Suppress(args) => {
            return suppress::add(context, &lake, &one(alerts, args.alert())?, args);
        }
        AlertsCommand::Unsuppress(args) => return suppress::lift(context, &lake, args),
        AlertsCommand::Suppressions => return suppress::report(context, &lake, alerts),
        AlertsCommand::List(selection) => (select(context, alerts, selection)?, Encoding::Table),
        AlertsCommand::Export(args) => (select(context, alerts, &args.selection)?, Encoding::Jsonl),
        AlertsCommand::Incidents(_) => return Ok(0),
        AlertsCommand::Show { id, .. } => (vec![one(alerts, id)?], Encoding::Json),
    };
    if let (AlertsCommand::Show { replay: true, .. }, Some(alert)) = (command, alerts.first()) {
        return prove(context, &lake, alert);
    }
    let encoding = match (context.global.format, format) {
        (None, _) => default,
        _ => format.encoding().unwrap_or(default),
    };
    let options = match command {
        AlertsCommand::Export(args) => Options {
            ocsf_version: args.ocsf_version,
            calls: args.calls,
            host: args.host.clone(),
            index: args.index.clone(),
            max_bytes: args.max_bytes,
            ..Options::default()
        },
        _ => Options::default(),
    };
    write_alerts(context, &alerts, encoding, &options, None)?;
    Ok(0)
}

/// Lists incidents, the greatest risk first.
fn list_incidents(context: &Context, args: &IncidentArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    let lake = context.open_lake()?;
    let mut alerts = context.runtime.block_on(stored(&lake))?;
    alerts.retain(Alert::is_current);
    crate::alert::suppress(&suppress::all(context, &lake)?, &mut alerts, super::ui::now());
    let mut found = context.runtime.block_on(incidents_of(&lake, context.session_options(), &alerts))?;
    found.retain(|incident| incident.risk >= args.min_risk);
    let mut data = context.ui.data();
    match format {
        OutputFormat::Jsonl => {
            for incident in &found {
                writeln!(data, "{}", json_text(incident)?)?;
            }
        }
        OutputFormat::Json => writeln!(data, "{}", json_text(&found)?)?,
        _ => {
            let shown: std::collections::BTreeSet<&str> =
                found.iter().map(|incident| incident.incident_id.as_str()).filter(|_| args.alerts).collect();
            alerts.retain(|alert| alert.suppressed_by.is_none() && shown.contains(alert.incident_id.as_str()));
            let text = sink::encode::incident::encode(&found, &alerts, style(context), args.alerts);
            data.write_all(text.as_bytes())?;
        }
    }
    data.flush()?;
    Ok(0)
}

/// Runs the rule of an alert again as it ran then, and says whether it finds the same.
fn prove(context: &Context, lake: &Lake, alert: &Alert) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let rules = load(&context.config.detect.rules)?;
    let replay = context.runtime.block_on(replay(lake, &rules, context.session_options(), alert))?;
    let mut data = context.ui.data();
    if format == OutputFormat::Json {
        writeln!(data, "{}", json_text(&replay)?)?;
    } else {
        let versions: Vec<String> =
            replay.lake_versions.iter().map(|(table, version)| format!("{table} {version}")).collect();
        let text = match replay.rule_from {
            RuleFrom::Current => "its text today",
            RuleFrom::Lake => "its text as the lake keeps it",
            RuleFrom::Missing => "its text is not known",
        };
        writeln!(data, "rule     {} {} ({text})", visible(&replay.rule_id), visible(&replay.rule_version))?;
        writeln!(data, "lake     {}", visible(&versions.join(", ")))?;
        if replay.engine.as_deref() != Some(replay.engine_now) {
            let was = replay.engine.as_deref().unwrap_or("not known");
            writeln!(data, "program  {}; today {}", visible(was), replay.engine_now)?;
        }
        match &replay.result {
            Proof::Same => writeln!(data, "proved   the finding comes out the same")?,
            Proof::NotFound => writeln!(data, "refuted  the rule does not find it in the lake as it was")?,
            Proof::Differs { differences } => {
                writeln!(data, "differs  the rule finds it, but not everything is the same")?;
                for difference in differences {
                    let line = format!("{}: was {}, is {}", difference.column, difference.was, difference.is);
                    writeln!(data, "         {}", visible(&line))?;
                }
            }
            Proof::Impossible { reasons } => {
                writeln!(data, "unknown  it cannot be run again as it was")?;
                for reason in reasons {
                    writeln!(data, "         {}", visible(reason))?;
                }
            }
        }
    }
    data.flush()?;
    Ok(u8::from(replay.result != Proof::Same))
}

/// The alert whose id begins so.
fn one(alerts: Vec<Alert>, id: &str) -> Result<Alert, CommandError> {
    let mut found: Vec<Alert> = alerts.into_iter().filter(|alert| alert.alert_id.starts_with(id)).collect();
    match (found.len(), found.pop()) {
        (1, Some(alert)) => Ok(alert),
        (0, _) => Err(CommandError::usage(format!("no alert `{id}`: `calltrail alerts list` names them"))),
        (many, _) => Err(CommandError::usage(format!("{many} alerts begin with `{id}`: give more digits"))),
    }
}

fn select(context: &Context, alerts: Vec<Alert>, selection: &Selection) -> Result<Vec<Alert>, CommandError> {
    let range = context.range(selection.since, selection.until)?;
    let min_level = selection.min_level.unwrap_or(Level::Informational);
    let selected = alerts
        .into_iter()
        .filter(|alert| range.since.is_none_or(|since| alert.time() >= since))
        .filter(|alert| range.until.is_none_or(|until| alert.time() <= until))
        .filter(|alert| alert.finding.level >= min_level)
        .filter(|alert| selection.rules.is_empty() || selection.rules.contains(&alert.finding.rule_id))
        .filter(|alert| selection.history || alert.is_current())
        .filter(|alert| selection.suppressed || alert.suppressed_by.is_none());
    Ok(selected.collect())
}
