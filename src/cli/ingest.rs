//! `calltrail ingest`: logs into the lake.

use super::around::Around;
use super::exit::CommandError;
use super::{Context, OutputFormat, exit};
use crate::alert::visible;
use crate::config::units::{parse_bytes, parse_duration};
use crate::enrich::{EnrichOptions, Enricher, capability};
use crate::ingest::{
    Failure, Follow, IngestError, IngestOptions, Ingester, SignatureCounts, Summary, Surroundings as _, remote,
};
use crate::lake::Lake;
use crate::sink::encode::json_text;
use crate::source::input::{self, Input, InputError, Limits};
use crate::source::pairing::PairingOptions;
use crate::source::registry::{AuditKey, Formats};
use clap::Args;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Unknown files and failures that are named one by one.
const NAMED: usize = 10;
/// Paths that a follower tells of because it cannot read them.
const MAX_TOLD: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct IngestArgs {
    /// Files, folders, patterns ('logs/**/*.jsonl'), URLs (s3://, gs://, az://, https://), or - for standard input
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Store secrets as they stand in the logs
    #[arg(long)]
    keep_secrets: bool,
    /// Commit after so much input (bytes, or with KiB, MiB, GiB)
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    commit_every: u64,
    /// Go on reading what is written to files and standard input, until a signal (or the end of standard input) ends it
    #[arg(long)]
    follow: bool,
    /// With --follow: commit what came after so long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, requires = "follow")]
    flush_every: Duration,
    /// File with the secret that mcp-audit signs its entries with
    #[arg(long, env = "CALLTRAIL_MCP_AUDIT_KEY_FILE", value_name = "FILE")]
    mcp_audit_key: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &IngestArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let paths = if args.paths.is_empty() { &context.config.ingest.paths } else { &args.paths };
    if paths.is_empty() {
        return Err(CommandError::usage("name what to read: calltrail ingest PATH..."));
    }
    let (summary, seconds) = if args.follow {
        follow(context, paths, args)?
    } else {
        let around = Around::new(context);
        let found = remote::expand(paths, &context.storage)?;
        ingest(
            context,
            &around,
            (&paths[..], found),
            args.keep_secrets,
            args.commit_every,
            args.mcp_audit_key.as_deref(),
        )?
    };
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        writeln!(data, "{}", json_text(&json(&summary, seconds))?)?;
        data.flush()?;
    } else {
        context.ui.say(line(&summary, seconds));
    }
    Ok(exit_code(&summary))
}

/// What several paths mean. One that means nothing is told of like a file that cannot be read: it must not keep the others from being read.
pub(super) fn found_at(context: &Context, paths: &[String]) -> Result<input::Found, CommandError> {
    let problems = match remote::expand(paths, &context.storage) {
        Ok(found) => return Ok(found),
        Err(problems) => problems,
    };
    let mut all = input::Found::default();
    for path in paths {
        match remote::expand(std::slice::from_ref(path), &context.storage) {
            Ok(found) => {
                all.inputs.extend(found.inputs);
                all.skipped.extend(found.skipped);
            }
            Err(problems) => all.skipped.extend(problems),
        }
    }
    if all.inputs.is_empty() {
        return Err(problems.into());
    }
    input::sort(&mut all.inputs);
    Ok(all)
}

/// Reads what was found at the paths into the lake, reporting what could not be read.
pub(super) fn ingest(
    context: &Context,
    around: &Around<'_>,
    (paths, found): (&[String], input::Found),
    keep_secrets: bool,
    commit_bytes: u64,
    audit_key_file: Option<&Path>,
) -> Result<(Summary, f64), CommandError> {
    let input::Found { inputs, skipped } = found;
    let (skipped, unreadable): (Vec<_>, Vec<_>) =
        skipped.into_iter().partition(|problem| matches!(problem, InputError::Skipped { .. }));
    warn_of(context, &skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), "of this kind");
    if inputs.is_empty() && unreadable.is_empty() {
        return Err(CommandError::no_input(format!("nothing to read in {}", paths.join(", "))));
    }
    let mut summary =
        with_ingester(context, around, keep_secrets, commit_bytes, audit_key_file, |ingester| ingester.run(&inputs))?;
    summary.failures.extend(unreadable.iter().filter_map(failure));
    around.finish();
    warn_of_signatures(context, &summary);
    for (what, list) in [("unknown format", &summary.unknown), ("cannot be read", &summary.failures)] {
        let lines: Vec<String> = list.iter().map(|file| format!("{}: {what}: {}", file.path, file.cause)).collect();
        warn_of(context, &lines, what);
    }
    if !summary.unknown.is_empty() {
        context.ui.say("`calltrail formats explain FILE` says more of an unknown file, and drafts a mapping for it");
    }
    Ok((summary, around.seconds()))
}

