//! `calltrail rules`: list, check, test and write detections, and what they cover.

mod coverage;
mod new;

use super::detect::load;
use super::exit::CommandError;
use super::{Context, OutputFormat, settings};
use crate::alert::visible;
use crate::rule::{Rule, RuleSet, check};
use crate::sink::encode::json_text;
use clap::{Args, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// List the rules
    List(Folders),
    /// Check rules: header, tags, SQL, result columns, cases
    Check(Folders),
    /// Run the rules' cases
    Test(TestArgs),
    /// Show what the rules cover, by taxonomy or on the logs at hand
    Coverage(coverage::CoverageArgs),
    /// Write a new rule with its cases to start from
    New(new::NewArgs),
    /// Print a rule's text; of a Sigma rule the SQL that it became
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct Folders {
    /// Folders of rules beside the built-in ones
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Id of the rule
    id: String,
    /// Folders of rules beside the built-in ones
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Folders of rules; without one the built-in rules are tested
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Test only these rules
    #[arg(long = "rule", value_name = "ID")]
    only: Vec<String>,
}

pub(super) fn run(context: &Context, command: &RulesCommand) -> Result<u8, CommandError> {
    match command {
        RulesCommand::List(folders) => list(context, folders),
        RulesCommand::Check(folders) => {
            let dirs = with_configured(context, &folders.dirs);
            let (rules, problems) = context.runtime.block_on(check(&dirs, true));
            let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            // Settings are judged by the rules, so only once these load.
            if let Ok(rules) = RuleSet::load(&dirs, true) {
                lines.extend(settings::params(&context.config, &rules).err().into_iter().flatten());
            }
            if lines.is_empty() {
                context.ui.say(format!("{rules} rules, no problems"));
                return Ok(0);
            }
            Err(CommandError::usage(lines.join("\n")))
        }
        RulesCommand::Test(args) => test(context, args),
        RulesCommand::Coverage(args) => coverage::run(context, args),
        RulesCommand::New(args) => new::run(context, args),
        RulesCommand::Show(args) => {
            let rules = load(&with_configured(context, &args.dirs))?;
            let Some(rule) = rules.get(&args.id) else {
                let id = visible(&args.id);
                return Err(CommandError::usage(format!("no rule `{id}`: `calltrail rules list` names them")));
            };
            let mut out = context.ui.data();
            rule.sql.lines().try_for_each(|line| writeln!(out, "{}", visible(line)))?;
            out.flush()?;
            Ok(0)
        }
    }
}

fn with_configured(context: &Context, dirs: &[PathBuf]) -> Vec<PathBuf> {
    context.config.detect.rules.iter().chain(dirs).cloned().collect()
}

fn list(context: &Context, folders: &Folders) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json, OutputFormat::Jsonl])?;
    let rules = load(&with_configured(context, &folders.dirs))?;
    let mut out = context.ui.data();
    let object = |rule: &Rule| {
        let header = &rule.header;
        serde_json::json!({
            "id": header.id, "group": rule.group(), "title": header.title, "level": header.level.as_str(),
            "status": header.status.as_str(), "tags": header.tags, "version": rule.version_hash,
            "path": rule.path.display().to_string(), "cases": rule.cases.len(),
            "language": if rule.sigma { "sigma" } else { "sql" },
        })
    };
    match format {
        OutputFormat::Json => {
            let all: Vec<_> = rules.rules().iter().map(object).collect();
            writeln!(out, "{}", json_text(&all)?)?;
        }
        OutputFormat::Jsonl => {
            for rule in rules.rules() {
                writeln!(out, "{}", json_text(&object(rule))?)?;
            }
        }
        _ => {
            for rule in rules.rules() {
                let header = &rule.header;
                writeln!(out, "{:<13} {:<32} {}", header.level.as_str(), visible(&header.id), visible(&header.title))?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn test(context: &Context, args: &TestArgs) -> Result<u8, CommandError> {
    let builtin = args.dirs.is_empty();
    let rules = RuleSet::load(&args.dirs, builtin)
        .map_err(|p| CommandError::usage(p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?
        .filtered(|rule| args.only.is_empty() || args.only.contains(&rule.header.id));
    if rules.is_empty() {
        return Err(CommandError::usage("no rule to test"));
    }
    let mut out = context.ui.data();
    let (mut passed, mut failed) = (0, 0);
    for result in context.runtime.block_on(rules.test()) {
        let verdict = match &result.failure {
            None => {
                passed += 1;
                "ok"
            }
            Some(_) => {
                failed += 1;
                "FAILED"
            }
        };
        writeln!(out, "{verdict:<7} {}: {}", visible(&result.rule_id), visible(&result.name))?;
        for line in result.failure.iter().flat_map(|text| text.lines()) {
            writeln!(out, "          {}", visible(line))?;
        }
    }
    out.flush()?;
    context.ui.say(format!("{} rules, {} cases: {passed} passed, {failed} failed", rules.len(), passed + failed));
    Ok(u8::from(failed > 0))
}
