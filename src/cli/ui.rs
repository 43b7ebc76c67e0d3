//! The terminal: the only place that writes to standard output and standard error, and that reads the clock.
//!
//! Data goes to standard output, everything else to standard error. Text of logs passes through
//! [`crate::alert::visible`] before it gets here, or through a writer that does the same.

use super::Color;
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _, Write};
use tracing_subscriber::fmt::format::FmtSpan;

/// Time since the program first asked for it.
pub(super) fn clock() -> std::time::Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// Where messages and data go.
#[derive(Clone, Debug)]
pub(super) struct Ui {
    quiet: bool,
    color: Color,
}

impl Ui {
    pub(super) fn new(quiet: bool, color: Color) -> Self {
        Self { quiet, color }
    }

    /// A line about what was done; silent with `--quiet`.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            tell(text.as_ref());
        }
    }

    /// A line that must be seen.
    pub(super) fn warn(&self, text: impl AsRef<str>) {
        tell(&format!("warning: {}", text.as_ref()));
    }

    pub(super) fn error(&self, text: impl AsRef<str>) {
        tell(&format!("error: {}", text.as_ref()));
    }

    /// Standard output.
    pub(super) fn data(&self) -> impl Write + Send + use<> {
        io::BufWriter::new(io::stdout())
    }

    /// Columns of the terminal on standard output; `None` if it is none.
    pub(super) fn width(&self) -> Option<u16> {
        io::stdout().is_terminal().then(|| console::Term::stdout().size().1)
    }

    /// Whether data may hold colours.
    pub(super) fn colors(&self) -> bool {
        self.colors_at(&io::stdout())
    }

    fn colors_at(&self, stream: &impl io::IsTerminal) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: an empty value asks for nothing.
            Color::Auto => {
                stream.is_terminal() && is_clever() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }

    /// A progress bar on a terminal, nothing in a pipe.
    pub(super) fn progress(&self) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() || !is_clever() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {bytes} read, {elapsed}  {wide_msg}");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    }

    /// Sends diagnostics to standard error as `CALLTRAIL_LOG` asks (`error` unless set). A span that ends says how long it took.
    pub(super) fn start_tracing(&self) {
        let filter = tracing_subscriber::EnvFilter::try_from_env("CALLTRAIL_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            // What cannot be written cannot be complained of either.
            .log_internal_errors(false)
            .with_ansi(self.colors_at(&io::stderr()))
            .with_span_events(FmtSpan::CLOSE)
            .without_time()
            .finish();
        // A second call (tests in one process) keeps the first subscriber.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

/// A line to people. Whoever closed the other end does not want to hear it, and that is no reason to stop.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether the terminal knows more than text.
fn is_clever() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The time now. Everything below the command line is told it.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The world's clock and dice, for deliveries.
#[derive(Debug)]
pub(super) struct RealClock;

#[async_trait::async_trait]
impl crate::sink::deliver::Clock for RealClock {
    fn now(&self) -> DateTime<Utc> {
        now()
    }

    fn elapsed(&self) -> std::time::Duration {
        clock()
    }

    async fn sleep(&self, time: std::time::Duration) {
        tokio::time::sleep(time).await;
    }

    fn random(&self) -> f64 {
        let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
        (bits & 0xffff_ffff) as f64 / 4_294_967_296.0
    }
}

/// Seconds since the epoch.
pub(super) fn unix_seconds() -> i64 {
    now().timestamp()
}

/// The name of this machine, where the system tells it.
pub(super) fn host_name() -> Option<String> {
    let text = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let text = text.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    text.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
