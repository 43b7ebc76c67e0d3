//! `calltrail train`, `calltrail score`, `calltrail model`: the behaviour model.

use super::exit::CommandError;
use super::{Context, OutputFormat, ui};
use crate::alert::visible;
use crate::config::units::When;
use crate::model::calibration::{Calibration, benjamini_hochberg};
use crate::model::{
    FEATURES, Forest, Judged, Model, Sample, Scored, Tools, Training, alerted, builtin, judge, score_lake, store,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where `train` writes the model and `score` looks for it.
const FILE: &str = "calltrail-model.json";
/// Sessions that a forest of one's own needs.
const OWN_FOREST: usize = 300;
/// Sessions that a table shows.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Where the model is written
    #[arg(long, value_name = "FILE", default_value = FILE)]
    out: PathBuf,
    /// Calls from this time on (RFC 3339, a date, or 24h, 7d ago)
    #[arg(long, value_parser = When::parse)]
    since: Option<When>,
    /// Calls up to this time
    #[arg(long, value_parser = When::parse)]
    until: Option<When>,
    /// Learn from sessions with alerts too
    #[arg(long)]
    with_alerted: bool,
    /// What chance starts from: the same lake and seed give the same model
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The model [default: calltrail-model.json if it is there, else sessions are compared with each other]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Calls from this time on (RFC 3339, a date, or 24h, 7d ago)
    #[arg(long, value_parser = When::parse)]
    since: Option<When>,
    /// Calls up to this time
    #[arg(long, value_parser = When::parse)]
    until: Option<When>,
    /// Show sessions with a p-value up to this: the share of normal sessions that may be shown
    #[arg(long, value_name = "P", default_value_t = 0.01)]
    alpha: f64,
    /// Show as many sessions as keep the false-discovery rate (in place of --alpha)
    #[arg(long, value_name = "Q", conflicts_with = "alpha")]
    fdr: Option<f64>,
    /// Show whether the promised rates hold: calibrate on half of the sessions, count on the other
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Show what a model has learned and what its features are
    Show {
        /// The model
        #[arg(default_value = FILE)]
        file: PathBuf,
    },
}

pub(super) fn train(context: &Context, args: &TrainArgs) -> Result<u8, CommandError> {
    let started = Instant::now();
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let lake = context.open_lake()?;
    let session = context.session(&lake)?;
    let range = context.range(args.since, args.until);
    let (forest, mut scored, without, versions) = context.runtime.block_on(async {
        let ranged = session.for_rule(range).await?;
        let without = if args.with_alerted { HashSet::new() } else { alerted(&session).await? };
        let mut tools = Tools::read(&ranged).await?;
        let mut sample = Sample::new(args.seed);
        score_lake(&ranged, &mut tools, None, Some((&mut sample, &without))).await?;
        let enough = sample.sessions() >= OWN_FOREST;
        let forest = enough.then(|| Forest::fit(&sample.examples(&tools.verbs), args.seed)).flatten();
        let fitting = match &forest {
            Some(own) => Some(own),
            None => builtin(),
        };
        let scored = score_lake(&ranged, &mut tools, fitting, None).await?;
        Ok::<_, CommandError>((forest, scored, without, lake.moment().await?.versions))
    })?;
    let all = scored.sessions.len();
    scored.sessions.retain(|session| !without.contains(&session.session_id));
    let left_out = (all - scored.sessions.len()) as u64;
    if scored.sessions.is_empty() {
        return Err(CommandError::no_input(format!(
            "no session to learn from in the lake and range ({left_out} left out because of alerts)"
        )));
    }
    let model = Model::train(&scored, Training { left_out, lake_versions: versions, ..Training::default() }, forest);
    std::fs::write(&args.out, model.to_json())
        .map_err(|cause| CommandError::failure(format!("cannot write `{}`: {cause}", args.out.display())))?;
    let seconds = started.elapsed().as_secs_f64();
    let (sessions, calls) = (model.trained.sessions, model.trained.calls);
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        let summary = json!({"model": model.id(), "sessions": sessions, "calls": calls, "left_out": left_out, "seconds": seconds});
        writeln!(data, "{summary}")?;
        data.flush()?;
    } else {
        context.ui.say(format!(
            "model {} of {sessions} sessions, {calls} calls ({left_out} sessions with alerts left out) in `{}`, {seconds:.1} s",
            model.id(),
            args.out.display()
        ));
    }
    Ok(0)
}

