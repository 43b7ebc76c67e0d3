//! The command line: one file per command; this one says which there are and what they share.

mod alerts;
mod around;
mod daemon;
mod detect;
mod exit;
mod explain;
mod formats;
mod ingest;
mod lake;
mod model;
mod query;
mod rules;
mod run;
mod score;
mod session;
mod settings;
mod ship;
mod sinks;
mod train;
mod ui;
mod verify;

use crate::config::Config;
use crate::config::units::parse_duration;
use crate::lake::{Lake, Location, Patience, Signer, StorageOptions};
use crate::query::{Session, SessionOptions, TimeRange};
use crate::sink::Encoding;
use crate::visible::visible;
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use exit::CommandError;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use ui::Ui;

/// Reads the audit logs of AI agents' MCP calls, keeps them in an open lake, detects with SQL, shows alerts
#[derive(Debug, Parser)]
#[command(name = "calltrail", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 our failure; 2 usage, configuration or rule; 3 no input matched;
10-14 an alert at or above --fail-on (10 informational, 11 low, 12 medium, 13 high, 14 critical)";

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Folder or URL (s3://, gs://, az://) of the lake [default: ./lake, or what calltrail.toml says]
    #[arg(long, global = true, env = "CALLTRAIL_LAKE", value_name = "URI", value_parser = parse_lake)]
    lake: Option<String>,
    /// Configuration [default: calltrail.toml in this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ed25519 private key that signs each change to the lake (PEM)
    #[arg(long, global = true, env = "CALLTRAIL_SIGNING_KEY_FILE", value_name = "FILE", hide_short_help = true)]
    signing_key: Option<PathBuf>,
    /// How data is written to standard output
    #[arg(long, global = true, value_enum)]
    format: Option<OutputFormat>,
    /// How long to wait while another calltrail writes to the lake
    #[arg(long, global = true, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    lock_timeout: Duration,
    /// Say nothing but data and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Use colours
    #[arg(long, global = true, value_enum, default_value = "auto")]
    color: Color,
}

/// Formats of all commands; each takes those that fit it and says so otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputFormat {
    Table,
    Json,
    Jsonl,
    Csv,
    Parquet,
    /// One that only alerts have.
    Of(Encoding),
}

impl OutputFormat {
    /// Those that alerts can be written in.
    const ALERTS: [Self; Encoding::ALL.len()] = {
        let mut all = [Self::Table; Encoding::ALL.len()];
        let mut n = 0;
        while n < all.len() {
            all[n] = match Encoding::ALL[n] {
                Encoding::Table => Self::Table,
                Encoding::Json => Self::Json,
                Encoding::Jsonl => Self::Jsonl,
                other => Self::Of(other),
            };
            n += 1;
        }
        all
    };

    /// The encoding of alerts by the same name.
    fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Table => Some(Encoding::Table),
            Self::Json => Some(Encoding::Json),
            Self::Jsonl => Some(Encoding::Jsonl),
            Self::Of(encoding) => Some(encoding),
            Self::Csv | Self::Parquet => None,
        }
    }
}

impl ValueEnum for OutputFormat {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [OutputFormat; Encoding::ALL.len() + 2] = {
            let mut all = [OutputFormat::Table; Encoding::ALL.len() + 2];
            let mut n = 0;
            while n < OutputFormat::ALERTS.len() {
                all[n] = OutputFormat::ALERTS[n];
                n += 1;
            }
            all[n] = OutputFormat::Csv;
            all[n + 1] = OutputFormat::Parquet;
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Table => PossibleValue::new("table"),
            Self::Json => PossibleValue::new("json"),
            Self::Jsonl => PossibleValue::new("jsonl"),
            Self::Csv => PossibleValue::new("csv").help("`query` only"),
            Self::Parquet => PossibleValue::new("parquet").help("`query` only"),
            Self::Of(encoding) => {
                PossibleValue::new(encoding.as_str()).help(format!("Alerts only: {}", encoding.title()))
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read logs into the lake
    Ingest(ingest::IngestArgs),
    /// Run the detections over the lake
    Detect(detect::DetectArgs),
    /// Send alerts to the sinks of calltrail.toml
    Ship(ship::ShipArgs),
    /// List the sinks, try them out
    #[command(subcommand)]
    Sinks(sinks::SinksCommand),
    /// Ingest, detect and ship as calltrail.toml says, once or again and again
    Run(run::RunArgs),
    /// Run SQL over the lake: a statement, a file, or a shell
    Query(query::QueryArgs),
    /// List, check, test and write rules, show what they cover
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// List, show, export and suppress alerts
    #[command(subcommand)]
    Alerts(alerts::AlertsCommand),
    /// Learn what is normal in the lake
    Train(train::TrainArgs),
    /// Find sessions in which the agent obeyed somebody else, or stopped being itself
    Score(score::ScoreArgs),
    /// The behaviour model
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Print one session as a timeline
    Session(session::SessionArgs),
    /// Look after the lake
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// List the log formats, explain how a file is read
    #[command(subcommand)]
    Formats(formats::FormatsCommand),
}

/// What commands work with.
struct Context {
    global: Global,
    config: Config,
    ui: Ui,
    runtime: tokio::runtime::Runtime,
    /// How object stores are reached.
    storage: Arc<StorageOptions>,
}

impl Context {
    /// Where the lake is: option, environment, configuration, default.
    fn lake_location(&self) -> Location {
        Location::new(self.global.lake.as_deref().unwrap_or(&self.config.lake), Arc::clone(&self.storage))
    }

    fn open_lake(&self) -> Result<Lake, CommandError> {
        Ok(Lake::open(&self.lake_location())?)
    }

