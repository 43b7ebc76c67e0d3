//! Scores as the rows of their table: sessions and calls with p-values and reasons.

use super::calibration::Calibration;
use super::read::{Scored, ScoredSession};
use crate::lake::tables::{Table, table};
use crate::lake::{Lake, LakeError, Patience, Transaction, data_file};
use crate::query::{QueryError, Session};
use arrow::array::{ArrayRef, AsArray as _, Float64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use std::collections::HashSet;
use std::sync::Arc;

/// A session with its p-value.
#[derive(Clone, Debug)]
pub struct Judged {
    pub session: ScoredSession,
    /// Among normal sessions, at most this share scores as high.
    pub p_value: f64,
}

/// Gives each session its p-value, the least first; of equal ones the higher score.
pub fn judge(scored: Scored, calibration: &Calibration) -> Vec<Judged> {
    let mut judged: Vec<Judged> = scored
        .sessions
        .into_iter()
        .map(|session| {
            // Ties are broken by the session's id: by chance, and the same tomorrow.
            let digest = blake3::hash(session.session_id.as_bytes());
            let draw = digest.as_bytes().iter().take(4).fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
            let u = f64::from(draw) / f64::from(u32::MAX);
            let p_value = calibration.p_value(session.agent.as_deref(), session.score, u);
            Judged { session, p_value }
        })
        .collect();
    judged.sort_by(|a, b| {
        a.p_value
            .total_cmp(&b.p_value)
            .then(b.session.score.total_cmp(&a.session.score))
            .then(a.session.session_id.cmp(&b.session.session_id))
    });
    judged
}

/// Sessions that rules have raised an alert on, at medium or above, that nobody has suppressed.
///
/// # Errors
/// The lake cannot be read.
pub async fn alerted(session: &Session) -> Result<HashSet<String>, QueryError> {
    let sql = "SELECT DISTINCT CAST(session_id AS VARCHAR) AS session_id FROM alerts \
               WHERE session_id IS NOT NULL AND suppressed_by IS NULL AND level IN ('medium', 'high', 'critical')";
    let mut found = HashSet::new();
    for batch in session.collect(sql).await? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        found.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(found)
}

fn batch(judged: &[Judged], model_id: &str) -> Result<RecordBatch, LakeError> {
    let mut texts: Vec<StringBuilder> = (0..7).map(|_| StringBuilder::new()).collect();
    let mut time = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let (mut score, mut p_value) = (Float64Builder::new(), Float64Builder::new());
    for one in judged {
        let session = &one.session;
        let mut row =
            |subject: &str, call: Option<&str>, at: Option<i64>, value: f64, p: Option<f64>, why: (String, &str)| {
                let values = [
                    Some(subject),
                    Some(&session.session_id),
                    call,
                    session.agent.as_deref(),
                    Some(&why.0),
                    Some(why.1),
                    Some(model_id),
                ];
                texts.iter_mut().zip(values).for_each(|(column, value)| column.append_option(value));
                time.append_option(at);
                score.append_value(value);
                p_value.append_option(p);
            };
        let json = |reasons: &[super::Reason]| serde_json::to_string(reasons).unwrap_or_default();
        let worst = session.worst.first();
        let why = worst.map_or_else(|| ("[]".to_owned(), ""), |call| (json(&call.reasons), call.message.as_str()));
        row("session", worst.map(|call| call.call_id.as_str()), session.time, session.score, Some(one.p_value), why);
        for call in &session.worst {
            row("call", Some(&call.call_id), call.time, call.score, None, (json(&call.reasons), &call.message));
        }
    }
    let schema = table("scores").map(Table::schema).expect("the lake has the table");
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "time" => Arc::new(time.finish()),
            "score" => Arc::new(score.finish()),
            "p_value" => Arc::new(p_value.finish()),
            name => {
                let names = ["subject", "session_id", "call_id", "agent", "reasons", "message", "model_id"];
                let at = names.iter().position(|known| *known == name).unwrap_or_default();
                Arc::new(texts[at].finish())
            }
        }
    });
    let columns = columns.collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// Replaces the rows of the table `scores`.
///
/// # Errors
/// Other writers had the lake for too long, or it refuses.
pub async fn store(
    lake: &Lake,
    patience: &Patience<'_>,
    judged: &[Judged],
    model_id: &str,
    now_ms: i64,
) -> Result<(), LakeError> {
    let rows = batch(judged, model_id)?;
    let lock = lake.lock(patience).await?;
    let mut transaction = Transaction::default();
    for old in lake.files("scores").await? {
        transaction.remove("scores", &old, now_ms);
    }
    if rows.num_rows() > 0 {
        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
        let file = data_file::write(&lake.table_path("scores"), &name, None, &[rows], now_ms)?;
        transaction.add("scores", file.add);
    }
    transaction.commit(lake).await?;
    lock.release()
}
