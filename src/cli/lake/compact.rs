//! `calltrail lake compact`: small data files become few large ones, and old ones leave the disk if asked.

use super::size;
use crate::cli::exit::CommandError;
use crate::cli::{Context, OutputFormat, ui};
use crate::config::units::{parse_bytes, parse_duration};
use crate::lake::Lake;
use crate::lake::compact::{self, CompactOptions, Compacted, TARGET_SIZE, Vacuumed};
use crate::lake::data_file::ZSTD_LEVEL;
use crate::visible::visible;
use clap::Args;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Below, files are not worth their footers; above, one late response rewrites too much.
const TARGET_SIZES: std::ops::RangeInclusive<u64> = (1 << 20)..=(4 << 30);

#[derive(Debug, Args)]
pub(in crate::cli) struct CompactArgs {
    /// Bytes of a good file; files below half of it are merged [default: 128MiB]
    #[arg(long, value_name = "SIZE", default_value_t = TARGET_SIZE, value_parser = parse_bytes, hide_default_value = true)]
    target_size: u64,
    /// Level of compression of merged files, 1 (fast) to 22 (small)
    #[arg(long, value_name = "LEVEL", default_value_t = ZSTD_LEVEL, value_parser = clap::value_parser!(i32).range(1..=22))]
    zstd_level: i32,
    /// Also delete files that commits replaced longer ago than this (90d, 0s: all). Versions of the lake that
    /// name them can no longer be read
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    vacuum_older_than: Option<Duration>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &CompactArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    if !TARGET_SIZES.contains(&args.target_size) {
        return Err(CommandError::usage("--target-size is between 1MiB and 4GiB"));
    }
    let started = Instant::now();
    let now_ms = ui::now().timestamp_millis();
    let options = CompactOptions { target_size: args.target_size, zstd_level: args.zstd_level, now_ms };
    let before_ms =
        args.vacuum_older_than.map(|age| now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
    let lake = context.signed(context.open_lake()?)?;
    let runtime = &context.runtime;
    let notice = |text: &str| context.ui.say(visible(text));
    let patience = context.patience("lake compact", &notice);
    let before = runtime.block_on(totals(&lake))?;
    let mut done = Compacted::default();
    let mut vacuumed = None;
    if args.dry_run {
        // Who only looks waits for nobody.
        done = compact::planned(&runtime.block_on(compact::plan(&lake, &options))?);
        if let Some(before_ms) = before_ms {
            vacuumed = Some(runtime.block_on(compact::vacuum(&lake, before_ms, true))?);
        }
    } else {
        let bar = context.ui.progress();
        loop {
            // A turn for each step: others that want to write need not wait for the whole.
            let lock = runtime.block_on(lake.lock(&patience))?;
            let step = runtime.block_on(compact::step(&lake, &options, &mut |bytes| bar.inc(bytes)))?;
            if let (None, Some(before_ms)) = (step, before_ms) {
                vacuumed = Some(runtime.block_on(compact::vacuum(&lake, before_ms, false))?);
            }
            lock.release()?;
            match step {
                Some(step) => done += step,
                None => break,
            }
        }
        bar.finish_and_clear();
    }
    let after = runtime.block_on(totals(&lake))?;
    let seconds = started.elapsed().as_secs_f64();
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        let json = serde_json::json!({
            "dry_run": args.dry_run,
            "files_before": before.0, "files_after": (!args.dry_run).then_some(after.0),
            "bytes_before": before.1, "bytes_after": (!args.dry_run).then_some(after.1),
            "merged": done, "vacuumed": vacuumed, "seconds": seconds,
        });
        writeln!(data, "{json}")?;
        data.flush()?;
    } else {
        context.ui.say(line(args.dry_run, before, after, &done, vacuumed, seconds));
    }
    Ok(0)
}

/// Files and bytes of all tables as they are now.
async fn totals(lake: &Lake) -> Result<(u64, u64), CommandError> {
    let tables = lake.info().await?;
    let files = tables.iter().map(|table| table.files as u64).sum();
    Ok((files, tables.iter().map(|table| table.bytes.unsigned_abs()).sum()))
}

fn line(
    dry_run: bool,
    before: (u64, u64),
    after: (u64, u64),
    done: &Compacted,
    vacuumed: Option<Vacuumed>,
    seconds: f64,
) -> String {
    let mut text = if dry_run {
        format!("would merge {} of {} files ({})", done.merged_files, before.0, size(done.merged_bytes))
    } else if done.merged_files == 0 {
        format!("nothing to merge: {} files, {}", before.0, size(before.1))
    } else {
        let (was, is) = (size(before.1), size(after.1));
        format!("{} files became {}, {was} became {is}", before.0, after.0)
    };
    if let Some(vacuumed) = vacuumed {
        let (files, bytes) = (vacuumed.files, size(vacuumed.bytes));
        text.push_str(&match dry_run {
            true => format!(", would delete {files} replaced files ({bytes})"),
            false => format!(", {files} replaced files deleted ({bytes})"),
        });
    }
    if !dry_run {
        text.push_str(&format!(" in {seconds:.1} s"));
    }
    text
}
