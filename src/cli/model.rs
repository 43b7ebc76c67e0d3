//! `calltrail model`: what a model has learned.

use super::exit::CommandError;
use super::{Context, OutputFormat, score};
use crate::alert::visible;
use crate::model::{BEHAVIOUR, FEATURES, Forest, builtin_model};
use crate::sink::encode::json_text;
use clap::Subcommand;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Show what a model has learned and what its features are
    Show {
        /// The model [default: as configured, calltrail-model.json if it is there, else the one that comes with the program]
        file: Option<PathBuf>,
    },
}

/// Shares of the sessions whose greatest score is shown.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// A time as people read it.
pub(super) fn time(micros: Option<i64>) -> Option<String> {
    micros
        .and_then(chrono::DateTime::from_timestamp_micros)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

pub(super) fn run(context: &Context, command: &ModelCommand) -> Result<u8, CommandError> {
    let ModelCommand::Show { file } = command;
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let loaded = score::load(context, file.as_deref())?;
    let builtin = || builtin_model().ok_or_else(|| CommandError::failure("the program comes without a model"));
    let model = loaded.as_ref().map_or_else(builtin, Ok)?;
    let quantiles: Vec<(f64, f64)> = QUANTILES.into_iter().zip(model.normal.new.quantiles(QUANTILES)).collect();
    let sizes = model.baseline.as_ref().map(|baseline| baseline.sizes());
    let mut data = context.ui.data();
    if format == OutputFormat::Json {
        let groups: Vec<_> =
            model.normal.new.groups().map(|(agent, sessions)| json!({"agent": agent, "sessions": sessions})).collect();
        let reference = model.reference.as_ref().map(|reference| json!({"since": time(reference.since), "until": time(reference.until), "sessions": reference.sessions}));
        let text = json!({"model": model.id(), "trained": model.trained, "agents": groups, "quantiles": quantiles, "baseline": sizes, "reference": reference});
        writeln!(data, "{}", json_text(&text)?)?;
        return Ok(data.flush().map(|()| 0)?);
    }
    let trained = &model.trained;
    let text = |micros| time(micros).unwrap_or_else(|| "unknown".to_owned());
    writeln!(data, "model      {}{}", model.id(), if loaded.is_none() { ", comes with the program" } else { "" })?;
    writeln!(
        data,
        "calls      {} of {} sessions, {} to {}",
        trained.calls,
        trained.sessions,
        text(trained.since),
        text(trained.until)
    )?;
    let nodes = model.forest.as_ref().map_or(0, Forest::size);
    let from =
        if model.own_forest { "grown on its own sessions" } else { "built in: too few sessions for one of its own" };
    writeln!(data, "forest     {nodes} nodes, {from}")?;
    match sizes {
        Some([sessions, contexts, scopes, measures, landmarks]) => writeln!(
            data,
            "baseline   {sessions} sessions: {contexts} contexts of calls, {scopes} sets of tools, hosts and arguments, {measures} usual sizes, {landmarks} sessions kept"
        )?,
        None => writeln!(
            data,
            "baseline   none: it takes {} sessions, and a model for other lakes has none",
            crate::model::baseline::ENOUGH
        )?,
    }
    if let Some(reference) = &model.reference {
        writeln!(
            data,
            "reference  {} sessions, {} to {}",
            reference.sessions,
            text(reference.since),
            text(reference.until)
        )?;
    }
    writeln!(data, "left out   {} sessions with alerts", trained.left_out)?;
    for (q, score) in quantiles {
        writeln!(data, "score      {:>5.1} % of sessions have {score:.3} or less", 100.0 * q)?;
    }
    for (agent, sessions) in model.normal.new.groups() {
        writeln!(data, "agent      {} is compared with its own {sessions} sessions", visible(agent))?;
    }
    for (name, meaning) in FEATURES {
        writeln!(data, "feature    {name}: {meaning}")?;
    }
    for (name, meaning) in BEHAVIOUR {
        writeln!(data, "behaviour  {name}: {meaning}")?;
    }
    Ok(data.flush().map(|()| 0)?)
}