pub(super) fn score(context: &Context, args: &ScoreArgs) -> Result<u8, CommandError> {
    let started = Instant::now();
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    for (name, value) in [("--alpha", args.alpha), ("--fdr", args.fdr.unwrap_or_default())] {
        if !(0.0..=1.0).contains(&value) {
            return Err(CommandError::usage(format!("{name} is a share between 0 and 1")));
        }
    }
    let model = load(args.model.as_deref())?;
    let lake = context.signed(context.open_lake()?)?;
    let session = context.session(&lake)?;
    let range = context.range(args.since, args.until);
    let forest = match &model {
        Some(model) => model.forest.as_ref(),
        None => builtin(),
    };
    let scored = context.runtime.block_on(async {
        let ranged = session.for_rule(range).await?;
        let mut tools = Tools::read(&ranged).await?;
        Ok::<_, CommandError>(score_lake(&ranged, &mut tools, forest, None).await?)
    })?;
    if args.check {
        return check(context, &scored, format);
    }
    let (calls, with_requests) = (scored.calls, scored.with_requests);
    let own;
    let (calibration, id) = match &model {
        Some(model) => (&model.calibration, model.id()),
        None => {
            own = Calibration::new(scored.sessions.iter().map(|session| (session.agent.clone(), session.score)));
            (&own, "built-in".to_owned())
        }
    };
    let history = calibration.sessions(None);
    let judged = judge(scored, calibration);
    let notice = |text: &str| context.ui.say(visible(text));
    let patience = context.patience("score", &notice);
    context.runtime.block_on(store(&lake, &patience, &judged, &id, ui::now().timestamp_millis()))?;
    let p_values: Vec<f64> = judged.iter().map(|one| one.p_value).collect();
    let limit = args.fdr.map_or(Some(args.alpha), |q| benjamini_hochberg(&p_values, q));
    let found: Vec<&Judged> = judged
        .iter()
        .take_while(|one| limit.is_some_and(|limit| one.p_value <= limit) && one.session.score > 0.0)
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    let mut data = context.ui.data();
    match format {
        OutputFormat::Json => writeln!(
            data,
            "{}",
            json!({"model": id, "history": history, "sessions": judged.len(), "calls": calls, "with_requests": with_requests, "found": found.len(), "seconds": seconds})
        )?,
        OutputFormat::Jsonl => {
            for one in &found {
                writeln!(data, "{}", crate::visible::escape_json(row(one).to_string()))?;
            }
        }
        _ => {
            for one in found.iter().take(SHOWN) {
                print(&mut data, one)?;
            }
            if found.len() > SHOWN {
                writeln!(
                    data,
                    "… and {} more: SELECT * FROM scores WHERE subject = 'session' ORDER BY p_value",
                    found.len() - SHOWN
                )?;
            }
        }
    }
    data.flush()?;
    if format != OutputFormat::Json {
        let against =
            if model.is_some() { format!("{history} sessions of model {id}") } else { "each other".to_owned() };
        context.ui.say(format!(
            "{} sessions, {calls} calls, compared with {against}: {} found in {seconds:.1} s",
            judged.len(),
            found.len()
        ));
        if history < crate::model::calibration::ENOUGH {
            context.ui.warn(format!(
                "only {history} sessions to compare with: p-values below {:.3} cannot occur",
                1.0 / (history as f64 + 1.0)
            ));
        }
    }
    Ok(0)
}

/// The model that is named, or the one that lies in this folder.
fn load(path: Option<&Path>) -> Result<Option<Model>, CommandError> {
    let default = Path::new(FILE);
    let path = path.or_else(|| default.exists().then_some(default));
    path.map(|path| Model::load(path).map_err(|error| CommandError::usage(error.to_string()))).transpose()
}

fn row(one: &Judged) -> serde_json::Value {
    let session = &one.session;
    let calls: Vec<_> = session
        .worst
        .iter()
        .map(|call| json!({"call_id": call.call_id, "number": call.number, "tool": call.tool, "score": call.score, "message": call.message, "reasons": call.reasons}))
        .collect();
    json!({"session_id": session.session_id, "agent": session.agent, "score": session.score, "p_value": one.p_value, "calls": calls})
}