/// Reads the paths into the lake, and what comes, until a signal or the end of standard input.
fn follow(context: &Context, paths: &[String], args: &IngestArgs) -> Result<(Summary, f64), CommandError> {
    if let Some(url) = paths.iter().find(|path| path.contains("://")) {
        let text = format!("`{url}` cannot be followed: run `calltrail ingest` on it from time to time");
        return Err(CommandError::usage(text));
    }
    let (found, missing) = find(paths)?;
    let skipped: Vec<String> = found.skipped.iter().map(ToString::to_string).collect();
    warn_of(context, &skipped, "of this kind");
    let mut told: HashSet<String> = skipped.into_iter().collect();
    for path in missing {
        context.ui.warn(format!("nothing is at `{}` yet: waiting for it", visible(&path)));
    }
    let streams: Vec<Input> = found.inputs.into_iter().filter(Input::comes_once).collect();
    let around = Around::new(context);
    around.listen().map_err(|cause| CommandError::failure(format!("cannot wait for signals: {cause}")))?;
    // What comes once is there from the start or not at all.
    let is_stream = |path: &String| streams.iter().any(|stream| stream.name() == *path);
    let paths: Vec<String> = paths.iter().filter(|path| !is_stream(path)).cloned().collect();
    let key = args.mcp_audit_key.as_deref();
    let summary = with_ingester(context, &around, args.keep_secrets, args.commit_every, key, |ingester| {
        ingester.follow(Follow {
            find: &mut || {
                let found = find(&paths).map(|(found, _)| found).unwrap_or_default();
                // A folder that came later and cannot be read must not be passed over in silence; what is gone again may be.
                let is_there = |problem: &&InputError| match problem {
                    InputError::Unreadable { cause, .. } => cause.kind() != std::io::ErrorKind::NotFound,
                    _ => true,
                };
                for problem in found.skipped.iter().filter(is_there).map(ToString::to_string) {
                    if told.len() < MAX_TOLD && told.insert(problem.clone()) {
                        around.warn(&problem);
                    }
                }
                found.inputs.into_iter().filter(|input| !input.comes_once()).collect()
            },
            files: !paths.is_empty(),
            streams: streams.clone(),
            flush_every: args.flush_every,
        })
    })?;
    around.finish();
    warn_of_signatures(context, &summary);
    Ok((summary, around.seconds()))
}

/// The inputs that there are now, and the paths that nothing matches.
fn find(paths: &[String]) -> Result<(input::Found, Vec<String>), CommandError> {
    let mut paths = paths.to_vec();
    let mut missing = Vec::new();
    loop {
        let problems = match input::expand(&paths) {
            Ok(found) => return Ok((found, missing)),
            Err(problems) => problems,
        };
        let before = paths.len();
        paths.retain(|path| !problems.iter().any(|p| matches!(p, InputError::NothingMatches(given) if given == path)));
        if paths.len() == before {
            return Err(problems.into());
        }
        missing.extend(problems.into_iter().filter_map(|problem| match problem {
            InputError::NothingMatches(path) => Some(path),
            _ => None,
        }));
    }
}