    /// How a command waits for its turn to write.
    fn patience<'a>(&self, purpose: &'static str, notice: &'a (dyn Fn(&str) + Sync)) -> Patience<'a> {
        Patience { purpose, limit: self.global.lock_timeout, notice, cancelled: &|| false }
    }

    /// Signs what is written to the lake, if there is a key to sign with.
    fn signed(&self, lake: Lake) -> Result<Lake, CommandError> {
        let Some(path) = self.global.signing_key.as_ref().or(self.config.chain.signing_key.as_ref()) else {
            return Ok(lake);
        };
        let usage = |cause: String| CommandError::usage(format!("signing key {}: {cause}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|cause| usage(cause.to_string()))?;
        Ok(lake.signed_by(Some(Signer::parse(&text).map_err(usage)?)))
    }

    /// Finds the flows of what is new in the lake, for who only reads it: if that cannot be, it says so and goes on.
    fn find_flows(&self, lake: &Lake) {
        let notice = |text: &str| self.ui.say(visible(text));
        let patience = self.patience("lineage", &notice);
        let now = ui::now().timestamp_millis();
        let updated = self.runtime.block_on(crate::lineage::update(lake, &patience, now));
        if let Err(error) = updated {
            self.ui.warn(visible(&format!("flows of the newest calls are missing: {error}")));
        }
    }

    /// A session over the lake as it is now.
    fn session(&self, lake: &Lake) -> Result<Session, CommandError> {
        let providers = self.runtime.block_on(lake.providers())?;
        Ok(self.runtime.block_on(Session::new(providers, self.session_options()))?)
    }

    /// What queries may use, as configured.
    fn session_options(&self) -> SessionOptions {
        let memory_limit = usize::try_from(self.config.query.memory_limit).ok();
        SessionOptions { memory_limit, ..SessionOptions::default() }
    }

    /// The range of `--since` and `--until`. One that ends before it begins is a slip: all would be quiet in it.
    fn range(
        &self,
        since: Option<crate::config::units::When>,
        until: Option<crate::config::units::When>,
    ) -> Result<TimeRange, CommandError> {
        let micros = |when: crate::config::units::When| when.resolve(ui::now()).timestamp_micros();
        let range = TimeRange { since: since.map(micros), until: until.map(micros) };
        match (range.since, range.until) {
            (Some(since), Some(until)) if since > until => Err(CommandError::usage(
                "--until is before --since: `--since 7d --until 1d` is the week but its last day",
            )),
            _ => Ok(range),
        }
    }

    /// The format asked for, if the command knows it.
    fn format(&self, known: &[OutputFormat]) -> Result<OutputFormat, CommandError> {
        let format = self.global.format.unwrap_or(OutputFormat::Table);
        if known.contains(&format) {
            return Ok(format);
        }
        let names: Vec<String> =
            known.iter().filter_map(|f| f.to_possible_value()).map(|v| v.get_name().to_owned()).collect();
        Err(CommandError::usage(format!("this command writes {}; choose one with --format", names.join(", "))))
    }
}

/// The place of a lake. A variable that a script has left empty must not mean the folder that the program is in.
fn parse_lake(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty: name a folder or a URL, or leave --lake out and CALLTRAIL_LAKE unset".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nothing can be done where even the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if matches!(cli.command, Command::Ingest(_) | Command::Run(_)) {
        keep_freed_pages();
    }
    let ui = Ui::new(cli.global.quiet, cli.global.color);
    match dispatch(cli, ui.clone()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => error.report(&ui),
    }
}

/// Starts the program once more with the allocator told to keep freed pages. It reads that from the environment before
/// `main`, and by default gives buffers of some MB back all the time: a third of ingest's CPU time went into clearing them again.
fn keep_freed_pages() {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        const SETTING: &str = "MIMALLOC_PURGE_DELAY";
        if std::env::var_os(SETTING).is_none()
            && let Ok(program) = std::env::current_exe()
        {
            // Returns only if it failed, and then all still works as it is.
            let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(SETTING, "-1").exec();
            tracing::debug!(%error, "cannot restart with another allocator setting");
        }
    }
}

/// Threads for what blocks. Each sink has two more: one that reads what waits for it, and one for which that waits.
const BLOCKING_THREADS: usize = 32;

fn dispatch(cli: Cli, ui: Ui) -> Result<u8, CommandError> {
    ui.start_tracing();
    let config = Config::load(cli.global.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(8 << 20)
        // A table's log is read file by file at once. A thread for each, kept for ten seconds as by default, has an allocator's heap of its own.
        .max_blocking_threads(BLOCKING_THREADS + 2 * config.sinks.len())
        .thread_keep_alive(Duration::from_millis(250))
        .build()
        .map_err(|cause| CommandError::failure(format!("cannot start worker threads: {cause}")))?;
    let mut storage = config.storage.clone();
    storage
        .add_environment(std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))));
    let context = Context { global: cli.global, config, ui, runtime, storage: Arc::new(storage) };
    match cli.command {
        Command::Ingest(args) => ingest::run(&context, &args),
        Command::Detect(args) => detect::run(&context, &args),
        Command::Ship(args) => ship::run(&context, &args),
        Command::Sinks(command) => sinks::run(&context, &command),
        Command::Run(args) => run::run(&context, &args),
        Command::Query(args) => query::run(&context, &args),
        Command::Rules(command) => rules::run(&context, &command),
        Command::Alerts(command) => alerts::run(&context, &command),
        Command::Train(args) => train::run(&context, &args),
        Command::Score(args) => score::run(&context, &args),
        Command::Model(command) => model::run(&context, &command),
        Command::Session(args) => session::run(&context, &args),
        Command::Lake(command) => lake::run(&context, &command),
        Command::Formats(command) => formats::run(&context, &command),
    }
}
