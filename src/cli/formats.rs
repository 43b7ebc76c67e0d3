//! `calltrail formats`: which logs can be read, and how one is read.

use super::exit::CommandError;
use super::explain::{self, ExplainArgs};
use super::{Context, OutputFormat};
use crate::source::registry::Formats;
use clap::Subcommand;
use std::io::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum FormatsCommand {
    /// List the log formats and where our knowledge of their fields comes from
    List,
    /// Say which format a file has, what its records become, and what is not understood; draft a mapping for an unknown one
    Explain(ExplainArgs),
}

pub(super) fn run(context: &Context, command: &FormatsCommand) -> Result<u8, CommandError> {
    if let FormatsCommand::Explain(args) = command {
        return explain::run(context, args);
    }
    let formats = Formats::new(context.config.mappings.clone());
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        let all =
            formats.iter().map(|f| serde_json::json!({"id": f.id(), "title": f.title(), "evidence": f.evidence()}));
        writeln!(out, "{}", serde_json::Value::from(all.collect::<Vec<_>>()))?;
    } else {
        for format in formats.iter() {
            writeln!(out, "{:<24} {}", format.id(), format.title())?;
            writeln!(out, "{:<24}   known from: {}", "", format.evidence())?;
        }
    }
    out.flush()?;
    Ok(0)
}
