//! What the features of a call make of it: one score, and the reasons in words.
//!
//! Half of it needs no training: it is the match of the call with an order in an earlier result, less what has another explanation: values that stand elsewhere
//! too, a tool that does something else, and what the user asked for. Its weights were set by hand. The other half is a forest's. Of both, a call that only reads
//! has a little less: to follow a link is what pages are for, and it does less harm.

use super::features::{CallFeatures, FEATURES, place};
use super::forest::Forest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parts of a score that are told.
const MAX_REASONS: usize = 8;

/// What remains of the match if none of the call's values stands in orders alone.
const SHARED_REMAINS: f64 = 0.6;
/// Share of the values from which on they count as the order's own.
const EXCLUSIVE: f64 = 0.5;
/// What remains if a tool that only reads does something else than the order says.
const UNLIKE_REMAINS: f64 = 0.5;
/// Cosine of order and tool up to which they are unlike.
const UNLIKE: f64 = 0.1;
/// What remains if the order only says how something is done that its reader may want.
const HOW_REMAINS: f64 = 0.6;
/// What remains if the user named every value that order and call share.
const NAMED_REMAINS: f64 = 0.1;
/// What remains if the user's requests speak of what the order speaks of.
const ASKED_REMAINS: f64 = 0.2;
/// Share of the order's words from which on they do.
const ASKED: f64 = 0.5;
/// What remains if the user handed the task over to a text: then orders are carried out because the user said so.
const HANDED_OVER_REMAINS: f64 = 0.5;
/// What remains of match and forest together if the tool only reads.
const READS_REMAINS: f64 = 0.9;

/// One part of a score, as the table `scores` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Name of the feature.
    pub feature: String,
    pub value: f64,
    /// What it is for normal sessions, the median; of the features of orders nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<f64>,
    /// What it adds to the score; negative if it takes away.
    pub contribution: f64,
}

/// Share of the score that a forest decides.
const FOREST: f64 = 0.5;

/// The score of a call; higher is more anomalous. Without a forest the match alone, 0..1.2; with one the mean of both, 0..1.
pub fn score(features: &CallFeatures, forest: Option<&Forest>) -> f64 {
    score_values(&features.values, forest)
}

/// The same of the values of all features, in their order.
pub(super) fn score_values(values: &[f32], forest: Option<&Forest>) -> f64 {
    let matched = factors(values).iter().fold(get(values, RULE), |matched, (_, factor)| matched * factor);
    let score = match forest {
        Some(forest) => FOREST * forest.predict(values) + (1.0 - FOREST) * matched.min(1.0),
        None => matched,
    };
    // Few digits: what is written into a model is read back as it was.
    (score * of_reading(values) * 1e6).round() / 1e6
}

/// The greatest score of a session's calls, whose features stand one call after the other.
pub(super) fn greatest(values: &[f32], forest: Option<&Forest>) -> f64 {
    values.chunks(FEATURES.len()).map(|values| score_values(values, forest)).fold(0.0, f64::max)
}

const RULE: usize = place("rule");
const EXCLUSIVE_AT: usize = place("exclusive");
const ACTION_AT: usize = place("order_action");
const HOW_AT: usize = place("order_says_how");
const SYNONYM_AT: usize = place("order_synonym");
const READS_AT: usize = place("reads");
const VALUES_AT: usize = place("user_values");
const ORDER_AT: usize = place("user_order");
const HANDED_AT: usize = place("user_hands_over");

fn get(values: &[f32], at: usize) -> f64 {
    f64::from(values.get(at).copied().unwrap_or_default())
}

