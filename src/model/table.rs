//! Scores as the rows of their table: sessions and calls with p-values and reasons, brought up to date with the lake.

use super::calibration::{Calibration, ENOUGH, Known};
use super::normal::Normal;
use super::read::{Scorer, score_lake};
use super::rows::{self, Tools};
use super::saved::{Model, builtin, builtin_id, builtin_model};
use super::score::Reason;
use super::scored::{ScoredCall, ScoredSession};
use crate::lake::tables::{Table, table};
use crate::lake::{Lake, LakeError, Patience, Transaction, data_file};
use crate::query::{QueryError, Session};
use arrow::array::{
    ArrayRef, AsArray as _, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A session with its p-value.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub session: ScoredSession,
    /// Among normal sessions, at most this share scores as high.
    pub p_value: f64,
}

/// A number in 0..=1 that breaks ties: by chance, and the same tomorrow.
fn draw(session_id: &str) -> f64 {
    let digest = blake3::hash(session_id.as_bytes());
    let draw = digest.as_bytes().iter().take(4).fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
    f64::from(draw) / f64::from(u32::MAX)
}

/// The p-value of each session among others.
pub fn p_values(sessions: &[ScoredSession], normal: &Normal) -> Vec<f64> {
    sessions.iter().map(|session| normal.p_value(session, draw(&session.session_id))).collect()
}

/// Gives each session its p-value, the least first; of equal ones the higher score.
///
/// Without a model of the user's the sessions are compared with those that the built-in model knows; where there are enough of them also with each other, and the
/// greater p-value counts: strange is who is strange everywhere.
pub fn judge(sessions: Vec<ScoredSession>, model: Option<&Model>) -> Vec<Judged> {
    let known = match model {
        Some(model) => Some(&model.normal),
        None => builtin_model().map(|model| &model.normal),
    };
    let mut p = known.map_or_else(|| vec![1.0; sessions.len()], |known| p_values(&sessions, known));
    if model.is_none() && sessions.len() > ENOUGH {
        let own = Calibration::new(sessions.iter().map(|session| Known {
            group: session.agent.clone(),
            score: session.score,
            ..Known::default()
        }));
        for (p, session) in p.iter_mut().zip(&sessions) {
            *p = p.max(own.p_value_of_member(session.agent.as_deref(), session.score, draw(&session.session_id)));
        }
    }
    let mut judged: Vec<Judged> =
        sessions.into_iter().zip(p).map(|(session, p_value)| Judged { session, p_value }).collect();
    judged.sort_by(|a, b| {
        a.p_value
            .total_cmp(&b.p_value)
            .then(b.session.score.total_cmp(&a.session.score))
            .then(a.session.session_id.cmp(&b.session.session_id))
    });
    judged
}

/// Sessions that rules have raised an alert on, at medium or above, or the model at any level, that nobody has suppressed. Alerts that were superseded or resolved
/// count: an attack does not become normal because its alert is gone. An alert on an agent, a user or a server is one on the sessions of the calls that it names.
///
/// # Errors
/// The lake cannot be read.
pub async fn alerted(session: &Session) -> Result<HashSet<String>, QueryError> {
    const COUNTS: &str = "suppressed_by IS NULL AND (level IN ('medium', 'high', 'critical') OR kind = 'model')";
    let sql = format!(
        "SELECT CAST(session_id AS VARCHAR) AS session_id FROM alerts WHERE session_id IS NOT NULL AND {COUNTS}
    UNION
    SELECT CAST(c.session_id AS VARCHAR) FROM (SELECT unnest(call_ids) AS call_id FROM alerts WHERE session_id IS NULL AND {COUNTS}) a
    JOIN calls c ON c.call_id = a.call_id WHERE c.session_id IS NOT NULL"
    );
    let mut found = HashSet::new();
    for batch in session.collect(&sql).await? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        found.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(found)
}

/// What brought the table up to date.
#[derive(Debug, Default)]
pub struct Updated {
    /// Every session.
    pub judged: Vec<Judged>,
    /// Sessions that were looked at, because they are new or have changed, and their calls.
    pub sessions: u64,
    pub calls: u64,
    pub with_requests: u64,
}

