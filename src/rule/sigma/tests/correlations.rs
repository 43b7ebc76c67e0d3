//! Correlations at random, over calls at random: our SQL finds what the definition says, tried window by window.

use super::{folder, found};
use crate::rule::RuleSet;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

/// A call that rule `a`, `b` or `c` matches (`d` none), at a second.
#[derive(Clone, Debug)]
struct Event {
    at: u32,
    session: u8,
    tool: &'static str,
    /// As bits: none, one, or several.
    values: u8,
}

impl Event {
    fn values(&self) -> impl Iterator<Item = u8> {
        (0..3).filter(move |value| (self.values >> value) & 1 == 1)
    }
}

#[derive(Clone, Debug)]
struct Correlation {
    kind: &'static str,
    rules: Vec<&'static str>,
    span: u32,
    operator: &'static str,
    threshold: usize,
}

impl Correlation {
    fn text(&self) -> String {
        let parts: String = self
            .rules
            .iter()
            .map(|tool| {
                format!(
                    "title: {tool}\nname: {tool}\nlogsource: {{product: mcp}}\ndetection: {{sel: {{tool: {tool}}}, condition: sel}}\n---\n"
                )
            })
            .collect();
        let condition = match self.kind {
            "event_count" => format!(", condition: {{{}: {}}}", self.operator, self.threshold),
            "value_count" => format!(", condition: {{field: arguments.v, {}: {}}}", self.operator, self.threshold),
            _ => String::new(),
        };
        format!(
            "{parts}title: X\nlevel: low\ncorrelation: {{type: {}, rules: [{}], timespan: {}s, group-by: session_id{condition}}}\n",
            self.kind,
            self.rules.join(", "),
            self.span
        )
    }

    fn holds(&self, count: usize) -> bool {
        match self.operator {
            "gte" => count >= self.threshold,
            "gt" => count > self.threshold,
            "lt" => count < self.threshold,
            _ => count == self.threshold,
        }
    }

    /// When a window that ends at this event opened, if the condition holds in it. `events` are the session's that any rule matches, in order.
    fn opened(&self, events: &[&Event], last: usize) -> Option<i64> {
        let end = i64::from(events[last].at);
        let start = end - i64::from(self.span);
        let within: Vec<&&Event> = events.iter().filter(|e| (start..=end).contains(&i64::from(e.at))).collect();
        let holds = match self.kind {
            "event_count" => self.holds(within.len()),
            "value_count" => self.holds(within.iter().flat_map(|event| event.values()).collect::<BTreeSet<_>>().len()),
            "temporal" => self.rules.iter().all(|rule| within.iter().any(|event| event.tool == *rule)),
            _ => {
                // The shortest sequence that ends here: the last event of each rule before the next one's.
                let mut at = last;
                for (place, rule) in self.rules.iter().enumerate().rev() {
                    let found = if place + 1 == self.rules.len() {
                        (events[at].tool == *rule).then_some(at)?
                    } else {
                        (0..at).rev().find(|before| events[*before].tool == *rule)?
                    };
                    at = found;
                }
                let opened = i64::from(events[at].at);
                return (opened >= start).then_some(opened);
            }
        };
        holds.then_some(start)
    }

    /// The calls of each finding.
    fn expected(&self, log: &[Event]) -> Vec<(u8, usize)> {
        let mut findings = Vec::new();
        for session in 0..2 {
            let is_meant = |event: &&Event| {
                event.session == session
                    && self.rules.contains(&event.tool)
                    && (self.kind != "value_count" || event.values > 0)
            };
            let events: Vec<&Event> = log.iter().filter(is_meant).collect();
            let mut windows: Vec<(i64, i64)> = Vec::new();
            for last in 0..events.len() {
                let Some(opened) = self.opened(&events, last) else { continue };
                let closed = i64::from(events[last].at);
                match windows.last_mut().filter(|window| opened <= window.1) {
                    Some(window) => *window = (window.0.min(opened), closed),
                    None => windows.push((opened, closed)),
                }
            }
            findings.extend(windows.into_iter().map(|(opened, closed)| {
                (session, events.iter().filter(|e| (opened..=closed).contains(&i64::from(e.at))).count())
            }));
        }
        findings
    }
}