/// Opens the lake and does something with an ingester for it, as configured.
fn with_ingester(
    context: &Context,
    around: &Around<'_>,
    keep_secrets: bool,
    commit_bytes: u64,
    audit_key_file: Option<&Path>,
    work: impl FnOnce(Ingester<'_>) -> Result<Summary, IngestError>,
) -> Result<Summary, CommandError> {
    let config = &context.config.ingest;
    let keep_secrets = keep_secrets || config.keep_secrets;
    if keep_secrets {
        context.ui.warn("secrets are stored as they stand in the logs (--keep-secrets)");
    }
    let notice = |text: &str| around.warn(text);
    let patience = context.patience("ingest", &notice);
    let lake = context.runtime.block_on(Lake::open_or_create(&context.lake_location(), &patience))?;
    let lake = context.signed(lake)?;
    let overrides = config
        .capabilities
        .iter()
        .map(|rule| (rule.server.as_str().to_owned(), rule.tool.as_str().to_owned(), rule.capabilities.clone()));
    let enricher = Enricher::new(EnrichOptions {
        key: lake.key(),
        keep_secrets,
        payload_limit: usize::try_from(config.payload_limit).unwrap_or(usize::MAX),
        capabilities: capability::Table::builtin().with_overrides(overrides.collect()),
    });
    let options = IngestOptions {
        pairing: PairingOptions {
            session_gap: i64::try_from(config.session_gap.as_nanos()).unwrap_or(i64::MAX),
            ..PairingOptions::default()
        },
        limits: Limits { decompressed: config.decompressed_limit, ratio: config.ratio_limit },
        commit_bytes,
        lock_timeout: context.global.lock_timeout,
    };
    let formats = Formats::new(context.config.mappings.clone()).with_audit_key(audit_key(context, audit_key_file)?);
    let ingester =
        Ingester::new(&lake, context.runtime.handle(), around, Arc::new(enricher), Arc::new(formats), options);
    Ok(work(ingester)?)
}

/// The key of the signatures of mcp-audit entries, from the command line or the configuration.
fn audit_key(context: &Context, file: Option<&Path>) -> Result<Option<AuditKey>, CommandError> {
    let Some(path) = file.or(context.config.ingest.mcp_audit_key.as_deref()) else { return Ok(None) };
    let usage = |cause: &str| CommandError::usage(format!("key of mcp-audit {}: {cause}", path.display()));
    let bytes = std::fs::read(path).map_err(|cause| usage(&cause.to_string()))?;
    AuditKey::of_file(bytes).ok_or_else(|| usage("the file is empty")).map(Some)
}

fn warn_of_signatures(context: &Context, summary: &Summary) {
    let wrong = summary.signatures.wrong;
    if wrong > 0 {
        let what = "records with a wrong signature: parse_flags of their calls has signature_wrong";
        context.ui.warn(format!("{wrong} {what}"));
    }
}

/// Names the first problems one by one.
fn warn_of(context: &Context, problems: &[String], what: &str) {
    for problem in problems.iter().take(NAMED) {
        context.ui.warn(visible(problem));
    }
    if problems.len() > NAMED {
        context.ui.warn(format!("… and {} more files: {what}", problems.len() - NAMED));
    }
}

/// What a folder held and nobody could read, or a path that means nothing.
fn failure(problem: &InputError) -> Option<Failure> {
    let (path, cause) = match problem {
        InputError::Unreadable { path, cause } => (path, cause.to_string()),
        InputError::NothingMatches(path) => (path, "nothing is there".to_owned()),
        InputError::Pattern { pattern, cause } => (pattern, cause.to_string()),
        InputError::Skipped { .. } => return None,
    };
    Some(Failure { path: path.clone(), cause })
}

/// Nothing of what was named could be used: 3 if no format is known, 1 if nothing could be read.
pub(super) fn exit_code(summary: &Summary) -> u8 {
    let (unknown, failures) = (summary.unknown.len() as u64, summary.failures.len() as u64);
    if failures > 0 {
        1
    } else if unknown > 0 && unknown == summary.files {
        exit::NO_INPUT
    } else {
        0
    }
}

/// The one-line summary.
pub(super) fn line(summary: &Summary, seconds: f64) -> String {
    let mut text = format!(
        "{} files, {} lines: {} calls, {} duplicates, {} rejects, {} ignored, {} prompts in {seconds:.1} s",
        summary.files,
        summary.lines,
        summary.calls,
        summary.duplicates,
        summary.rejects,
        summary.ignored,
        summary.prompts
    );
    if summary.expired > 0 {
        text.push_str(&format!(" ({} older than what retention keeps, left out)", summary.expired));
    }
    let signed = &summary.signatures;
    if *signed != SignatureCounts::default() {
        let (verified, wrong, missing) = (signed.verified, signed.wrong, signed.missing);
        text.push_str(&format!(" (signatures: {verified} verified, {wrong} wrong, {missing} missing)"));
    }
    if summary.unchanged > 0 {
        text.push_str(&format!(" ({} files unchanged)", summary.unchanged));
    }
    text
}

/// The summary as one JSON object.
pub(super) fn json(summary: &Summary, seconds: f64) -> serde_json::Value {
    serde_json::json!({
        "files": summary.files,
        "bytes": summary.bytes,
        "lines": summary.lines,
        "calls": summary.calls,
        "duplicates": summary.duplicates,
        "rejects": summary.rejects,
        "ignored": summary.ignored,
        "prompts": summary.prompts,
        "expired": summary.expired,
        "signatures": summary.signatures,
        "unchanged": summary.unchanged,
        "unknown": summary.unknown,
        "failures": summary.failures,
        "seconds": seconds,
    })
}
