//! `calltrail formats`: which logs can be read.

use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::source::format::FORMATS;
use clap::Subcommand;
use std::io::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum FormatsCommand {
    /// List the log formats and where our knowledge of their fields comes from
    List,
}

pub(super) fn run(context: &Context, command: &FormatsCommand) -> Result<u8, CommandError> {
    let FormatsCommand::List = command;
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        let all =
            FORMATS.iter().map(|f| serde_json::json!({"id": f.id(), "title": f.title(), "evidence": f.evidence()}));
        writeln!(out, "{}", serde_json::Value::from(all.collect::<Vec<_>>()))?;
    } else {
        for format in FORMATS {
            writeln!(out, "{:<24} {}", format.id(), format.title())?;
            writeln!(out, "{:<24}   known from: {}", "", format.evidence())?;
        }
    }
    out.flush()?;
    Ok(0)
}
