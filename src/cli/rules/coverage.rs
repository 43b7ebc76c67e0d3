//! `calltrail rules coverage`: what the rules cover in the taxonomies, and which of them the logs at hand let work.

use super::super::exit::CommandError;
use super::super::{Context, OutputFormat};
use crate::alert::taxonomy::Framework;
use crate::alert::visible;
use crate::rule::coverage::{self, Logs, RuleSight, Sight, by_taxonomy, navigator};
use crate::rule::needs::FIELDS;
use crate::rule::{RuleSet, Status};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct CoverageArgs {
    /// Folders of rules beside the built-in ones
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Write a layer for the ATT&CK Navigator, or for ATLAS's
    #[arg(long, value_enum, value_name = "TAXONOMY", conflicts_with = "logs")]
    navigator: Option<Layer>,
    /// Say which rules can work on the logs in the lake (also if --lake names one), and what to log for the others
    #[arg(long)]
    logs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layer {
    Attack,
    Atlas,
}

pub(super) fn run(context: &Context, args: &CoverageArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let dirs = super::with_configured(context, &args.dirs);
    let rules = super::load(&dirs)?;
    let rules = rules.filtered(|rule| rule.header.status != Status::Deprecated);
    let mut out = context.ui.data();
    if let Some(layer) = args.navigator {
        let framework = if layer == Layer::Attack { Framework::Attack } else { Framework::Atlas };
        writeln!(out, "{:#}", navigator(&rules, framework))?;
    } else if args.logs || names_a_lake() {
        let lake = context.open_lake()?;
        let session = context.session(&lake)?;
        let logs = context.runtime.block_on(Logs::measure(&session))?;
        match format {
            OutputFormat::Json => writeln!(out, "{}", logs_json(&logs, &rules))?,
            _ => logs_table(&mut out, &logs, &rules)?,
        }
    } else {
        match format {
            OutputFormat::Json => writeln!(out, "{}", taxonomies_json(&rules))?,
            _ => taxonomies_table(&mut out, &rules)?,
        }
    }
    out.flush()?;
    Ok(0)
}

/// Whether the command line itself names a lake. One in the environment is there for every command.
fn names_a_lake() -> bool {
    std::env::args().any(|word| word == "--lake" || word.starts_with("--lake="))
}

fn taxonomies_json(rules: &RuleSet) -> Value {
    let frameworks = Framework::ALL.map(|framework| {
        let entries: Vec<Value> = by_taxonomy(rules, framework)
            .iter()
            .map(|entry| {
                let ids: Vec<&str> = entry.rules.iter().map(|rule| rule.header.id.as_str()).collect();
                json!({"id": entry.id, "title": entry.title, "rules": ids})
            })
            .collect();
        json!({"taxonomy": framework.as_str(), "title": framework.title_text(), "entries": entries})
    });
    json!({"rules": rules.len(), "taxonomies": frameworks})
}

fn taxonomies_table(out: &mut impl Write, rules: &RuleSet) -> std::io::Result<()> {
    for framework in Framework::ALL {
        let entries = by_taxonomy(rules, framework);
        let covered = entries.iter().filter(|entry| !entry.rules.is_empty()).count();
        writeln!(out, "{}: {covered} of {} covered", framework.title_text(), entries.len())?;
        for entry in &entries {
            let ids: Vec<&str> = entry.rules.iter().map(|rule| rule.header.id.as_str()).collect();
            let shown = match ids.as_slice() {
                [] => "-".to_owned(),
                _ => visible(&ids.join(", ")).into_owned(),
            };
            writeln!(out, "  {:<14} {:<44} {:>3}  {shown}", entry.id, clip(entry.title, 44), ids.len())?;
        }
        writeln!(out)?;
    }
    let levels: Vec<String> =
        coverage::by_level(rules.rules()).iter().rev().map(|(level, count)| format!("{count} {level}")).collect();
    writeln!(out, "{} rules: {}", rules.len(), levels.join(", "))
}

fn logs_json(logs: &Logs, rules: &RuleSet) -> Value {
    let sights = logs.sights(rules);
    let shares = |of: &dyn Fn(&'static crate::rule::needs::LogField) -> f64| -> Value {
        FIELDS
            .iter()
            .map(|field| (field.name.to_owned(), json!(rounded(of(field)))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mcp08 = logs.mcp08();
    let count = |sight: Sight| sights.iter().filter(|s| s.sight == sight).count();
    json!({
        "calls": logs.calls(),
        "mcp08": {
            "held": coverage::held(&mcp08), "of": mcp08.len(),
            "fields": mcp08.iter().map(|(name, share)| ((*name).to_owned(), json!(rounded(*share)))).collect::<serde_json::Map<_, _>>(),
        },
        "fields": shares(&|field| logs.share(field)),
        "formats": logs.formats.iter().map(|format| json!({
            "format": format.format, "calls": format.calls, "mcp08_held": format.mcp08_held(),
            "fields": shares(&|field| format.share(field)),
        })).collect::<Vec<_>>(),
        "rules": sights.iter().map(|s| json!({
            "id": s.rule.header.id, "level": s.rule.header.level.as_str(), "sight": s.sight.as_str(),
            "formats": s.formats, "missing": s.missing,
        })).collect::<Vec<_>>(),
        "summary": {
            "works": count(Sight::Works), "waiting": count(Sight::Waiting), "partial": count(Sight::Partial),
            "blind": count(Sight::Blind), "unstated": count(Sight::Unstated),
        },
        "advice": logs.advice(&sights).iter().map(|(field, rules)| json!({
            "field": field.name, "log": field.advice, "rules": rules,
        })).collect::<Vec<_>>(),
    })
}

fn logs_table(out: &mut impl Write, logs: &Logs, rules: &RuleSet) -> std::io::Result<()> {
    if logs.formats.is_empty() {
        return writeln!(out, "the lake holds no tool calls");
    }
    let mcp08 = logs.mcp08();
    writeln!(out, "OWASP MCP08 field coverage: {} of {}", coverage::held(&mcp08), mcp08.len())?;
    for (name, share) in &mcp08 {
        writeln!(out, "  {name:<18} {:>4}", percent(*share))?;
    }
    writeln!(out, "\nWhat the logs carry, in per cent of the tool calls")?;
    for format in &logs.formats {
        writeln!(
            out,
            "  {} ({} calls, MCP08 {} of {})",
            visible(&format.format),
            format.calls,
            format.mcp08_held(),
            mcp08.len()
        )?;
        let shown: Vec<String> =
            FIELDS.iter().map(|field| format!("{} {}", field.name, percent(format.share(field)))).collect();
        for line in shown.chunks(6) {
            writeln!(out, "    {}", line.join(", "))?;
        }
    }
    let sights = logs.sights(rules);
    for (sight, says) in [
        (Sight::Works, "work"),
        (Sight::Waiting, "work once the log is as long as their history"),
        (Sight::Partial, "see a part of the calls only"),
        (Sight::Blind, "are blind"),
        (Sight::Unstated, "do not say what they need"),
    ] {
        let these: Vec<&RuleSight<'_>> = sights.iter().filter(|s| s.sight == sight).collect();
        if these.is_empty() {
            continue;
        }
        writeln!(out, "\n{} of {} rules {says}", these.len(), rules.len())?;
        for s in these {
            let mut facts = Vec::new();
            if !s.missing.is_empty() {
                facts.push(format!("for want of {}", s.missing.join(", ")));
            }
            if !s.formats.is_empty() && s.formats.len() < logs.formats.len() {
                facts.push(format!("works on {}", s.formats.join(", ")));
            }
            writeln!(
                out,
                "  {:<13} {:<40} {}",
                s.rule.header.level.as_str(),
                visible(&s.rule.header.id),
                visible(&facts.join("; "))
            )?;
        }
    }
    let advice = logs.advice(&sights);
    if !advice.is_empty() {
        writeln!(out, "\nWhat to log for more of them")?;
        for (field, rules) in advice {
            writeln!(out, "  {:<18} {:>3} rules: {}", field.name, rules.len(), field.advice)?;
        }
    }
    Ok(())
}

fn percent(share: f64) -> String {
    // What is almost everything is not shown as everything, nor what is there as nothing.
    match share * 100.0 {
        p if p > 99.0 && p < 100.0 => "99%".to_owned(),
        p if p > 0.0 && p < 1.0 => "1%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.to_owned() } else { text.chars().take(width - 1).chain(['…']).collect() }
}
