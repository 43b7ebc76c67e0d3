//! Many alerts as one message, for people who read them: how many there are, of which rules, and the worst by name.

use super::Sink;
use super::events::own_alert;
use super::feed::{Item, encoded};
use crate::alert::Level;
use crate::sink::destination::Message;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Rules that a digest names.
const RULES: usize = 20;

/// The messages of a batch; one, if the sink wants a digest of so many.
pub(super) fn messages(sink: &Sink, batch: &[Item]) -> Vec<Message> {
    let is_digest = sink.digest_above.is_some_and(|above| batch.len() > above);
    match is_digest.then(|| digest(sink, batch)).flatten() {
        Some(message) => vec![message],
        None => batch.iter().map(|item| item.message.clone()).collect(),
    }
}

fn digest(sink: &Sink, batch: &[Item]) -> Option<Message> {
    let mut of_rule: BTreeMap<&str, (Level, usize, &str)> = BTreeMap::new();
    let mut of_level: BTreeMap<Level, usize> = BTreeMap::new();
    let mut digest = Sha256::new();
    for item in batch {
        let message = &item.message;
        *of_level.entry(message.level).or_default() += 1;
        let (worst, count, _) = of_rule.entry(&message.rule).or_insert((message.level, 0, &item.title));
        (*worst, *count) = ((*worst).max(message.level), *count + 1);
        digest.update(message.id.as_bytes());
    }
    let mut rules: Vec<_> = of_rule.into_iter().collect();
    rules.sort_by(|(a, (a_level, a_count, _)), (b, (b_level, b_count, _))| {
        (b_level, b_count).cmp(&(a_level, a_count)).then(a.cmp(b))
    });
    let levels: Vec<String> = of_level.iter().rev().map(|(level, count)| format!("{count} {level}")).collect();
    let title = format!("{} alerts: {}", batch.len(), levels.join(", "));
    let mut lines: Vec<String> = rules
        .iter()
        .take(RULES)
        .map(|(rule, (level, count, title))| format!("{count} × {title} ({rule}, {level})"))
        .collect();
    if rules.len() > RULES {
        lines.push(format!("and {} more rules", rules.len() - RULES));
    }
    let id: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let level = of_level.keys().next_back().copied().unwrap_or(Level::Informational);
    let times = batch.iter().map(|item| item.message.time);
    let (first, last) = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
    let mut alert = own_alert("calltrail_digest", &title, level, last, &lines.join("\n"));
    alert.finding.first_seen = first;
    alert.alert_id = id;
    let ids: Vec<&str> =
        batch.iter().map(|item| item.message.id.as_str()).take(crate::alert::MAX_OBSERVABLES).collect();
    alert.finding.evidence.insert("alert_ids".to_owned(), ids.into());
    alert.finding.evidence.insert("alerts".to_owned(), batch.len().into());
    encoded(sink, &alert).ok()
}
