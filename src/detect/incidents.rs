//! Alerts rolled up into incidents, as the view `incidents` has them.

use super::DetectError;
use crate::alert::{Alert, Incident, alerts_to_batch};
use crate::lake::Lake;
use crate::query::{QueryError, Session, SessionOptions};
use datafusion::datasource::MemTable;
use std::sync::Arc;

/// Every incident of the lake, the greatest risk first.
///
/// # Errors
/// The alerts cannot be read.
pub async fn incidents(session: &Session) -> Result<Vec<Incident>, QueryError> {
    let sql = "SELECT * EXCEPT (first_seen, last_seen), CAST(first_seen AS BIGINT) AS first_seen, \
               CAST(last_seen AS BIGINT) AS last_seen FROM incidents ORDER BY risk DESC, last_seen DESC, incident_id";
    session.rows(sql).await
}

/// The incidents that these alerts of the lake make: suppressions that were written, lifted or have run out since the last run count.
///
/// # Errors
/// The lake cannot be read.
pub async fn incidents_of(
    lake: &Lake,
    options: SessionOptions,
    alerts: &[Alert],
) -> Result<Vec<Incident>, DetectError> {
    let batch = alerts_to_batch(alerts).map_err(QueryError::from)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(QueryError::from)?;
    let mut tables = lake.providers().await?;
    tables.retain(|(name, _)| name != "alerts");
    tables.push(("alerts".to_owned(), Arc::new(table)));
    Ok(incidents(&Session::new(tables, options).await?).await?)
}