/// What takes away from the match of call and order, and what each leaves of it, 0..1.
fn factors(values: &[f32]) -> [(&'static str, f64); 6] {
    let get = |at: usize| get(values, at);
    let towards = |remains: f64, share: f64| 1.0 - (1.0 - remains) * share.clamp(0.0, 1.0);
    let unlike = get(READS_AT) > 0.0 && get(SYNONYM_AT) == 0.0 && get(ACTION_AT) <= UNLIKE;
    [
        ("exclusive", towards(SHARED_REMAINS, 1.0 - get(EXCLUSIVE_AT) / EXCLUSIVE)),
        ("order_action", if unlike { UNLIKE_REMAINS } else { 1.0 }),
        ("order_says_how", towards(HOW_REMAINS, get(HOW_AT))),
        ("user_values", towards(NAMED_REMAINS, get(VALUES_AT))),
        ("user_order", towards(ASKED_REMAINS, get(ORDER_AT) / ASKED)),
        ("user_hands_over", towards(HANDED_OVER_REMAINS, get(HANDED_AT))),
    ]
}

/// What remains of match and forest for what the tool does.
fn of_reading(values: &[f32]) -> f64 {
    if get(values, READS_AT) > 0.0 { READS_REMAINS } else { 1.0 }
}

/// The parts of a call's score, the greatest first. They add up to it, but for the share of positives among all examples that a forest starts from.
pub fn reasons(features: &CallFeatures, forest: Option<&Forest>) -> Vec<Reason> {
    let rule = f64::from(features.get("rule"));
    let mut parts: BTreeMap<&str, f64> = BTreeMap::new();
    let exact = 0.2 * f64::from(features.get("order_exact")) / 3.0;
    parts.insert("order_score", rule - exact);
    parts.insert("order_exact", exact);
    let mut matched = rule;
    for (feature, factor) in factors(&features.values) {
        *parts.entry(feature).or_default() += matched * (factor - 1.0);
        matched *= factor;
    }
    let mut whole = matched;
    if let Some(forest) = forest {
        let scale = (1.0 - FOREST) * if matched > 1.0 { 1.0 / matched } else { 1.0 };
        parts.values_mut().for_each(|part| *part *= scale);
        for (change, (feature, _)) in forest.contributions(&features.values).into_iter().zip(FEATURES.iter().copied()) {
            *parts.entry(feature).or_default() += FOREST * change;
        }
        whole = FOREST * forest.predict(&features.values) + (1.0 - FOREST) * matched.min(1.0);
    }
    *parts.entry("reads").or_default() += whole * (of_reading(&features.values) - 1.0);
    let reason = |(feature, contribution): (&str, f64)| Reason {
        feature: feature.to_owned(),
        value: f64::from(features.get(feature)),
        usual: None,
        contribution,
    };
    let mut reasons: Vec<Reason> = parts.into_iter().filter(|(_, part)| part.abs() >= 0.005).map(reason).collect();
    reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    reasons.truncate(MAX_REASONS);
    reasons
}

/// What stands behind a call's score, in a sentence for an analyst. `source` names the call whose result the order stands in.
pub fn explain(tool: &str, features: &CallFeatures, source: &str) -> String {
    let Some(order) = &features.order else {
        return format!("{tool} resembles calls that carry out orders, though no order that fits it was read");
    };
    let gap = match features.get("order_gap") as u32 {
        0 => "just before".to_owned(),
        1 => "one call earlier".to_owned(),
        10.. => "ten or more calls earlier".to_owned(),
        n => format!("{n} calls earlier"),
    };
    let mut text = format!(
        "{tool} does what a sentence in the result of {source}, {gap}, says: \"{}\"",
        short(&order.sentence, 240)
    );
    if !order.shared.is_empty() {
        let values: Vec<String> = order.shared.iter().take(4).map(|value| format!("`{}`", short(value, 60))).collect();
        text.push_str(&format!("; both name {}", values.join(", ")));
    }
    let exclusive = features.get("exclusive");
    if exclusive > 0.005 {
        text.push_str(&format!("; {:.0} % of what the call says stands in orders and nowhere else", 100.0 * exclusive));
    }
    if features.get("order_says_how") > 0.0 {
        text.push_str("; it says how to do what its reader may want");
    }
    if features.has_requests {
        let named = features.get("user_values");
        text.push_str(&match named {
            n if n < 0.1 => "; the user named nothing of it".to_owned(),
            n => format!("; the user named {:.0} % of it", 100.0 * n),
        });
    }
    text
}

fn short(text: &str, most: usize) -> String {
    if text.len() <= most { text.to_owned() } else { format!("{}…", &text[..text.floor_char_boundary(most)]) }
}
