//! `calltrail detect`: rules over the lake → alerts.

use super::exit::CommandError;
use super::{Context, OutputFormat, score, settings, ship, ui};
use crate::alert::{Alert, Level, visible};
use crate::config::units::When;
use crate::detect::{
    Detected, Effort, MODEL_RULE, ModelDetector, Profile, Request, Standing, detect, incidents, rule_detectors,
};
use crate::lake::Patience;
use crate::model::{Budget, Model, builtin_id, update};
use crate::query::{SessionOptions, TimeLimit, TimeRange};
use crate::rule::RuleSet;
use crate::sink::deliver::Stop;
use crate::sink::encode::{Options, table};
use crate::sink::{self, Encoding};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Default, Args)]
pub(super) struct DetectArgs {
    /// Further folders of rules
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Run only these rules; `behaviour_model` is the model
    #[arg(long = "rule", value_name = "ID")]
    only: Vec<String>,
    /// Calls from this time on (RFC 3339, a date, or 24h, 7d ago)
    #[arg(long, value_parser = When::parse)]
    since: Option<When>,
    /// Calls up to this time
    #[arg(long, value_parser = When::parse)]
    until: Option<When>,
    /// Run every rule over everything again, not only over what is new
    #[arg(long, conflicts_with_all = ["since", "until"])]
    full: bool,
    /// Say what each rule cost: time, rows read, memory
    #[arg(long)]
    profile: bool,
    /// Leave the behaviour model out
    #[arg(long)]
    no_model: bool,
    /// Show alerts from this level on
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    min_level: Option<Level>,
    /// Exit with 10-14 if there is an alert at or above this level
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    fail_on: Option<Level>,
    /// Show known alerts again, not only new ones
    #[arg(long)]
    all: bool,
}

/// Reads a level's name.
pub(super) fn level(text: &str) -> Result<Level, String> {
    Level::parse(text).ok_or_else(|| "one of informational, low, medium, high, critical".to_owned())
}

/// Result of a run, for `detect` and `run`.
pub(super) struct Outcome {
    pub(super) detected: Detected,
    pub(super) rules: usize,
    pub(super) seconds: f64,
}

pub(super) fn run(context: &Context, args: &DetectArgs) -> Result<u8, CommandError> {
    let format = context.format(&OutputFormat::ALERTS)?;
    let outcome = detect_now(context, args, &ship::never())?;
    show(context, args, &outcome, format)?;
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        let mut summary = json(&outcome);
        if args.profile {
            summary["profile"] = profile_json(&outcome).into();
        }
        writeln!(data, "{summary}")?;
        data.flush()?;
    } else {
        if args.profile {
            show_profile(context, &outcome);
        }
        context.ui.say(line(&outcome));
    }
    Ok(exit_code(context, args, &outcome))
}