/// Brings the table `scores` up to date: sessions that are new, have changed, or were scored by another model are scored, the others stay.
///
/// # Errors
/// The lake cannot be read, others had it for too long, or it refuses.
pub async fn update(
    lake: &Lake,
    patience: &Patience<'_>,
    session: &Session,
    model: Option<&Model>,
    now_ms: i64,
) -> Result<Updated, UpdateError> {
    let id = model.map_or_else(builtin_id, Model::id);
    let digests = rows::digests(session).await?;
    let known = read(session).await?;
    let rows_before = known.len();
    let is_current =
        |one: &(Judged, String)| one.1 == id && digests.get(&one.0.session.session_id) == Some(&one.0.session.digest);
    let mut kept: BTreeMap<String, Judged> = BTreeMap::new();
    for one in known.into_iter().filter(is_current) {
        kept.insert(one.0.session.session_id.clone(), one.0);
    }
    let changed: HashSet<String> = digests.keys().filter(|session| !kept.contains_key(*session)).cloned().collect();
    let mut updated = Updated::default();
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    let mut sessions: Vec<ScoredSession> = Vec::new();
    for (session, judged) in kept {
        before.insert(session, judged.p_value);
        sessions.push(judged.session);
    }
    if !changed.is_empty() {
        let mut tools = Tools::read(session).await?;
        let scorer = model.map_or_else(|| Scorer { forest: builtin(), ..Scorer::default() }, Model::scorer);
        let only = (!sessions.is_empty()).then_some(&changed);
        let scored = score_lake(session, &mut tools, scorer, only).await?;
        (updated.sessions, updated.calls, updated.with_requests) =
            (scored.sessions.len() as u64, scored.calls, scored.with_requests);
        sessions.extend(
            scored
                .sessions
                .into_iter()
                .map(|one| ScoredSession { digest: digests.get(&one.session_id).copied().unwrap_or_default(), ..one }),
        );
    }
    updated.judged = judge(sessions, model);
    let is_same = |one: &Judged| before.get(&one.session.session_id) == Some(&one.p_value);
    if updated.judged.len() != rows_before || !updated.judged.iter().all(is_same) {
        store(lake, patience, &updated.judged, &id, now_ms).await?;
    }
    Ok(updated)
}

/// Why scores are not up to date.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// The table as it is, each session with the id of the model that scored it.
async fn read(session: &Session) -> Result<Vec<(Judged, String)>, QueryError> {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Row {
        subject: String,
        session_id: String,
        call_id: Option<String>,
        agent: Option<String>,
        time: Option<i64>,
        score: f64,
        p_value: Option<f64>,
        reasons: Option<String>,
        message: Option<String>,
        model_id: Option<String>,
        number: Option<i64>,
        tool: Option<String>,
        source_call_id: Option<String>,
        parts: Option<String>,
        digest: Option<i64>,
    }
    let mut rows: Vec<Row> = session.rows("SELECT * EXCEPT (time), CAST(time AS BIGINT) AS time FROM scores").await?;
    // Sorted here: for the query engine views into pages of texts weigh as much as the pages. A session stands before its calls, the worst call first.
    rows.sort_by(|a, b| {
        let ids = a.session_id.cmp(&b.session_id).then_with(|| b.subject.cmp(&a.subject));
        ids.then_with(|| b.score.total_cmp(&a.score)).then_with(|| a.number.cmp(&b.number))
    });
    let mut sessions: Vec<(Judged, String)> = Vec::new();
    for row in rows {
        if row.subject == "session" {
            let session = ScoredSession {
                session_id: row.session_id,
                agent: row.agent,
                time: row.time,
                calls: row.number.and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
                score: row.score,
                parts: row.parts.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
                worst: Vec::new(),
                digest: row.digest.unwrap_or_default() as u64,
            };
            sessions.push((Judged { session, p_value: row.p_value.unwrap_or(1.0) }, row.model_id.unwrap_or_default()));
        } else if let Some((judged, _)) =
            sessions.last_mut().filter(|(last, _)| last.session.session_id == row.session_id)
        {
            judged.session.worst.push(ScoredCall {
                call_id: row.call_id.unwrap_or_default(),
                number: row.number.and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
                tool: row.tool.unwrap_or_default(),
                time: row.time,
                score: row.score,
                reasons: row.reasons.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
                message: row.message.unwrap_or_default(),
                source_call_id: row.source_call_id,
            });
        }
    }
    Ok(sessions)
}

/// One row before it is columns.
#[derive(Default)]
struct Cells<'a> {
    texts: [Option<&'a str>; TEXTS.len()],
    time: Option<i64>,
    score: f64,
    p_value: Option<f64>,
    number: i64,
    digest: Option<i64>,
}

const TEXTS: [&str; 10] =
    ["subject", "session_id", "call_id", "agent", "reasons", "message", "model_id", "tool", "source_call_id", "parts"];

/// The texts of one row, in the order of [`TEXTS`].
fn cells<'a>(
    subject: &'a str,
    one: &'a Judged,
    call: Option<&'a ScoredCall>,
    reasons: &'a str,
    model_id: &'a str,
    parts: Option<&'a str>,
) -> [Option<&'a str>; TEXTS.len()] {
    [
        Some(subject),
        Some(&one.session.session_id),
        call.map(|call| call.call_id.as_str()),
        one.session.agent.as_deref(),
        Some(reasons),
        call.map(|call| call.message.as_str()),
        Some(model_id),
        call.map(|call| call.tool.as_str()),
        call.and_then(|call| call.source_call_id.as_deref()),
        parts,
    ]
}