fn log() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..9_u32, 0..2_u8, select(vec!["a", "b", "c", "d"]), select(vec![0_u8, 1, 2, 4, 1, 2, 4, 3, 6, 7]));
    prop::collection::vec(event, 4..24).prop_map(|events| {
        let mut at = 0;
        let with_time = |(pause, session, tool, values): (u32, u8, &'static str, u8)| {
            // Some calls of one second, and now and then a long silence.
            at += if pause == 8 { 70 } else { pause };
            Event { at, session, tool, values }
        };
        events.into_iter().map(with_time).collect()
    })
}

fn correlation() -> impl Strategy<Value = Correlation> {
    (
        select(vec!["event_count", "value_count", "temporal", "temporal_ordered"]),
        Just(vec!["a", "b", "c"]).prop_shuffle(),
        2..=3_usize,
        select(vec![5_u32, 12, 30]),
        select(vec!["gte", "gt", "eq", "lt"]),
        1..4_usize,
    )
        .prop_map(|(kind, mut rules, count, span, operator, threshold)| {
            rules.truncate(count);
            Correlation { kind, rules, span, operator, threshold }
        })
}

async fn compare(log: &[Event], correlation: &Correlation) -> Result<(), TestCaseError> {
    let (_dir, rules): (_, RuleSet) = folder(&[("x.yml", &correlation.text())]);
    let rule = rules.get("x").ok_or_else(|| TestCaseError::fail(correlation.text()))?;
    let calls: String = log
        .iter()
        .enumerate()
        .map(|(number, event)| {
            let Event { at, session, tool, .. } = event;
            let values: Vec<String> = event.values().map(|value| format!("\"v{value}\"")).collect();
            // One value now and then without a list, and more than once in one.
            let list = match values.as_slice() {
                [one] if number % 2 == 0 => one.clone(),
                _ => format!("[{}]", [&values[..], &values[..]].concat().join(",")),
            };
            format!("{{\"at\":\"{at}s\",\"session_id\":\"{session}\",\"tool\":\"{tool}\",\"arguments\":{{\"v\":{list},\"n\":{number}}}}}\n")
        })
        .collect();
    let mut found: Vec<(u8, usize)> = found(rule, &calls)
        .await
        .iter()
        .map(|finding| {
            let session = finding.entity.session_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(9);
            (session, finding.call_ids.len())
        })
        .collect();
    let mut expected = correlation.expected(log);
    found.sort_unstable();
    expected.sort_unstable();
    prop_assert_eq!(found, expected, "{:?}\n{:?}\n{}", correlation, log, rule.sql);
    Ok(())
}

#[test]
fn correlations_find_what_their_definition_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut config = ProptestConfig::default();
    // Each case is a lake of its own; PROPTEST_CASES asks for more.
    if config.cases == 256 {
        config.cases = 24;
    }
    config.failure_persistence = None;
    proptest!(config, |(log in log(), correlation in correlation())| {
        runtime.block_on(compare(&log, &correlation))?;
    });
}

#[tokio::test]
async fn a_call_belongs_to_the_group_of_each_element_of_a_list() {
    let text = |kind: &str, condition: &str| {
        format!(
            "title: m\nname: m\nlogsource: {{product: mcp}}\ndetection: {{sel: {{tool: mail}}, condition: sel}}\n---\n\
             title: X\nlevel: low\ncorrelation: {{type: {kind}, rules: [m], timespan: 10m, group-by: arguments.to, condition: {condition}}}\n"
        )
    };
    let calls = r#"
{"at":"0s","tool":"mail","arguments":{"to":["ana","zed"],"about":["x"]}}
{"at":"1s","tool":"mail","arguments":{"to":["bob","zed","zed"],"about":["x","y"]}}
{"at":"2s","tool":"mail","arguments":{"to":"zed","about":["y","z"]}}
{"at":"3s","tool":"mail","arguments":{"to":[],"about":["w"]}}
"#;
    for (kind, condition, count, value) in [
        ("event_count", "{gte: 3}", "event_count", 3),
        ("value_count", "{field: arguments.about, gte: 3}", "value_count", 3),
    ] {
        let (_dir, rules) = folder(&[("x.yml", &text(kind, condition))]);
        let rule = rules.get("x").expect("the rule");
        let found = found(rule, calls).await;
        assert_eq!(found.len(), 1, "{kind}: {found:?}\n{}", rule.sql);
        assert_eq!((&found[0].evidence["arguments.to"], found[0].call_ids.len()), (&"zed".into(), 3), "{found:?}");
        assert_eq!(found[0].evidence[count], value, "{found:?}");
    }
}
