//! Writes down what became of alerts, in groups: a second's worth or so at a time, for all sinks together.

use super::ledger::{self, Row};
use super::{Clock, Shipment};
use crate::lake::{Lake, LakeError, Patience};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::Instrument as _;

/// A group is written when it has so many rows,
const ROWS: usize = 20_000;
/// or this long after its first row: what is sent again after a crash is what was sent in this time.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows that may wait while a group is being written; who has more waits too.
const WAITING: usize = 20_000;

pub(super) struct Recorder {
    lake: Arc<Lake>,
    told: mpsc::UnboundedReceiver<Told>,
    clock: Arc<dyn Clock>,
    lock_timeout: Duration,
}

enum Told {
    Rows(Vec<Row>, OwnedSemaphorePermit),
    /// Somebody wants to know when all that was told before is written.
    Flush(oneshot::Sender<()>),
}

/// Takes rows; waits if writing is behind.
#[derive(Clone)]
pub(super) struct Rows {
    told: mpsc::UnboundedSender<Told>,
    room: Arc<Semaphore>,
}

impl Rows {
    /// Hands rows over. The recorder ends early only if the lake refuses, and then the run fails with its error.
    pub(super) async fn send(&self, rows: Vec<Row>) {
        let room = u32::try_from(rows.len().min(WAITING)).unwrap_or(1);
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(room).await {
            let _ = self.told.send(Told::Rows(rows, room));
        }
    }

    /// Waits until everything that was handed over is in the lake.
    pub(super) async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        if self.told.send(Told::Flush(sender)).is_ok() {
            let _ = written.await;
        }
    }

    /// Whether nobody writes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.told.is_closed()
    }
}

impl Recorder {
    pub(super) fn new(lake: Arc<Lake>, shipment: &Shipment) -> (Self, Rows) {
        let (sender, told) = mpsc::unbounded_channel();
        let clock = Arc::clone(&shipment.clock);
        let rows = Rows { told: sender, room: Arc::new(Semaphore::new(WAITING)) };
        (Self { lake, told, clock, lock_timeout: shipment.lock_timeout }, rows)
    }

    /// Writes until nobody has anything to say any more.
    pub(super) async fn run(mut self) -> Result<(), LakeError> {
        let mut group: Vec<Row> = Vec::new();
        let mut due = pin!(tokio::time::sleep(INTERVAL));
        loop {
            tokio::select! {
                told = self.told.recv() => match told {
                    None => break,
                    Some(Told::Rows(rows, _room)) => {
                        if group.is_empty() {
                            due.set(tokio::time::sleep(INTERVAL));
                        }
                        group.extend(rows);
                        if group.len() >= ROWS {
                            self.write(&mut group).await?;
                        }
                    }
                    Some(Told::Flush(written)) => {
                        self.write(&mut group).await?;
                        // Who asked may be gone.
                        let _ = written.send(());
                    }
                },
                () = &mut due, if !group.is_empty() => self.write(&mut group).await?,
            }
        }
        self.write(&mut group).await
    }

    async fn write(&self, group: &mut Vec<Row>) -> Result<(), LakeError> {
        if group.is_empty() {
            return Ok(());
        }
        let patience = Patience::silent("ship", self.lock_timeout);
        let span = tracing::info_span!("record", rows = group.len());
        ledger::add(&self.lake, &patience, group, self.clock.now()).instrument(span).await?;
        group.clear();
        Ok(())
    }
}
