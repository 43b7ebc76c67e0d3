//! `calltrail score`: the strangest sessions, and whether promised rates hold.

use super::exit::CommandError;
use super::{Context, OutputFormat, ui};
use crate::alert::visible;
use crate::config::units::When;
use crate::model::calibration::{ENOUGH, benjamini_hochberg};
use crate::model::labels::Labels;
use crate::model::{
    Judged, Lessons, Model, ScoredSession, Scorer, Tools, Updated, alerted, builtin, builtin_id, judge, p_values,
    score_lake, store, update,
};
use crate::query::TimeRange;
use crate::sink::encode::json_text;
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where `train` writes the model and the other commands look for it.
pub(super) const FILE: &str = "calltrail-model.json";
/// Sessions that a table shows.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The model [default: as configured, calltrail-model.json if it is there, else the one that comes with the program]
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
    /// Show whether the promised rates hold: train on half of the sessions, count on the other, both ways
    #[arg(long)]
    check: bool,
    /// Ways to part the sessions in halves that --check takes the mean of, at most 40: what one says depends on which sessions fall into which half
    // Each way goes by another bit of a session's hash, and some bits are taken by the folds that training makes.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=40), requires = "check")]
    splits: u32,
}

/// The model that is named, that the configuration names, or that lies in this folder.
pub(super) fn load(context: &Context, path: Option<&Path>) -> Result<Option<Model>, CommandError> {
    let default = Path::new(FILE);
    let path = path.or(context.config.model.file.as_deref()).or_else(|| default.exists().then_some(default));
    path.map(|path| Model::load(path).map_err(|error| CommandError::usage(error.to_string()))).transpose()
}

