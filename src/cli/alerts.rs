//! `calltrail alerts`: what was found so far.

use super::detect::{level, write_alerts};
use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::alert::{Alert, Level};
use crate::config::units::When;
use crate::detect::stored;
use crate::sink::Encoding;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum AlertsCommand {
    /// List alerts
    List(Selection),
    /// Show one alert with its calls
    Show {
        /// The alert's id, or its first digits
        id: String,
    },
    /// Write alerts as JSONL or OCSF
    Export(Selection),
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

pub(super) fn run(context: &Context, command: &AlertsCommand) -> Result<u8, CommandError> {
    let known = [OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl, OutputFormat::Ocsf];
    let format = context.format(&known)?;
    let lake = context.open_lake()?;
    let alerts = context.runtime.block_on(stored(&lake))?;
    let (alerts, default) = match command {
        AlertsCommand::List(selection) => (select(context, alerts, selection), Encoding::Table),
        AlertsCommand::Export(selection) => (select(context, alerts, selection), Encoding::Jsonl),
        AlertsCommand::Show { id } => {
            let found: Vec<Alert> =
                alerts.into_iter().filter(|alert| alert.alert_id.starts_with(id.as_str())).collect();
            match found.len() {
                0 => return Err(CommandError::usage(format!("no alert `{id}`: `calltrail alerts list` names them"))),
                1 => {}
                many => return Err(CommandError::usage(format!("{many} alerts begin with `{id}`: give more digits"))),
            }
            (found, Encoding::Json)
        }
    };
    let encoding = match (context.global.format, format) {
        (None, _) => default,
        (_, OutputFormat::Json) => Encoding::Json,
        (_, OutputFormat::Jsonl) => Encoding::Jsonl,
        (_, OutputFormat::Ocsf) => Encoding::Ocsf,
        _ => Encoding::Table,
    };
    write_alerts(context, &alerts, encoding, None)?;
    Ok(0)
}

fn select(context: &Context, alerts: Vec<Alert>, selection: &Selection) -> Vec<Alert> {
    let range = context.range(selection.since, selection.until);
    let min_level = selection.min_level.unwrap_or(Level::Informational);
    alerts
        .into_iter()
        .filter(|alert| range.since.is_none_or(|since| alert.time() >= since))
        .filter(|alert| range.until.is_none_or(|until| alert.time() <= until))
        .filter(|alert| alert.finding.level >= min_level)
        .filter(|alert| selection.rules.is_empty() || selection.rules.contains(&alert.finding.rule_id))
        .filter(|alert| selection.history || alert.is_current())
        .filter(|alert| selection.suppressed || alert.suppressed_by.is_none())
        .collect()
}
