//! The backend of rsigma-convert for `calls`: conditions of Sigma as conditions of SQL.
//!
//! The tests of single fields are written by `condition`; here they are put together.

use super::condition::{any_of, exists, keyword, shared};
use super::field::resolve;
use super::probe::{Modifiers, Probe, plain};
use super::sql::{joined, literal};
use parking_lot::Mutex;
use rsigma_convert::backend::Backend;
use rsigma_convert::convert::default_convert_detection;
use rsigma_convert::{ConversionState, ConvertError, ConvertResult};
use rsigma_eval::pipeline::state::PipelineState;
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, FieldSpec, Modifier, Quantifier, SigmaRule, SigmaString, SigmaValue,
};
use std::collections::{BTreeMap, HashMap};

/// Where a conversion keeps the name of the detection that it is at.
const DETECTION: &str = "detection";

/// Converts to conditions on rows of `calls`. Problems with items are collected, so that all of them are named at once.
#[derive(Default)]
pub(super) struct Calls {
    faults: Mutex<Vec<ItemFault>>,
}

/// What is wrong with one item of a detection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ItemFault {
    pub(super) detection: String,
    /// `None` for keywords.
    pub(super) item: Option<FieldSpec>,
    pub(super) message: String,
}

pub(super) type Converted<T> = Result<T, ConvertError>;

pub(super) fn refused(message: impl Into<String>) -> ConvertError {
    ConvertError::RuleConversion(message.into())
}

/// An error's message without the crate's words around it.
pub(super) fn message(error: ConvertError) -> String {
    match error {
        ConvertError::RuleConversion(message) => message,
        other => other.to_string(),
    }
}

impl Calls {
    /// What is wrong with the items converted so far.
    pub(super) fn faults(self) -> Vec<ItemFault> {
        self.faults.into_inner()
    }

    /// The condition of a detection section: its conditions, any of which will do. Every detection is looked at.
    ///
    /// # Errors
    /// A condition names what is not there. Faults of items are in [`Self::faults`].
    pub(super) fn condition(&self, detections: &rsigma_parser::Detections) -> Converted<String> {
        let mut state = ConversionState::default();
        for (name, detection) in detections.named.iter().collect::<BTreeMap<_, _>>() {
            state.processing_state.insert(DETECTION.to_owned(), name.as_str().into());
            self.convert_detection(detection, &mut state)?;
        }
        // Conditions convert the detections again, and say nothing new of them.
        let known = self.faults.lock().len();
        let conditions = detections.conditions.iter();
        let conditions: Converted<Vec<String>> =
            conditions.map(|condition| self.convert_condition(condition, &detections.named, &mut state)).collect();
        self.faults.lock().truncate(known);
        self.convert_condition_or(&conditions?)
    }

    fn keep(&self, state: &ConversionState, item: Option<&FieldSpec>, error: ConvertError) -> String {
        let detection = state.get_state_str(DETECTION).unwrap_or_default().to_owned();
        self.faults.lock().push(ItemFault { detection, item: item.cloned(), message: message(error) });
        "FALSE".to_owned()
    }

    fn item(&self, item: &DetectionItem, state: &mut ConversionState) -> Converted<String> {
        let modifiers = Modifiers::of(&item.field.modifiers).map_err(refused)?;
        if item.values.is_empty() {
            return Err(refused("the list of values is empty"));
        }
        if modifiers.all && item.values.len() < 2 {
            return Err(refused("`all` is for several values"));
        }
        let Some(name) = item.field.name.as_deref() else {
            if modifiers.neq || modifiers.exists || modifiers.fieldref {
                return Err(refused("keywords have no field that this modifier could look at"));
            }
            let parts = item.values.iter().map(|value| keyword(&item.field.modifiers, value));
            let parts: Vec<String> = parts.collect::<Converted<_>>()?;
            return if modifiers.all { self.convert_condition_and(&parts) } else { self.convert_condition_or(&parts) };
        };
        if modifiers.exists {
            let wanted = match item.values.as_slice() {
                [SigmaValue::Bool(wanted)] => *wanted,
                _ => return Err(refused("`exists` takes true or false")),
            };
            return self.convert_field_exists(name, wanted, state);
        }
        if modifiers.fieldref {
            let references = item.values.iter().map(|value| {
                let other = plain(value).map_err(refused)?;
                query(self.convert_field_ref(name, &other, state)?)
            });
            let references: Vec<String> = references.collect::<Converted<_>>()?;
            return self.convert_condition_or(&references);
        }
        let field = resolve(name).map_err(refused)?;
        let probes = item.values.iter().map(|value| modifiers.probes(value).map_err(refused));
        let probes: Vec<Vec<Probe>> = probes.collect::<Converted<_>>()?;
        if modifiers.neq {
            if probes.len() > 1 {
                return Err(refused(
                    "`neq` with several values would hold for every value: say `not` in the condition",
                ));
            }
            let equal = any_of(&field, &probes.concat())?;
            return Ok(format!("({} AND NOT {equal})", exists(&field)));
        }
        if modifiers.all {
            let each: Vec<String> = probes.iter().map(|probes| any_of(&field, probes)).collect::<Converted<_>>()?;
            return self.convert_condition_and(&each);
        }
        any_of(&field, &probes.concat())
    }