fn batch(judged: &[Judged], model_id: &str) -> Result<RecordBatch, LakeError> {
    let mut texts: Vec<StringBuilder> = TEXTS.iter().map(|_| StringBuilder::new()).collect();
    let mut time = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let (mut score, mut p_value) = (Float64Builder::new(), Float64Builder::new());
    let (mut number, mut digest) = (Int64Builder::new(), Int64Builder::new());
    let mut row = |cells: Cells<'_>| {
        texts.iter_mut().zip(cells.texts).for_each(|(column, value)| column.append_option(value));
        time.append_option(cells.time);
        score.append_value(cells.score);
        p_value.append_option(cells.p_value);
        number.append_value(cells.number);
        digest.append_option(cells.digest);
    };
    for one in judged {
        let session = &one.session;
        let json = |reasons: &[Reason]| serde_json::to_string(reasons).unwrap_or_default();
        let worst = session.worst.first();
        let parts = serde_json::to_string(&session.parts).unwrap_or_default();
        let reasons = worst.map_or_else(|| "[]".to_owned(), |call| json(&call.reasons));
        row(Cells {
            texts: cells("session", one, worst, &reasons, model_id, Some(&parts)),
            time: session.time,
            score: session.score,
            p_value: Some(one.p_value),
            number: session.calls as i64,
            digest: Some(session.digest as i64),
        });
        for call in &session.worst {
            let reasons = json(&call.reasons);
            let texts = cells("call", one, Some(call), &reasons, model_id, None);
            row(Cells { texts, time: call.time, score: call.score, number: call.number as i64, ..Cells::default() });
        }
    }
    let schema = table("scores").map(Table::schema).expect("the lake has the table");
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "time" => Arc::new(time.finish()),
            "score" => Arc::new(score.finish()),
            "p_value" => Arc::new(p_value.finish()),
            "number" => Arc::new(number.finish()),
            "digest" => Arc::new(digest.finish()),
            name => {
                let at = TEXTS.iter().position(|known| *known == name).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Call, CallBatchBuilder, calls_schema};
    use crate::query::SessionOptions;
    use arrow::array::{ListBuilder, StringArray};
    use datafusion::catalog::TableProvider;
    use datafusion::datasource::MemTable;

    #[tokio::test]
    async fn sessions_of_the_calls_that_an_alert_names_are_alerted() {
        let mut calls = CallBatchBuilder::new("test", 0);
        for n in 0..6 {
            calls.append(&Call {
                call_id: format!("c{n}").into(),
                method: "tools/call".into(),
                session_id: Some(format!("s{n}").into()),
                tool: Some("read".into()),
                ..Call::default()
            });
        }
        /// Session, level, suppression, calls.
        type Alert = (Option<&'static str>, &'static str, Option<&'static str>, &'static [&'static str]);
        let alerts: [Alert; 5] = [
            (Some("s0"), "high", None, &["c0", "c5"]),
            (None, "medium", None, &["c1", "c2"]),
            (None, "low", None, &["c3"]),
            (None, "high", Some("x"), &["c4"]),
            (None, "high", None, &[]),
        ];
        let mut ids = ListBuilder::new(StringBuilder::new());
        for (.., calls) in alerts {
            calls.iter().for_each(|id| ids.values().append_value(id));
            ids.append(true);
        }
        let texts = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let alerts = RecordBatch::try_from_iter_with_nullable([
            ("alert_id", texts(vec![Some("a"); 5]), true),
            ("delivery", texts(vec![None; 5]), true),
            ("session_id", texts(alerts.iter().map(|alert| alert.0).collect()), true),
            ("level", texts(alerts.iter().map(|alert| Some(alert.1)).collect()), true),
            ("suppressed_by", texts(alerts.iter().map(|alert| alert.2).collect()), true),
            ("kind", texts(vec![Some("rule"); 5]), true),
            ("call_ids", Arc::new(ids.finish()) as ArrayRef, true),
        ])
        .expect("columns of one length");
        let calls = MemTable::try_new(calls_schema(), vec![vec![calls.finish().expect("a batch")]]).expect("a table");
        let alerts = MemTable::try_new(alerts.schema(), vec![vec![alerts]]).expect("a table");
        // The view `alerts` is made of both.
        let deliveries = crate::lake::tables::table("deliveries").expect("a table").schema();
        let deliveries = MemTable::try_new(deliveries, vec![vec![]]).expect("a table");
        let tables: Vec<(String, Arc<dyn TableProvider>)> = vec![
            ("calls".to_owned(), Arc::new(calls)),
            ("alerts".to_owned(), Arc::new(alerts)),
            ("deliveries".to_owned(), Arc::new(deliveries)),
        ];
        let session = Session::new(tables, SessionOptions::default()).await.expect("a session");
        let found = alerted(&session).await.expect("sessions");
        assert_eq!(found, HashSet::from(["s0", "s1", "s2"].map(str::to_owned)));
    }
}
