//! Writes down what became of alerts, in groups: a second's worth or so at a time, for all sinks together.

use super::ledger::{self, Row};
use super::{Clock, Shipment};
use crate::lake::{Lake, LakeError, Patience};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A group is written when it has so many rows,
const ROWS: usize = 20_000;
/// or this long after its first row: what is sent again after a crash is what was sent in this time.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Recorder {
    lake: Arc<Lake>,
    rows: mpsc::Receiver<Vec<Row>>,
    clock: Arc<dyn Clock>,
    lock_timeout: Duration,
}

/// Takes rows; waits if writing is behind.
pub(super) type Rows = mpsc::Sender<Vec<Row>>;

impl Recorder {
    pub(super) fn new(lake: Arc<Lake>, shipment: &Shipment) -> (Self, Rows) {
        let (sender, rows) = mpsc::channel(64);
        let clock = Arc::clone(&shipment.clock);
        (Self { lake, rows, clock, lock_timeout: shipment.lock_timeout }, sender)
    }

    /// Writes until nobody has anything to say any more.
    pub(super) async fn run(mut self) -> Result<(), LakeError> {
        let mut group: Vec<Row> = Vec::new();
        let mut due = pin!(tokio::time::sleep(INTERVAL));
        loop {
            tokio::select! {
                rows = self.rows.recv() => match rows {
                    None => break,
                    Some(rows) => {
                        if group.is_empty() {
                            due.set(tokio::time::sleep(INTERVAL));
                        }
                        group.extend(rows);
                        if group.len() >= ROWS {
                            self.write(&mut group).await?;
                        }
                    }
                },
                () = &mut due, if !group.is_empty() => self.write(&mut group).await?,
            }
        }
        if group.is_empty() { Ok(()) } else { self.write(&mut group).await }
    }

    async fn write(&self, group: &mut Vec<Row>) -> Result<(), LakeError> {
        let patience = Patience::silent("ship", self.lock_timeout);
        ledger::add(&self.lake, &patience, group, self.clock.now()).await?;
        group.clear();
        Ok(())
    }
}