    /// One value of a field under these modifiers.
    fn one(&self, field: &str, modifiers: &[Modifier], value: &SigmaValue) -> Converted<String> {
        let probes = Modifiers::of(modifiers).and_then(|modifiers| modifiers.probes(value)).map_err(refused)?;
        any_of(&resolve(field).map_err(refused)?, &probes)
    }
}

fn query(result: ConvertResult) -> Converted<String> {
    match result {
        ConvertResult::Query(query) => Ok(query),
        ConvertResult::Deferred(part) => Err(refused(format!("no condition on one call: {part:?}"))),
    }
}

impl Backend for Calls {
    fn name(&self) -> &str {
        "calltrail"
    }
    fn formats(&self) -> &[(&str, &str)] {
        &[("default", "a query over `calls` that gives findings")]
    }

    fn convert_rule(&self, rule: &SigmaRule, format: &str, _: &PipelineState) -> Converted<Vec<String>> {
        let state = ConversionState::default();
        let condition = self.finish_query(rule, self.condition(&rule.detection)?, &state)?;
        Ok(vec![self.finalize_query(rule, condition, 0, &state, format)?])
    }

    fn convert_condition(
        &self,
        expr: &ConditionExpr,
        detections: &HashMap<String, Detection>,
        state: &mut ConversionState,
    ) -> Converted<String> {
        let mut all = |exprs: &[ConditionExpr]| -> Converted<Vec<String>> {
            exprs.iter().map(|expr| self.convert_condition(expr, detections, state)).collect()
        };
        match expr {
            ConditionExpr::And(exprs) => self.convert_condition_and(&all(exprs)?),
            ConditionExpr::Or(exprs) => self.convert_condition_or(&all(exprs)?),
            ConditionExpr::Not(inner) => self.convert_condition_not(&self.convert_condition(inner, detections, state)?),
            ConditionExpr::Identifier(name) => match detections.get(name) {
                Some(detection) => self.convert_detection(detection, state),
                None => Err(refused(format!("the condition names `{name}`, which is no detection of the rule"))),
            },
            ConditionExpr::Selector { quantifier, pattern } => {
                // By name: the order of a hash map is another in every run, and with it the rule's version would be.
                let named: BTreeMap<&String, &Detection> =
                    detections.iter().filter(|(name, _)| pattern.matches_detection_name(name)).collect();
                if named.is_empty() {
                    return Err(refused(format!("the condition names `{expr}`, which is no detection of the rule")));
                }
                let parts = named.values().map(|detection| self.convert_detection(detection, state));
                let parts: Vec<String> = parts.collect::<Converted<_>>()?;
                match quantifier {
                    Quantifier::Any | Quantifier::Count(1) => self.convert_condition_or(&parts),
                    Quantifier::All => self.convert_condition_and(&parts),
                    Quantifier::Count(count) => {
                        let ones: Vec<String> = parts.iter().map(|part| format!("CAST({part} AS INT)")).collect();
                        Ok(format!("({} >= {count})", ones.join(" + ")))
                    }
                }
            }
        }
    }

    fn convert_condition_and(&self, exprs: &[String]) -> Converted<String> {
        Ok(joined(exprs, "AND"))
    }
    fn convert_condition_or(&self, exprs: &[String]) -> Converted<String> {
        Ok(joined(exprs, "OR"))
    }
    fn convert_condition_not(&self, expr: &str) -> Converted<String> {
        Ok(format!("NOT ({expr})"))
    }

    fn convert_detection(&self, detection: &Detection, state: &mut ConversionState) -> Converted<String> {
        match detection {
            Detection::AllOf(items) if items.is_empty() => {
                Ok(self.keep(state, None, refused("the detection is empty")))
            }
            Detection::AnyOf(parts) if parts.is_empty() => {
                Ok(self.keep(state, None, refused("the detection is empty")))
            }
            Detection::Keywords(values) if values.is_empty() => {
                Ok(self.keep(state, None, refused("the list of keywords is empty")))
            }
            _ => default_convert_detection(self, detection, state),
        }
    }

    fn convert_detection_item(&self, item: &DetectionItem, state: &mut ConversionState) -> Converted<String> {
        self.item(item, state).or_else(|error| Ok(self.keep(state, Some(&item.field), error)))
    }