/// Loads the rules as configured, runs them and keeps what is new.
pub(super) fn detect_now(context: &Context, args: &DetectArgs, stop: &Stop) -> Result<Outcome, CommandError> {
    let _span = tracing::info_span!("detect").entered();
    let started = Instant::now();
    let config = &context.config;
    let dirs: Vec<PathBuf> = config.detect.rules.iter().chain(&args.rules).cloned().collect();
    let rules = load(&dirs)?;
    let unknown = args.only.iter().filter(|id| rules.get(id).is_none() && *id != MODEL_RULE);
    let mut problems: Vec<String> =
        unknown.map(|id| format!("no rule `{id}`: `calltrail rules list` names them")).collect();
    let params = settings::params(config, &rules).unwrap_or_else(|found| {
        problems.extend(found);
        crate::rule::Params::default()
    });
    if !problems.is_empty() {
        return Err(CommandError::usage(problems.join("\n")));
    }
    let is_on = |id: &str| config.rules.get(id).is_none_or(|setting| setting.enabled);
    let ids = rules.rules().iter().map(|rule| rule.header.id.clone());
    let (on, off): (BTreeSet<String>, BTreeSet<String>) = ids.partition(|id| is_on(id));
    let rules = rules.filtered(|rule| {
        let id = &rule.header.id;
        is_on(id) && (args.only.is_empty() || args.only.contains(id))
    });
    let levels = config.rules.iter().filter_map(|(id, setting)| Some((id.clone(), setting.level?))).collect();
    let mut detectors = rule_detectors(&rules, &params, &levels);
    // Who names rules wants these and nothing else.
    let is_named = args.only.is_empty() || args.only.iter().any(|id| id == MODEL_RULE);
    let model = (config.model.enabled && !args.no_model && is_named).then(|| score::load(context, None)).transpose()?;
    let range: TimeRange = context.range(args.since.or(config.detect.since), args.until.or(config.detect.until))?;
    let lake = context.signed(context.open_lake()?)?;
    let suppressions = super::alerts::suppress::all(context, &lake)?;
    let notice = |text: &str| context.ui.say(visible(text));
    let request = Request {
        range,
        full: args.full,
        rules: args.only.is_empty().then_some(Standing { on: &on, off: &off, dirs: &dirs }),
        session: SessionOptions {
            memory_limit: usize::try_from(config.query.memory_limit).ok(),
            rule_time: Some(TimeLimit { limit: config.detect.rule_timeout, clock: ui::clock }),
            ..SessionOptions::default()
        },
        suppressions: &suppressions,
        now: ui::now(),
        clock: ui::clock,
        cancelled: &|| *stop.borrow(),
    };
    let patience = Patience { cancelled: request.cancelled, ..context.patience("detect", &notice) };
    let now_ms = request.now.timestamp_millis();
    context.runtime.block_on(crate::lineage::update(&lake, &patience, now_ms))?;
    if let Some(model) = &model {
        let session = context.session(&lake)?;
        context.runtime.block_on(update(&lake, &patience, &session, model.as_ref(), now_ms))?;
        detectors.push(Arc::new(ModelDetector {
            model_id: model.as_ref().map_or_else(builtin_id, Model::id),
            budget: Budget {
                per_day: config.model.false_alarms_per_day,
                false_discovery_rate: config.model.false_discovery_rate,
                rate: config.model.false_alarm_rate,
            },
            sessions_per_day: model.as_ref().map(Model::sessions_per_day),
        }));
    }
    let detected = context.runtime.block_on(detect(&lake, &patience, &detectors, request))?;
    for failed in &detected.failed {
        context.ui.warn(visible(&failed.to_string()));
    }
    for id in &detected.suppressions.expired {
        context.ui.warn(format!("suppression `{}` has expired and hides nothing", visible(id)));
    }
    Ok(Outcome { detected, rules: rules.len(), seconds: started.elapsed().as_secs_f64() })
}

/// Loads rules or says everything that is wrong with them.
pub(super) fn load(dirs: &[PathBuf]) -> Result<RuleSet, CommandError> {
    RuleSet::load(dirs, true).map_err(|problems| {
        CommandError::usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Writes the alerts that are asked for.
pub(super) fn show(
    context: &Context,
    args: &DetectArgs,
    outcome: &Outcome,
    format: OutputFormat,
) -> Result<(), CommandError> {
    let min_level = args.min_level.unwrap_or(context.config.detect.min_level);
    let shown: Vec<Alert> = outcome
        .detected
        .alerts
        .iter()
        .filter(|alert| alert.suppressed_by.is_none() && alert.finding.level >= min_level)
        .filter(|alert| args.all || outcome.detected.new.contains(&alert.alert_id))
        .cloned()
        .collect();
    let configured = &context.config.output;
    let encoding = match (format, context.global.format, configured.format) {
        (_, None, Some(encoding)) => encoding,
        (OutputFormat::Jsonl, ..) => Encoding::Jsonl,
        (OutputFormat::Of(encoding), ..) => encoding,
        // `--format json` asks for the summary on standard output; alerts are left to `alerts export` or a file.
        (OutputFormat::Json, ..) if configured.file.is_none() => return Ok(()),
        (OutputFormat::Json, _, configured) => configured.unwrap_or(Encoding::Json),
        _ => Encoding::Table,
    };
    if encoding == Encoding::Table && configured.file.is_none() && !shown.is_empty() {
        let lake = context.open_lake()?;
        let incidents = context.runtime.block_on(incidents(&context.session(&lake)?))?;
        let text = sink::encode::incident::encode(&incidents, &shown, style(context), true);
        let mut out = context.ui.data();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    }
    write_alerts(context, &shown, encoding, &Options::default(), configured.file.as_deref())
}

/// How tables look on standard output.
pub(super) fn style(context: &Context) -> table::Style {
    table::Style { width: context.ui.width().unwrap_or(110), color: context.ui.colors() }
}

/// What each rule cost, the slowest first.
fn show_profile(context: &Context, outcome: &Outcome) {
    let mut profile: Vec<&Profile> = outcome.detected.profile.iter().collect();
    profile.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)).then(a.id.cmp(&b.id)));
    context.ui.say(format!(
        "{:<40} {:>8} {:>8} {:>10} {:>8} {:>8}",
        "rule", "seconds", "compute", "rows read", "MiB", "findings"
    ));
    for of_rule in profile {
        let id = visible(&of_rule.id);
        context.ui.say(match of_rule.ran {
            Some(Effort { seconds, cost }) => format!(
                "{id:<40} {seconds:>8.3} {:>8.3} {:>10} {:>8.1} {:>8}",
                cost.compute_seconds,
                cost.rows_read,
                cost.peak_bytes as f64 / f64::from(1 << 20),
                of_rule.findings
            ),
            None => format!("{id:<40} {:>8} {:>8} {:>10} {:>8} {:>8}", "-", "-", "-", "-", of_rule.findings),
        });
    }
}

