//! What a Sigma rule needs of a log, read off its conditions: Sigma has no key for it.
//!
//! All parts of an AND are needed, one of the parts of an OR; a NOT needs nothing, since it holds for what is missing.

use super::super::needs::{LogField, words_of};
use super::field::resolve;
use rsigma_parser::{ConditionExpr, Detection, DetectionItem, Detections, Modifier, Quantifier, SigmaValue};
use std::collections::BTreeSet;

type Words = BTreeSet<&'static str>;

/// Each entry is a list of words any of which will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) needs: BTreeSet<Words>,
    /// Every word that the rule makes use of.
    pub(super) uses: Words,
}

impl Demand {
    /// Of a detection section.
    pub(super) fn of(detections: &Detections) -> Self {
        let conditions = detections.conditions.iter().map(|condition| Self::of_condition(condition, detections));
        Self::any(conditions.collect())
    }

    /// Of a field that must be there.
    pub(super) fn of_field(name: &str) -> Self {
        let Ok(field) = resolve(name) else { return Self::default() };
        let words: Words = match field.column.as_str() {
            "markers" => ["arguments", "results"].into(),
            _ => words_of(&format!("calls.{}", field.stored())).map(|field: &LogField| field.name).collect(),
        };
        Self { needs: (!words.is_empty()).then(|| words.clone()).into_iter().collect(), uses: words }
    }

    /// All of them.
    pub(super) fn all(parts: Vec<Self>) -> Self {
        let mut whole = Self::default();
        for part in parts {
            whole.needs.extend(part.needs);
            whole.uses.extend(part.uses);
        }
        whole
    }

    /// Any of them.
    pub(super) fn any(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let uses: Words = parts.iter().flat_map(|part| part.uses.iter().copied()).collect();
        let first = parts.first().map(|part| part.needs.clone()).unwrap_or_default();
        let needs = if parts.iter().all(|part| part.needs == first) {
            first
        } else if parts.iter().any(|part| part.needs.is_empty()) {
            BTreeSet::new()
        } else {
            // Weaker than the truth, and never more than it: without any of these no part holds.
            [parts.iter().flat_map(|part| part.needs.iter().flatten().copied()).collect()].into()
        };
        Self { needs, uses }
    }

    /// What it makes use of and does not need.
    pub(super) fn helps(&self) -> Words {
        self.uses.iter().copied().filter(|word| !self.needs.iter().any(|words| words.contains(word))).collect()
    }

    fn unneeded(self) -> Self {
        Self { needs: BTreeSet::new(), ..self }
    }

    fn of_condition(condition: &ConditionExpr, detections: &Detections) -> Self {
        let each = |exprs: &[ConditionExpr]| exprs.iter().map(|expr| Self::of_condition(expr, detections)).collect();
        match condition {
            ConditionExpr::And(exprs) => Self::all(each(exprs)),
            ConditionExpr::Or(exprs) => Self::any(each(exprs)),
            ConditionExpr::Not(inner) => Self::of_condition(inner, detections).unneeded(),
            ConditionExpr::Identifier(name) => detections.named.get(name).map(Self::of_detection).unwrap_or_default(),
            ConditionExpr::Selector { quantifier, pattern } => {
                let named = detections.named.iter().filter(|(name, _)| pattern.matches_detection_name(name));
                let parts = named.map(|(_, detection)| Self::of_detection(detection)).collect();
                if matches!(quantifier, Quantifier::All) { Self::all(parts) } else { Self::any(parts) }
            }
        }
    }

    fn of_detection(detection: &Detection) -> Self {
        match detection {
            Detection::AllOf(items) => Self::all(items.iter().map(Self::of_item).collect()),
            Detection::AnyOf(parts) => Self::any(parts.iter().map(Self::of_detection).collect()),
            Detection::Keywords(_) => Self::of_keywords(),
        }
    }

    fn of_item(item: &DetectionItem) -> Self {
        let Some(name) = &item.field.name else { return Self::of_keywords() };
        let mut demand = Self::of_field(name);
        if item.field.has_modifier(Modifier::FieldRef) {
            let others = item.values.iter().filter_map(|value| super::probe::plain(value).ok());
            demand = Self::all(others.map(|other| Self::of_field(&other)).chain([demand]).collect());
        }
        let holds_for_missing = item.values.contains(&SigmaValue::Null)
            || (item.field.has_modifier(Modifier::Exists) && item.values.contains(&SigmaValue::Bool(false)));
        if holds_for_missing { demand.unneeded() } else { demand }
    }

    /// Keywords look at every text; payloads have most of it.
    fn of_keywords() -> Self {
        Self { needs: BTreeSet::new(), uses: ["arguments", "results"].into() }
    }
}
