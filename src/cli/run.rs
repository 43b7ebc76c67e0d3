//! `calltrail run`: ingest and detect, as `calltrail.toml` says.

use super::detect::{self, DetectArgs};
use super::exit::CommandError;
use super::{Context, OutputFormat, ingest};
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;

/// Input after which a long run commits.
const COMMIT_BYTES: u64 = 1 << 30;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// What to read in place of `ingest.paths`
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// File with the secret that mcp-audit signs its entries with
    #[arg(long, env = "CALLTRAIL_MCP_AUDIT_KEY_FILE", value_name = "FILE")]
    mcp_audit_key: Option<PathBuf>,
    #[command(flatten)]
    detect: DetectArgs,
}

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<u8, CommandError> {
    let format = context.format(&OutputFormat::ALERTS)?;
    let paths = if args.paths.is_empty() { &context.config.ingest.paths } else { &args.paths };
    if paths.is_empty() {
        return Err(CommandError::usage(
            "nothing to read: set `paths` under [ingest] in calltrail.toml, or name paths here",
        ));
    }
    let (summary, seconds) = ingest::ingest(context, paths, false, COMMIT_BYTES, args.mcp_audit_key.as_deref())?;
    if format != OutputFormat::Json {
        context.ui.say(ingest::line(&summary, seconds));
    }
    let outcome = detect::detect_now(context, &args.detect)?;
    detect::show(context, &args.detect, &outcome, format)?;
    if format == OutputFormat::Json {
        let mut data = context.ui.data();
        let both = serde_json::json!({"ingest": ingest::json(&summary, seconds), "detect": detect::json(&outcome)});
        writeln!(data, "{both}")?;
        data.flush()?;
    } else {
        context.ui.say(detect::line(&outcome));
    }
    // A finding is what the caller waits for; an input that could not be read comes second.
    Ok(match detect::exit_code(context, &args.detect, &outcome) {
        0 => ingest::exit_code(&summary),
        code => code,
    })
}