fn seconds(of_rule: &Profile) -> f64 {
    of_rule.ran.map_or(0.0, |effort| effort.seconds)
}

fn profile_json(outcome: &Outcome) -> Vec<serde_json::Value> {
    let of_rule = |of_rule: &Profile| {
        let cost = of_rule.ran.map(|effort| effort.cost);
        serde_json::json!({
            "rule": of_rule.id,
            "ran": of_rule.ran.is_some(),
            "seconds": of_rule.ran.map(|effort| effort.seconds),
            "compute_seconds": cost.map(|cost| cost.compute_seconds),
            "rows_read": cost.map(|cost| cost.rows_read),
            "peak_bytes": cost.map(|cost| cost.peak_bytes),
            "findings": of_rule.findings,
        })
    };
    outcome.detected.profile.iter().map(of_rule).collect()
}

/// Writes alerts to a file, or to standard output.
pub(super) fn write_alerts(
    context: &Context,
    alerts: &[Alert],
    encoding: Encoding,
    options: &Options,
    file: Option<&std::path::Path>,
) -> Result<(), CommandError> {
    let style = table::Style { color: context.ui.colors() && file.is_none(), ..style(context) };
    match file {
        Some(path) => {
            let failed = |cause| CommandError::failure(format!("cannot write `{}`: {cause}", path.display()));
            let mut out = std::fs::File::options().create(true).append(true).open(path).map_err(failed)?;
            sink::write(alerts, encoding, options, style, &mut out).map_err(failed)
        }
        None => {
            let mut out = context.ui.data();
            sink::write(alerts, encoding, options, style, &mut out)?;
            Ok(out.flush()?)
        }
    }
}

/// Alerts that each suppression hid.
fn suppressed_by(outcome: &Outcome) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for id in outcome.detected.alerts.iter().filter_map(|alert| alert.suppressed_by.as_deref()) {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

fn counted(outcome: &Outcome) -> (usize, usize, usize) {
    let failed: BTreeSet<&str> = outcome.detected.failed.iter().map(|f| f.rule_id.as_str()).collect();
    let suppressed = outcome.detected.alerts.iter().filter(|a| a.suppressed_by.is_some()).count();
    (failed.len(), outcome.detected.new.len(), suppressed)
}

/// The one-line summary.
pub(super) fn line(outcome: &Outcome) -> String {
    let (failed, new, suppressed) = counted(outcome);
    let Detected { findings, alerts, superseded, resolved, .. } = &outcome.detected;
    let gone = if superseded + resolved > 0 {
        format!(" {superseded} superseded, {resolved} resolved,")
    } else {
        String::new()
    };
    let by: Vec<String> = suppressed_by(outcome).iter().map(|(id, n)| format!("{} {n}", visible(id))).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    format!(
        "{} rules ({failed} failed): {findings} findings, {} alerts, {new} new,{gone} {suppressed} suppressed{by} in {:.1} s",
        outcome.rules,
        alerts.len(),
        outcome.seconds
    )
}

/// The summary as one JSON object.
pub(super) fn json(outcome: &Outcome) -> serde_json::Value {
    let (failed, new, suppressed) = counted(outcome);
    serde_json::json!({
        "rules": outcome.rules,
        "failed_rules": failed,
        "findings": outcome.detected.findings,
        "alerts": outcome.detected.alerts.len(),
        "new_alerts": new,
        "suppressed": suppressed,
        "superseded": outcome.detected.superseded,
        "resolved": outcome.detected.resolved,
        "seconds": outcome.seconds,
    })
}

/// 1 if a rule failed, else what `--fail-on` asks for.
pub(super) fn exit_code(context: &Context, args: &DetectArgs, outcome: &Outcome) -> u8 {
    let worst = outcome.detected.alerts.iter().filter(|a| a.suppressed_by.is_none()).map(|a| a.finding.level).max();
    let fail_on = args.fail_on.or(context.config.detect.fail_on);
    match (worst, fail_on) {
        (Some(worst), Some(limit)) if worst >= limit => worst.exit_code(),
        _ => u8::from(!outcome.detected.failed.is_empty()),
    }
}