    fn escape_and_quote_field(&self, field: &str) -> String {
        super::sql::ident(field)
    }
    fn convert_value_str(&self, value: &SigmaString, _: &ConversionState) -> String {
        literal(&value.as_plain().unwrap_or_else(|| value.original.clone()))
    }
    fn convert_value_re(&self, regex: &str, _: &ConversionState) -> String {
        literal(regex)
    }

    fn convert_field_eq_str(
        &self,
        field: &str,
        value: &SigmaString,
        modifiers: &[Modifier],
        _: &mut ConversionState,
    ) -> Converted<ConvertResult> {
        self.one(field, modifiers, &SigmaValue::String(value.clone())).map(ConvertResult::Query)
    }
    fn convert_field_eq_str_case_sensitive(
        &self,
        field: &str,
        value: &SigmaString,
        modifiers: &[Modifier],
        state: &mut ConversionState,
    ) -> Converted<ConvertResult> {
        self.convert_field_eq_str(field, value, &[modifiers, &[Modifier::Cased]].concat(), state)
    }
    fn convert_field_eq_num(&self, field: &str, value: f64, _: &mut ConversionState) -> Converted<String> {
        self.one(field, &[], &SigmaValue::Float(value))
    }
    fn convert_field_eq_bool(&self, field: &str, value: bool, _: &mut ConversionState) -> Converted<String> {
        self.one(field, &[], &SigmaValue::Bool(value))
    }
    fn convert_field_eq_null(&self, field: &str, _: &mut ConversionState) -> Converted<String> {
        self.one(field, &[], &SigmaValue::Null)
    }
    fn convert_field_eq_re(
        &self,
        field: &str,
        pattern: &str,
        flags: &[Modifier],
        _: &mut ConversionState,
    ) -> Converted<ConvertResult> {
        self.one(field, flags, &SigmaValue::from_raw_string(pattern)).map(ConvertResult::Query)
    }
    fn convert_field_eq_cidr(&self, field: &str, cidr: &str, _: &mut ConversionState) -> Converted<ConvertResult> {
        self.one(field, &[Modifier::Cidr], &SigmaValue::from_raw_string(cidr)).map(ConvertResult::Query)
    }
    fn convert_field_compare(
        &self,
        field: &str,
        operator: &Modifier,
        value: f64,
        _: &mut ConversionState,
    ) -> Converted<String> {
        self.one(field, &[*operator], &SigmaValue::Float(value))
    }
    fn convert_field_exists(&self, field: &str, wanted: bool, _: &mut ConversionState) -> Converted<String> {
        let exists = exists(&resolve(field).map_err(refused)?);
        Ok(if wanted { exists } else { format!("NOT ({exists})") })
    }
    fn convert_field_eq_query_expr(&self, field: &str, _: &str, _: &str, _: &mut ConversionState) -> Converted<String> {
        Err(refused(format!(
            "`{field}`: values that are queries of their own come from pipelines, which there are none of here"
        )))
    }

    fn convert_field_ref(&self, field: &str, other: &str, _: &mut ConversionState) -> Converted<ConvertResult> {
        let (one, other) = (resolve(field).map_err(refused)?, resolve(other).map_err(refused)?);
        Ok(ConvertResult::Query(shared(&one, &other)?))
    }

    fn convert_keyword(&self, value: &SigmaValue, state: &mut ConversionState) -> Converted<String> {
        keyword(&[], value).or_else(|error| Ok(self.keep(state, None, error)))
    }

    fn finish_query(&self, rule: &SigmaRule, query: String, _: &ConversionState) -> Converted<String> {
        let scope = super::scope(&rule.logsource).map_err(refused)?;
        Ok(joined(&[scope.map(str::to_owned).into_iter().collect(), vec![query]].concat(), "AND"))
    }

    /// A finding for each call on which the condition holds.
    fn finalize_query(
        &self,
        rule: &SigmaRule,
        query: String,
        _: usize,
        _: &ConversionState,
        _: &str,
    ) -> Converted<String> {
        let evidence = super::evidence(&rule.fields).map_err(refused)?;
        let evidence: String = evidence.iter().map(|column| format!(",\n    {column}")).collect();
        Ok(format!(
            "SELECT\n    session_id,\n    agent,\n    user_id,\n    server,\n    tool,\n    time AS first_seen,\n    time AS last_seen,\n    \
             make_array(call_id) AS call_ids{evidence}\nFROM calls\nWHERE {query}\n"
        ))
    }

    fn finalize_output(&self, queries: Vec<String>, _: &str) -> Converted<String> {
        Ok(queries.join(";\n"))
    }
}
