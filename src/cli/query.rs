//! `calltrail query`: SQL over the lake.

use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::query::output::{self, Format, Style};
use crate::query::shell;
use clap::Args;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// One SQL query; without it and without -f a shell starts, or standard input is read if it is no terminal
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// Read the query from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// Write long cells of a table whole
    #[arg(long)]
    full: bool,
}

pub(super) fn run(context: &Context, args: &QueryArgs) -> Result<u8, CommandError> {
    let format = match context.format(&[
        OutputFormat::Table,
        OutputFormat::Json,
        OutputFormat::Jsonl,
        OutputFormat::Csv,
        OutputFormat::Parquet,
    ])? {
        OutputFormat::Json => Format::Json,
        OutputFormat::Jsonl => Format::Jsonl,
        OutputFormat::Csv => Format::Csv,
        OutputFormat::Parquet => Format::Parquet,
        _ => Format::Table,
    };
    let style = Style { format, width: context.ui.width(), full: args.full };
    if format == Format::Parquet && style.width.is_some() {
        return Err(CommandError::usage("Parquet is no text: send it to a file with > FILE"));
    }
    let lake = context.signed(context.open_lake()?)?;
    let sql = statement(args)?;
    // A query that names no flows changes nothing in the lake.
    if sql.as_ref().is_some_and(|sql| sql.to_ascii_lowercase().contains("flows")) {
        context.find_flows(&lake);
    }
    let session = context.session(&lake)?;
    let mut out = context.ui.data();
    let Some(sql) = sql else {
        let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".calltrail_history"));
        shell::run(&session, context.runtime.handle(), history.as_deref(), style, &mut out)?;
        return Ok(0);
    };
    context.runtime.block_on(async {
        let batches = session.sql(&sql).await?;
        output::write(batches, style, &mut out).await
    })?;
    out.flush()?;
    Ok(0)
}

/// The query's text; `None` asks for the shell.
fn statement(args: &QueryArgs) -> Result<Option<String>, CommandError> {
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path);
        return text
            .map(Some)
            .map_err(|cause| CommandError::usage(format!("cannot read `{}`: {cause}", path.display())));
    }
    if args.sql.is_some() || std::io::stdin().is_terminal() {
        return Ok(args.sql.clone());
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|cause| CommandError::failure(format!("cannot read the query from standard input: {cause}")))?;
    Ok(Some(text))
}
