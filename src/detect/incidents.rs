//! Alerts rolled up into incidents, as the view `incidents` has them.

use crate::alert::Incident;
use crate::query::{QueryError, Session};

/// Every incident of the lake, the greatest risk first.
///
/// # Errors
/// The alerts cannot be read.
pub async fn incidents(session: &Session) -> Result<Vec<Incident>, QueryError> {
    let sql = "SELECT * EXCEPT (first_seen, last_seen), CAST(first_seen AS BIGINT) AS first_seen, \
               CAST(last_seen AS BIGINT) AS last_seen FROM incidents ORDER BY risk DESC, last_seen DESC, incident_id";
    session.rows(sql).await
}
