//! `calltrail alerts suppress`, `unsuppress`, `suppressions`: what nobody wants to see, who said so, and what it hides.

use super::super::exit::CommandError;
use super::super::{Context, OutputFormat, ui};
use crate::alert::{
    Alert, Origin, Patterns, SilenceUse, Suppression, SuppressionUse, Wildcard, kept, suppress, time_text, visible,
};
use crate::config::expiry;
use crate::detect::remark;
use crate::lake::Lake;
use crate::query::parse_duration;
use crate::sink::encode::json_text;
use chrono::{DateTime, Duration, Utc};
use clap::{Args, ValueEnum};
use std::io::Write as _;

#[derive(Debug, Args)]
pub(in crate::cli) struct SuppressArgs {
    /// The alert's id, or its first digits
    alert: String,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// Why it need not be seen
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Until when it holds: a date (its last day), RFC 3339, or from now on: 30d
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Every alert with the same of these, not this one alone
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    like: Vec<Field>,
    /// Name of the suppression [default: made of the alert's id]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
}

impl SuppressArgs {
    /// The alert's id, or its beginning.
    pub(super) fn alert(&self) -> &str {
        &self.alert
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Field {
    Rule,
    Agent,
    #[value(name = "user_id")]
    User,
    Server,
    Tool,
    #[value(name = "session_id")]
    Session,
    Destination,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UnsuppressArgs {
    /// Name of the suppression, as `alerts suppressions` shows it
    id: String,
}

/// The suppressions that `calltrail.toml` and the lake have, in the order in which they apply.
pub(in crate::cli) fn all(context: &Context, lake: &Lake) -> Result<Vec<Suppression>, CommandError> {
    let mut all = context.config.suppress.clone();
    let allowed = all.iter().position(|s| s.origin == Origin::AllowList).unwrap_or(all.len());
    // What somebody judged explains more than a list.
    all.splice(allowed..allowed, context.runtime.block_on(kept::kept(lake))?);
    Ok(all)
}

/// `alerts suppress`.
pub(super) fn add(context: &Context, lake: &Lake, alert: &Alert, args: &SuppressArgs) -> Result<u8, CommandError> {
    let now = ui::now();
    let suppression = suppression(alert, args, now).map_err(CommandError::usage)?;
    let known = all(context, lake)?;
    if known.iter().any(|s| s.id == suppression.id && s.holds(now)) {
        let id = visible(&suppression.id).into_owned();
        return Err(CommandError::usage(format!(
            "there is a suppression `{id}` already: choose another name with --id, or lift it with `calltrail alerts unsuppress {id}`"
        )));
    }
    let done = write(context, &suppression, now)?;
    let hidden = done.uses.iter().find(|used| used.id == suppression.id).map_or(0, |used| used.alerts);
    context.ui.say(format!("suppression `{}` hides {hidden} alerts", visible(&suppression.id)));
    Ok(0)
}

/// `alerts unsuppress`.
pub(super) fn lift(context: &Context, lake: &Lake, args: &UnsuppressArgs) -> Result<u8, CommandError> {
    let now = ui::now();
    let found = all(context, lake)?.into_iter().find(|s| s.id == args.id);
    let id = visible(&args.id);
    let Some(found) = found else {
        return Err(CommandError::usage(format!("no suppression `{id}`: `calltrail alerts suppressions` names them")));
    };
    if found.origin != Origin::Lake {
        return Err(CommandError::usage(format!("`{id}` stands in calltrail.toml: take it out there")));
    }
    if found.holds(now) {
        write(context, &Suppression { expires: Some(now), ..found }, now)?;
    }
    context.ui.say(format!("suppression `{id}` hides nothing any more"));
    Ok(0)
}

/// Keeps the suppression, and marks the alerts of the lake as it is now.
fn write(context: &Context, suppression: &Suppression, now: DateTime<Utc>) -> Result<SuppressionUse, CommandError> {
    let lake = context.signed(context.open_lake()?)?;
    let notice = |text: &str| context.ui.say(visible(text));
    let patience = context.patience("alerts suppress", &notice);
    context.runtime.block_on(kept::keep(&lake, &patience, suppression, now))?;
    let all = all(context, &lake)?;
    Ok(context.runtime.block_on(remark(&lake, &patience, &all, now))?)
}

fn suppression(alert: &Alert, args: &SuppressArgs, now: DateTime<Utc>) -> Result<Suppression, String> {
    for (name, text) in [("--owner", &args.owner), ("--reason", &args.reason)] {
        if text.trim().is_empty() {
            return Err(format!("{name} is empty: whoever meets the suppression later needs it"));
        }
    }
    let expires = match parse_duration(&args.until) {
        Some(micros) => now + Duration::microseconds(micros),
        None => expiry(&args.until)?,
    };
    if expires <= now {
        return Err(format!("--until {} is over already", args.until));
    }
    let entity = &alert.finding.entity;
    let exact = |field: &str, text: Option<&str>| {
        let text = text.ok_or_else(|| format!("the alert has no {field} of its own: leave it out of --like"))?;
        // A star in a log's name would fit more than that name.
        if text.contains(['*', '?']) {
            return Err(format!("the alert's {field} has `*` or `?` in it: write the suppression into calltrail.toml"));
        }
        Ok(Some(Patterns::from(Wildcard::new(text))))
    };
    let mut made = Suppression {
        id: args.id.clone().unwrap_or_else(|| format!("alert-{}", alert.alert_id.get(..8).unwrap_or(&alert.alert_id))),
        origin: Origin::Lake,
        rule: Wildcard::new(&alert.finding.rule_id),
        alert_id: args.like.is_empty().then(|| alert.alert_id.clone()),
        session_id: None,
        agent: None,
        user_id: None,
        server: None,
        tool: None,
        destination: None,
        owner: args.owner.clone(),
        reason: args.reason.clone(),
        expires: Some(expires),
    };
    for field in &args.like {
        match field {
            // Always: what is known about one rule's alert says nothing about another's.
            Field::Rule => {}
            Field::Agent => made.agent = exact("agent", entity.agent.as_deref())?,
            Field::User => made.user_id = exact("user_id", entity.user_id.as_deref())?,
            Field::Server => made.server = exact("server", entity.server.as_deref())?,
            Field::Tool => made.tool = exact("tool", entity.tool.as_deref())?,
            Field::Session => made.session_id = exact("session_id", entity.session_id.as_deref())?,
            Field::Destination => {
                let known = alert.destinations().filter(|d| !d.is_empty());
                let known = known.ok_or("the alert has no destination that is known whole: leave it out of --like")?;
                let patterns = known.iter().map(|d| exact("destination", Some(d)));
                let patterns: Vec<Patterns> = patterns.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
                made.destination = Some(Patterns::new(patterns.iter().flat_map(|p| p.list().to_vec()).collect()));
            }
        }
    }
    Ok(made)
}

/// `alerts suppressions`.
pub(super) fn report(context: &Context, lake: &Lake, mut alerts: Vec<Alert>) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    let all = all(context, lake)?;
    // What was superseded or resolved nobody sees anyway.
    alerts.retain(Alert::is_current);
    let done = suppress(&all, &mut alerts, ui::now());
    let mut out = context.ui.data();
    let object = |(suppression, used): (&Suppression, &SilenceUse)| {
        serde_json::json!({
            "id": suppression.id, "origin": suppression.origin, "rule": suppression.rule, "fits": fits(suppression),
            "owner": suppression.owner, "reason": suppression.reason,
            "expires": suppression.expires.map(|t| time_text(t.timestamp_micros())),
            "state": state(used), "alerts": used.alerts, "alone": used.alone, "idle_patterns": used.idle_patterns,
        })
    };
    let rows = || all.iter().zip(&done.uses);
    match format {
        OutputFormat::Json => writeln!(out, "{}", json_text(&rows().map(object).collect::<Vec<_>>())?)?,
        OutputFormat::Jsonl => rows().try_for_each(|row| writeln!(out, "{}", json_text(&object(row))?))?,
        _ => {
            for (suppression, used) in rows() {
                let until = suppression
                    .expires
                    .map_or("for good".to_owned(), |t| format!("until {}", t.format("%Y-%m-%d %H:%M")));
                writeln!(
                    out,
                    "{:<40} {:<13} hides {:>5} alerts, {:>5} of them alone; {until}",
                    visible(&suppression.id),
                    state(used),
                    used.alerts,
                    used.alone
                )?;
                writeln!(
                    out,
                    "    {}: {} ({})",
                    visible(&suppression.owner),
                    visible(&suppression.reason),
                    visible(&fits(suppression))
                )?;
                if used.alerts > 0 && !used.idle_patterns.is_empty() {
                    writeln!(out, "    without effect: {}", visible(&used.idle_patterns.join(", ")))?;
                }
            }
        }
    }
    out.flush()?;
    context.ui.say(summary(&done, alerts.len()));
    Ok(0)
}

fn summary(done: &SuppressionUse, alerts: usize) -> String {
    format!(
        "{} suppressions hide {} of {alerts} alerts; {} have expired, {} never matched",
        done.uses.len(),
        done.suppressed,
        done.expired.len(),
        done.unused.len()
    )
}

fn state(used: &SilenceUse) -> &'static str {
    match (used.expired, used.alerts) {
        (true, _) => "expired",
        (false, 0) => "never matched",
        _ => "holds",
    }
}

/// What a suppression fits, for people.
fn fits(suppression: &Suppression) -> String {
    let mut parts = vec![format!("rule {}", suppression.rule)];
    parts.extend(suppression.alert_id.as_ref().map(|id| format!("alert {id}")));
    for (name, patterns) in [
        ("session_id", &suppression.session_id),
        ("agent", &suppression.agent),
        ("user_id", &suppression.user_id),
        ("server", &suppression.server),
        ("tool", &suppression.tool),
        ("destination", &suppression.destination),
    ] {
        parts.extend(patterns.as_ref().map(|patterns| format!("{name} {patterns}")));
    }
    parts.join("; ")
}
