//! `calltrail train`: learns from the lake what is normal, and whether that has moved.

use super::exit::CommandError;
use super::{Context, OutputFormat, score};
use crate::alert::visible;
use crate::config::units::When;
use crate::model::labels::{self, Labels};
use crate::model::{BEHAVIOUR, Drift, FEATURES, Lessons, Model, Reference, Tools, Training, alerted};
use crate::sink::encode::json_text;
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Drifts that are told one by one.
const TOLD: usize = 10;

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Where the model is written
    #[arg(long, value_name = "FILE", default_value = score::FILE)]
    out: PathBuf,
    /// Calls from this time on (RFC 3339, a date, or 24h, 7d ago)
    #[arg(long, value_parser = When::parse)]
    since: Option<When>,
    /// Calls up to this time
    #[arg(long, value_parser = When::parse)]
    until: Option<When>,
    /// Sessions that you know: one JSON object a line with `session_id`, `label` (benign or malicious) and, of a malicious one, `call_ids`
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Learn from sessions with alerts too
    #[arg(long)]
    with_alerted: bool,
    /// Compare later trainings with this one, not with the first
    #[arg(long)]
    new_reference: bool,
    /// Leave out what is peculiar to this lake: the model is for others
    #[arg(long)]
    portable: bool,
    /// Do not learn from a feature that means nothing here; `calltrail model show` names them
    #[arg(long, value_name = "FEATURE")]
    without: Vec<String>,
    /// What chance starts from: the same lake and seed give the same model
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(context: &Context, args: &TrainArgs) -> Result<u8, CommandError> {
    let started = Instant::now();
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let unknown = |name: &&String| !FEATURES.iter().chain(BEHAVIOUR).any(|(known, _)| known == name);
    if let Some(name) = args.without.iter().find(unknown) {
        return Err(CommandError::usage(format!(
            "--without: there is no feature `{name}`; `calltrail model show` names them"
        )));
    }
    let labels = args.labels.as_deref().map_or_else(|| Ok(Labels::new()), read_labels)?;
    let reference = if args.new_reference || args.portable { None } else { reference(context, &args.out) };
    let lake = context.open_lake()?;
    let session = context.session(&lake)?;
    let range = context.range(args.since, args.until)?;
    let (lessons, fitted, versions) = context.runtime.block_on(async {
        let ranged = session.for_rule(range).await?;
        let without = if args.with_alerted { HashSet::new() } else { alerted(&session).await? };
        let mut tools = Tools::read(&ranged).await?;
        let lessons = Lessons::read(&ranged, &mut tools, &without, &labels, args.seed)
            .await?
            .without(args.without.iter().cloned().collect());
        let fitted = lessons.fit(&tools, args.portable, |_| true);
        Ok::<_, CommandError>((lessons, fitted, lake.moment().await?.versions))
    })?;
    if fitted.sessions == 0 {
        return Err(CommandError::no_input(format!(
            "no session to learn from in the lake and range ({} left out because of alerts)",
            lessons.left_out
        )));
    }
    let missing = labels.keys().filter(|id| !lessons.sessions.iter().any(|lesson| lesson.session_id == **id)).count();
    if missing > 0 {
        context.ui.warn(format!("{missing} of {} labelled sessions are not in the lake and range", labels.len()));
    }
    if lessons.passed_over > 0 {
        context.ui.warn(format!(
            "{} sessions were passed over: there are too many calls. Narrow the range with --since",
            lessons.passed_over
        ));
    }
    let trained = Training { lake_versions: versions, ..Training::default() };
    let model = Model::new(&lessons, fitted, trained, reference, args.portable);
    std::fs::write(&args.out, model.to_json())
        .map_err(|cause| CommandError::failure(format!("cannot write `{}`: {cause}", args.out.display())))?;
    let seconds = started.elapsed().as_secs_f64();
    let (sessions, calls, left_out) = (model.trained.sessions, model.trained.calls, model.trained.left_out);
    tell_drift(context, &model);
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        let summary = json!({
            "model": model.id(), "sessions": sessions, "calls": calls, "left_out": left_out, "labelled": labels.len() - missing,
            "baseline": model.baseline.is_some(), "own_forest": model.own_forest, "drift": model.drift, "seconds": seconds,
        });
        writeln!(data, "{}", json_text(&summary)?)?;
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

fn read_labels(path: &Path) -> Result<Labels, CommandError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|cause| CommandError::usage(format!("cannot read the labels `{name}`: {cause}")))?;
    let wrong = |problems: Vec<String>| {
        problems.iter().map(|problem| format!("{name}: {problem}")).collect::<Vec<_>>().join("\n")
    };
    labels::parse(&text).map_err(|problems| CommandError::usage(wrong(problems)))
}

/// The window that the model in this file compares with.
fn reference(context: &Context, path: &Path) -> Option<Reference> {
    if !path.exists() {
        return None;
    }
    match Model::load(path) {
        Ok(model) => model.reference,
        Err(error) => {
            context.ui.warn(format!(
                "this training becomes the reference, because that of the old model cannot be had: {}",
                visible(&error.to_string())
            ));
            None
        }
    }
}

fn tell_drift(context: &Context, model: &Model) {
    if model.drift.is_empty() {
        return;
    }
    let since = model
        .reference
        .as_ref()
        .and_then(|reference| super::model::time(reference.until))
        .unwrap_or_else(|| "the reference window".to_owned());
    context.ui.warn(format!("what is normal has moved since {since}: look at this before you rely on the model, or accept it with --new-reference"));
    for Drift { agent, measure, distance, was, is, sessions } in model.drift.iter().take(TOLD) {
        let who = agent.as_deref().map_or_else(|| "all agents".to_owned(), |agent| format!("agent {}", visible(agent)));
        context.ui.warn(format!(
            "  {who}: {measure} was {was} and is {is} (medians of {sessions} sessions, distance {distance})"
        ));
    }
    if model.drift.len() > TOLD {
        context.ui.warn(format!("  … and {} more: --format json has them all", model.drift.len() - TOLD));
    }
}