fn print(out: &mut impl std::io::Write, one: &Judged) -> std::io::Result<()> {
    let session = &one.session;
    let agent = session.agent.as_deref().unwrap_or("unknown agent");
    writeln!(
        out,
        "p {:.4}  score {:.2}  session {}  ({}, {} calls)",
        one.p_value,
        session.score,
        visible(&session.session_id),
        visible(agent),
        session.calls
    )?;
    for call in session.worst.iter().take(3) {
        writeln!(out, "  {:.2}  call {}: {}", call.score, call.number, visible(&call.message))?;
    }
    Ok(())
}

/// Calibrates on half of the sessions and counts on the other half, both ways.
fn check(context: &Context, scored: &Scored, format: OutputFormat) -> Result<u8, CommandError> {
    let half = |session: &str| blake3::hash(session.as_bytes()).as_bytes()[31] & 1 == 0;
    let mut p_values = Vec::new();
    for seen in [false, true] {
        let (of_seen, of_unseen): (Vec<_>, Vec<_>) =
            scored.sessions.iter().cloned().partition(|session| half(&session.session_id) == seen);
        let calibration = Calibration::new(of_seen.into_iter().map(|session| (session.agent, session.score)));
        p_values.extend(
            judge(Scored { sessions: of_unseen, ..Scored::default() }, &calibration).into_iter().map(|one| one.p_value),
        );
    }
    let rows: Vec<(f64, f64)> = [0.01, 0.02, 0.05, 0.1]
        .into_iter()
        .map(|promised| {
            (promised, p_values.iter().filter(|p| **p <= promised).count() as f64 / p_values.len().max(1) as f64)
        })
        .collect();
    let mut data = context.ui.data();
    for (promised, realised) in rows {
        match format {
            OutputFormat::Table => writeln!(
                data,
                "promised {:>5.1} %   realised {:>6.2} %   of {} sessions",
                100.0 * promised,
                100.0 * realised,
                p_values.len()
            )?,
            _ => writeln!(data, "{}", json!({"promised": promised, "realised": realised, "sessions": p_values.len()}))?,
        }
    }
    Ok(data.flush().map(|()| 0)?)
}

pub(super) fn model(context: &Context, command: &ModelCommand) -> Result<u8, CommandError> {
    let ModelCommand::Show { file } = command;
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let model = Model::load(file).map_err(|error| CommandError::usage(error.to_string()))?;
    let quantiles: Vec<(f64, f64)> =
        [0.5, 0.9, 0.95, 0.99, 0.999].into_iter().map(|q| (q, model.calibration.quantile(q))).collect();
    let mut data = context.ui.data();
    if format == OutputFormat::Json {
        let groups: Vec<_> =
            model.calibration.groups().map(|(agent, sessions)| json!({"agent": agent, "sessions": sessions})).collect();
        writeln!(
            data,
            "{}",
            json!({"model": model.id(), "trained": model.trained, "agents": groups, "quantiles": quantiles})
        )?;
        return Ok(data.flush().map(|()| 0)?);
    }
    let trained = &model.trained;
    let time = |micros: Option<i64>| {
        micros
            .and_then(chrono::DateTime::from_timestamp_micros)
            .map_or_else(|| "unknown".to_owned(), |time| time.to_rfc3339())
    };
    writeln!(data, "model      {}", model.id())?;
    writeln!(
        data,
        "calls      {} of {} sessions, {} to {}",
        trained.calls,
        trained.sessions,
        time(trained.since),
        time(trained.until)
    )?;
    let nodes = model.forest.as_ref().map_or(0, Forest::size);
    let from = if model.own_forest { "grown on this lake" } else { "built in: too few sessions for one of its own" };
    writeln!(data, "forest     {nodes} nodes, {from}")?;
    writeln!(data, "left out   {} sessions with alerts", trained.left_out)?;
    for (q, score) in quantiles {
        writeln!(data, "score      {:>5.1} % of sessions have {score:.3} or less", 100.0 * q)?;
    }
    for (agent, sessions) in model.calibration.groups() {
        writeln!(data, "agent      {} is compared with its own {sessions} sessions", visible(agent))?;
    }
    for (name, meaning) in FEATURES {
        writeln!(data, "feature    {name}: {meaning}")?;
    }
    Ok(data.flush().map(|()| 0)?)
}
