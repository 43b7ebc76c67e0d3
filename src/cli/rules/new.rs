//! `calltrail rules new GROUP/ID`: a rule and its cases to start from.

use super::super::Context;
use super::super::exit::CommandError;
use crate::alert::taxonomy;
use crate::rule::{RuleSet, template};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// Group and id of the rule: house/export_tool_used
    #[arg(value_name = "GROUP/ID")]
    name: String,
    /// Folder of rules to write into [default: the first that calltrail.toml names, else ./rules]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What it detects: owasp.mcpNN, owasp.asiNN, atlas.AML.TNNNN, attack.TNNNN
    #[arg(long = "tag", value_name = "TAG", default_value = "attack.T1567")]
    tags: Vec<String>,
}

pub(super) fn run(context: &Context, args: &NewArgs) -> Result<u8, CommandError> {
    let Some((group, id)) = args.name.split_once('/') else {
        return Err(CommandError::usage(format!("`{}`: give group and id, like house/export_tool_used", args.name)));
    };
    let is_group = !group.is_empty() && group.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !is_group {
        return Err(CommandError::usage(format!("`{group}` is no group: letters, digits, `_` and `-`")));
    }
    let wrong: Vec<String> = args.tags.iter().filter_map(|tag| taxonomy::check(tag).err()).collect();
    if !wrong.is_empty() {
        return Err(CommandError::usage(wrong.join("\n")));
    }
    let made = template(id, &args.tags).map_err(CommandError::usage)?;
    let dir = args.dir.clone().or_else(|| context.config.detect.rules.first().cloned());
    let dir = dir.unwrap_or_else(|| PathBuf::from("rules"));
    let mut dirs = context.config.detect.rules.clone();
    if !dirs.contains(&dir) {
        dirs.push(dir.clone());
    }
    // Each folder by itself: it may be the one that the built-in rules are in. One that does not load is for `rules check`.
    let sets =
        dirs.iter().filter(|dir| dir.is_dir()).filter_map(|dir| RuleSet::load(std::slice::from_ref(dir), false).ok());
    let taken =
        std::iter::once(super::load(&[])?).chain(sets).find_map(|rules| rules.get(id).map(|rule| rule.path.clone()));
    if let Some(path) = taken {
        return Err(CommandError::usage(format!("the id `{id}` is taken by {}", path.display())));
    }
    let rule = dir.join(group).join(format!("{id}.sql"));
    let cases = rule.with_extension("test.toml");
    for path in [&rule, &cases] {
        if path.exists() {
            return Err(CommandError::usage(format!("{} is there already", path.display())));
        }
    }
    std::fs::create_dir_all(dir.join(group)).map_err(|cause| failed(&rule, &cause))?;
    std::fs::write(&rule, made.sql).map_err(|cause| failed(&rule, &cause))?;
    std::fs::write(&cases, made.cases).map_err(|cause| failed(&cases, &cause))?;
    context.ui.say(format!(
        "wrote {} and {}; next: calltrail rules check {dir}, calltrail rules test {dir}",
        rule.display(),
        cases.display(),
        dir = dir.display()
    ));
    Ok(0)
}

fn failed(path: &Path, cause: &std::io::Error) -> CommandError {
    CommandError::failure(format!("cannot write {}: {cause}", path.display()))
}
