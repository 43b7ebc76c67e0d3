//! `calltrail lake verify`: whether every file of the lake is as the chain of changes says.

use super::exit::CommandError;
use super::{Context, OutputFormat};
use crate::lake::{Lake, LakeError, Problem, PublicKey, Verification, VerifyOptions, Witness, has_changed, verify};
use crate::sink::encode::json_text;
use crate::visible::visible;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Head that was noted outside the lake: its digest, or a file that `lake info` or `lake verify` wrote
    #[arg(long, value_name = "HASH|FILE")]
    witness: Option<String>,
    /// Public key (PEM, or 64 hex digits) that signs the changes; several if it changed
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<u8, CommandError> {
    let format = context.format(&[OutputFormat::Table, OutputFormat::Json])?;
    let options = VerifyOptions {
        witness: args.witness.as_deref().map(witness).transpose()?,
        public_keys: args.public_key.iter().map(public_key).collect::<Result<_, _>>()?,
    };
    let mut found = verify(&context.lake_location(), &options)?;
    if found.verified {
        let lake = Lake::open(&context.lake_location())?;
        let problem = context.runtime.block_on(crate::ingest::verify_sources(&lake, found.sources.as_deref()));
        match problem {
            Ok(None) => {}
            // A later change's rows are not judged by an earlier head.
            _ if has_changed(&context.lake_location(), found.head.as_ref())? => {}
            Ok(Some(problem)) => add(&mut found, problem),
            Err(LakeError::Damaged { path, cause }) => {
                let (file, expected) = (path.to_string_lossy().into_owned(), "rows of `sources`".to_owned());
                add(&mut found, Problem { change: None, file, expected, found: cause });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut out = context.ui.data();
    if format == OutputFormat::Json {
        writeln!(out, "{}", json_text(&found)?)?;
    } else {
        table(&mut out, &found)?;
    }
    out.flush()?;
    Ok(u8::from(!found.verified))
}

fn add(found: &mut Verification, problem: Problem) {
    found.problems.push(problem);
    found.problems_total += 1;
    found.verified = false;
}

fn witness(text: &str) -> Result<Witness, CommandError> {
    if let Ok(witness) = Witness::parse(text) {
        return Ok(witness);
    }
    let kept = std::fs::read_to_string(text)
        .map_err(|cause| CommandError::usage(format!("--witness {text}: it is no digest, and no file: {cause}")))?;
    Witness::parse(&kept).map_err(|cause| CommandError::usage(format!("--witness {text}: {cause}")))
}

fn public_key(path: &PathBuf) -> Result<PublicKey, CommandError> {
    let usage = |cause: String| CommandError::usage(format!("--public-key {}: {cause}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|cause| usage(cause.to_string()))?;
    PublicKey::parse(&text).map_err(usage)
}

fn table(out: &mut impl Write, found: &Verification) -> std::io::Result<()> {
    let line = |out: &mut dyn Write, name: &str, count: u64, more: String| {
        writeln!(out, "{name:<12} {count:>14}{}{more}", if more.is_empty() { "" } else { "  " })
    };
    let kinds: Vec<String> = found.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let since = found.since.as_ref().map(|since| {
        let time = since.time.as_deref().unwrap_or("an unknown time");
        format!("since change {} of {time}: {}", since.number, kinds.join(", "))
    });
    line(out, "changes", found.changes, visible(&since.unwrap_or_default()).into_owned())?;
    line(out, "commits", found.commits, String::new())?;
    line(out, "data files", found.data_files, String::new())?;
    line(out, "bytes", found.bytes, String::new())?;
    let signatures = &found.signatures;
    let by = match signatures.since {
        Some(since) => {
            let whose = if signatures.checked { "" } else { ", whoever that is: --public-key was not given" };
            format!("since change {since}, by {}{whose}", signatures.keys.join(", "))
        }
        None => String::new(),
    };
    line(out, "signatures", signatures.signed, by)?;
    if let Some(first) = found.left_over.first() {
        let what = format!("of a writer that runs or was killed, the first: {}", visible(first));
        line(out, "left over", found.left_over.len() as u64, what)?;
    }
    if let Some(witness) = &found.witness {
        writeln!(out, "the witness, change {witness}, is in the chain")?;
    }
    let Some(problem) = found.problems.first() else {
        return found.head.as_ref().map_or(Ok(()), |head| writeln!(out, "verified, head {head}"));
    };
    writeln!(out, "not verified: {}", text(problem))?;
    match found.problems_total - 1 {
        0 => Ok(()),
        more => writeln!(out, "and {more} more: --format json lists them"),
    }
}

fn text(problem: &Problem) -> String {
    let change = problem.change.map(|change| format!(" (change {change})")).unwrap_or_default();
    let text = format!("{}{change}: expected {}, found {}", problem.file, problem.expected, problem.found);
    visible(&text).into_owned()
}