pub(super) fn run(context: &Context, args: &ScoreArgs) -> Result<u8, CommandError> {
    let started = Instant::now();
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    for (name, value) in [("--alpha", args.alpha), ("--fdr", args.fdr.unwrap_or_default())] {
        if !(0.0..=1.0).contains(&value) {
            return Err(CommandError::usage(format!("{name} is a share between 0 and 1")));
        }
    }
    let range = context.range(args.since, args.until)?;
    if args.check {
        return check(context, range, format, args.splits);
    }
    let model = load(context, args.model.as_deref())?;
    let scored = score(context, model.as_ref(), range)?;
    let (judged, calls) = (&scored.judged, scored.judged.iter().map(|one| one.session.calls).sum::<usize>());
    let id = model.as_ref().map_or_else(builtin_id, Model::id);
    let p_values: Vec<f64> = judged.iter().map(|one| one.p_value).collect();
    let limit = args.fdr.map_or(Some(args.alpha), |q| benjamini_hochberg(&p_values, q));
    let found: Vec<&Judged> = judged
        .iter()
        .take_while(|one| limit.is_some_and(|limit| one.p_value <= limit))
        .filter(|one| one.session.score > 0.0)
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    let mut data = context.ui.data();
    match format {
        OutputFormat::Json => writeln!(
            data,
            "{}",
            json!({
                "model": id, "sessions": judged.len(), "calls": calls, "scored": scored.sessions, "scored_calls": scored.calls,
                "with_requests": scored.with_requests, "found": found.len(), "seconds": seconds,
            })
        )?,
        OutputFormat::Jsonl => {
            for one in &found {
                writeln!(data, "{}", json_text(&row(one))?)?;
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
        context.ui.say(format!(
            "{} sessions, {calls} calls ({} sessions scored anew), model {id}: {} found in {seconds:.1} s",
            judged.len(),
            scored.sessions,
            found.len()
        ));
        let history = model.as_ref().map(|model| model.normal.new.sessions(None));
        if let Some(history) = history.filter(|history| *history < ENOUGH) {
            context.ui.warn(format!(
                "only {history} sessions to compare with: p-values below {:.3} cannot occur",
                1.0 / (history as f64 + 1.0)
            ));
        }
    }
    Ok(0)
}

/// Scores what is new in the lake, or a range of it, which then is all that the table holds.
fn score(context: &Context, model: Option<&Model>, range: TimeRange) -> Result<Updated, CommandError> {
    let lake = context.signed(context.open_lake()?)?;
    let session = context.session(&lake)?;
    let notice = |text: &str| context.ui.say(visible(text));
    let patience = context.patience("score", &notice);
    let now_ms = ui::now().timestamp_millis();
    context.runtime.block_on(async {
        if range.is_everything() {
            return Ok(update(&lake, &patience, &session, model, now_ms).await?);
        }
        let ranged = session.for_rule(range).await?;
        let mut tools = Tools::read(&ranged).await?;
        let scorer = model.map_or_else(|| Scorer { forest: builtin(), ..Scorer::default() }, Model::scorer);
        let scored = score_lake(&ranged, &mut tools, scorer, None).await?;
        let (sessions, calls, with_requests) = (scored.sessions.len() as u64, scored.calls, scored.with_requests);
        let judged = judge(scored.sessions, model);
        store(&lake, &patience, &judged, &model.map_or_else(builtin_id, Model::id), now_ms).await?;
        Ok(Updated { judged, sessions, calls, with_requests })
    })
}

fn row(one: &Judged) -> serde_json::Value {
    let session = &one.session;
    let calls: Vec<_> = session
        .worst
        .iter()
        .map(|call| json!({"call_id": call.call_id, "number": call.number, "tool": call.tool, "score": call.score, "message": call.message, "reasons": call.reasons}))
        .collect();
    json!({
        "session_id": session.session_id, "agent": session.agent, "score": session.score, "p_value": one.p_value, "parts": session.parts, "calls": calls,
    })
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
    let nearest: Vec<String> =
        session.parts.nearest.iter().map(|(id, cosine)| format!("{} ({cosine:.2})", visible(id))).collect();
    if !nearest.is_empty() {
        writeln!(out, "        normal sessions that used tools most like it: {}", nearest.join(", "))?;
    }
    Ok(())
}

/// The p-values of each half of the sessions by a model of the other.
fn p_values_across(lessons: &Lessons, tools: &Tools, halves: &[bool]) -> Vec<f64> {
    let mut all = Vec::new();
    for seen in [false, true] {
        let in_half =
            |half: bool| lessons.sessions.iter().zip(halves).filter(move |(_, of)| **of == half).map(|(one, _)| one);
        let known: HashSet<&str> = in_half(seen).map(|lesson| lesson.session_id.as_str()).collect();
        let fitted = lessons.fit(tools, false, |session| known.contains(session));
        let unseen: Vec<ScoredSession> = in_half(!seen).map(|lesson| fitted.score(lesson)).collect();
        all.extend(p_values(&unseen, fitted.normal()));
    }
    all
}

/// Trains on half of the sessions and counts on the other half, both ways and for several ways to part them; then so that no kind of work is in both halves.
fn check(context: &Context, range: TimeRange, format: OutputFormat, splits: u32) -> Result<u8, CommandError> {
    let lake = context.open_lake()?;
    let session = context.session(&lake)?;
    let (lessons, tools) = context.runtime.block_on(async {
        let ranged = session.for_rule(range).await?;
        let without: HashSet<String> = alerted(&session).await?;
        let mut tools = Tools::read(&ranged).await?;
        let lessons = Lessons::read(&ranged, &mut tools, &without, &Labels::new(), 1).await?;
        Ok::<_, CommandError>((lessons, tools))
    })?;
    let mut data = context.ui.data();
    for unseen in ["sessions", "kinds"] {
        let halves = |way| if unseen == "kinds" { lessons.halves_of_kinds(way) } else { lessons.halves(way) };
        let all: Vec<f64> = (0..splits).flat_map(|way| p_values_across(&lessons, &tools, &halves(way))).collect();
        let sessions = all.len() / splits as usize;
        for promised in [0.01, 0.02, 0.05, 0.1] {
            let realised = all.iter().filter(|p| **p <= promised).count() as f64 / all.len().max(1) as f64;
            match format {
                OutputFormat::Table => writeln!(
                    data,
                    "promised {:>5.1} %   realised {:>6.2} %   of {sessions} sessions that training did not see{}",
                    100.0 * promised,
                    100.0 * realised,
                    if unseen == "kinds" { ", nor any of their kind" } else { "" }
                )?,
                _ => writeln!(
                    data,
                    "{}",
                    json!({"promised": promised, "realised": realised, "sessions": sessions, "splits": splits, "unseen": unseen})
                )?,
            }
        }
    }
    if format == OutputFormat::Table {
        context.ui.say(
            "Sessions are of one kind if they begin with the same request, or without requests with the same call. The promise is for sessions like those of the \
             training range: of the same kinds, or of new ones drawn as those were. It is none for agents, tools or work of another sort",
        );
    }
    if lessons.left_out > 0 && format == OutputFormat::Table {
        context.ui.say(format!("{} sessions with alerts are left out", lessons.left_out));
    }
    Ok(data.flush().map(|()| 0)?)
}
