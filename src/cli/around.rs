//! What an ingest is told of the world: the clocks, the wish to end; and where it says how far it is.

use super::{Context, ui};
use crate::call::Nanos;
use crate::ingest::{Progress, Surroundings};
use crate::visible::visible;
use indicatif::ProgressBar;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// An ingest's surroundings on the command line.
pub(super) struct Around<'a> {
    context: &'a Context,
    bar: ProgressBar,
    started: Instant,
    stop: Arc<Stop>,
    /// The wish to end of a program that does more than to ingest.
    daemon: Option<crate::sink::deliver::Stop>,
}

/// The wish to end.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    notify: Notify,
}

impl<'a> Around<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, bar: context.ui.progress(), started: Instant::now(), stop: Arc::default(), daemon: None }
    }

    /// Ends when the daemon does that it is a part of.
    pub(super) fn within(context: &'a Context, daemon: &crate::sink::deliver::Stop) -> Self {
        Self { daemon: Some(daemon.clone()), ..Self::new(context) }
    }

    /// From now on a signal to end is a wish, not the end.
    pub(super) fn listen(&self) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let signal = {
            let _runtime = self.context.runtime.enter();
            signals()?
        };
        self.context.runtime.spawn(async move {
            signal.await;
            stop.asked.store(true, Ordering::SeqCst);
            stop.notify.notify_one();
        });
        Ok(())
    }

    /// Takes the progress bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Surroundings for Around<'_> {
    fn now(&self) -> Nanos {
        ui::now().timestamp_nanos_opt().unwrap_or_default()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_stopping(&self) -> bool {
        self.stop.asked.load(Ordering::SeqCst) || self.daemon.as_ref().is_some_and(|stop| *stop.borrow())
    }

    fn wait(&self, time: Duration) {
        // Either way the time has come to look again.
        let _ = self.context.runtime.block_on(async { tokio::time::timeout(time, self.stop.notify.notified()).await });
    }

    fn warn(&self, message: &str) {
        self.bar.suspend(|| self.context.ui.warn(visible(message)));
    }

    fn progress(&self, at: Progress<'_>) {
        self.bar.set_position(at.bytes);
        self.bar.set_message(visible(at.file).into_owned());
    }
}

/// Comes true when the user, or the system, wants the program to end.
#[cfg(unix)]
pub(super) fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(super) fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Where no signal can be had, only the end of the input ends the program in order.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
