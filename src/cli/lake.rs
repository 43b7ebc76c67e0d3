//! `calltrail lake`: what the lake holds, and its keep.

mod compact;
mod retain;

use super::exit::CommandError;
use super::{Context, OutputFormat, verify};
use crate::sink::encode::json_text;
use clap::Subcommand;
use std::io::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum LakeCommand {
    /// Tables with their rows, files, bytes and Delta versions
    Info,
    /// Merge small data files into few large ones; no row changes
    Compact(compact::CompactArgs),
    /// Remove what is older than a day, from the lake and from the disk
    Retain(retain::RetainArgs),
    /// Whether every file is as it was written; names the first that was changed, removed or added
    Verify(verify::VerifyArgs),
}

pub(super) fn run(context: &Context, command: &LakeCommand) -> Result<u8, CommandError> {
    match command {
        LakeCommand::Info => info(context),
        LakeCommand::Compact(args) => compact::run(context, args),
        LakeCommand::Retain(args) => retain::run(context, args),
        LakeCommand::Verify(args) => verify::run(context, args),
    }
}

fn info(context: &Context) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let lake = context.open_lake()?;
    let tables = context.runtime.block_on(lake.info())?;
    let head = lake.head()?;
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        let json = serde_json::json!({"lake": lake.root(), "tables": tables, "head": head});
        writeln!(out, "{}", json_text(&json)?)?;
    } else {
        writeln!(out, "{:<18} {:>12} {:>7} {:>14} {:>8}", "table", "rows", "files", "bytes", "version")?;
        for table in tables {
            let (rows, files, bytes, version) = (table.rows, table.files, table.bytes, table.version);
            writeln!(out, "{:<18} {rows:>12} {files:>7} {bytes:>14} {version:>8}", table.name)?;
        }
        match head {
            Some(head) => writeln!(out, "head {head}")?,
            None => writeln!(out, "no chain of changes yet: the next command that writes starts it")?,
        }
    }
    out.flush()?;
    Ok(0)
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
