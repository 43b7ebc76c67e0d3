//! `calltrail lake retain`: rows of before a day leave the lake and the disk.

use super::size;
use crate::cli::exit::CommandError;
use crate::cli::{Context, OutputFormat, ui};
use crate::config::units::When;
use crate::ingest;
use crate::lake::Lock;
use crate::lake::retain::{Part, Plan, RetainOptions};
use crate::visible::visible;
use clap::Args;
use std::io::Write as _;
use std::time::Instant;

#[derive(Debug, Args)]
pub(in crate::cli) struct RetainArgs {
    /// Remove what is of days before this one: how long ago (90d), a date, or RFC 3339. The day itself stays
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    older_than: When,
    /// Also remove alerts whose evidence is older
    #[arg(long)]
    alerts: bool,
    /// Say what would be removed, by table and day, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &RetainArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let started = Instant::now();
    let now = ui::now();
    let before = args.older_than.resolve(now).date_naive();
    let options = RetainOptions { before, alerts: args.alerts, now_ms: now.timestamp_millis() };
    let lake = context.signed(context.open_lake()?)?;
    let runtime = &context.runtime;
    let notice = |text: &str| context.ui.say(visible(text));
    // Who only looks waits for nobody.
    let lock = match args.dry_run {
        true => None,
        false => Some(runtime.block_on(lake.lock(&context.patience("lake retain", &notice)))?),
    };
    let plan = runtime.block_on(Plan::new(&lake, options))?;
    if before > now.date_naive() && Some(before) > plan.newest() {
        return Err(CommandError::usage(format!("{before} is yet to come: everything would be older")));
    }
    let (state, waiting) =
        ingest::retain::state_without(&lake, before)?.map_or((None, 0), |(state, n)| (Some(state), n));
    let parts: Vec<Part> = plan.parts().cloned().collect();
    let (old_files, old_bytes) = plan.old_files();
    if !args.dry_run {
        runtime.block_on(plan.apply(&lake, state))?;
    }
    lock.map_or(Ok(()), Lock::release)?;
    let seconds = started.elapsed().as_secs_f64();
    let sum = |what: fn(&Part) -> u64| parts.iter().map(what).sum::<u64>();
    let (rows, files, bytes) = (sum(|part| part.rows), sum(|part| part.files), sum(|part| part.bytes));
    let mut data = context.ui.data();
    if format == OutputFormat::Json {
        let json = serde_json::json!({
            "dry_run": args.dry_run, "before": before, "rows": rows, "files": files, "bytes": bytes, "parts": parts,
            "old_files": old_files, "old_bytes": old_bytes, "waiting": waiting, "seconds": seconds,
        });
        writeln!(data, "{json}")?;
    } else {
        if args.dry_run {
            writeln!(data, "{:<14} {:<10} {:>12} {:>7} {:>14}", "table", "day", "rows", "files", "bytes")?;
            for Part { table, day, rows, files, bytes } in &parts {
                let day = day.map(|day| day.to_string()).unwrap_or_default();
                writeln!(data, "{table:<14} {day:<10} {rows:>12} {files:>7} {bytes:>14}")?;
            }
        }
        let did = if args.dry_run { "would remove" } else { "removed" };
        let mut text = format!("{did} {rows} rows of before {before} in {files} files ({})", size(bytes));
        if old_files > 0 {
            text.push_str(&format!(", {old_files} files of older versions ({})", size(old_bytes)));
        }
        if waiting > 0 {
            text.push_str(&format!(", waiting halves of calls: {waiting}"));
        }
        if !args.dry_run {
            text.push_str(&format!(" in {seconds:.1} s"));
        }
        context.ui.say(text);
    }
    data.flush()?;
    Ok(0)
}
