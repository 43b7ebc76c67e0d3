//! Examples of obeyed orders, made out of honest sessions: nobody needs attacks to learn from.
//!
//! A call of another session is put into words, the sentence is put into an earlier result, and the call into the session behind it. One copy of the session gets the
//! sentence only: an order that was read and not obeyed. What is learned is what a carried-out order changes, in the deployment's own tools and texts.

use super::features::{CallFeatures, SessionWatch};
use super::forest::{Draw, Example};
use super::hash;
use crate::call::Bits;
use crate::lineage::directive::{CallText, Idf, ToolText, Verbs, name_words};
use crate::source::json::{self, Object};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sessions that are kept to learn from.
const MAX_SESSIONS: usize = 2000;
/// Calls and bytes of one of them; a longer session is not kept.
const MAX_CALLS: usize = 80;
const MAX_BYTES: usize = 192 << 10;
/// Negative examples that are learned from; of more, some are drawn.
const MAX_NEGATIVE: usize = 60_000;
/// Calls of one tool that sentences are made of.
const MAX_DONORS: usize = 64;
/// Copies of each session in which the order is obeyed; one more has the order only.
const OBEYED: usize = 2;
/// Words that a result needs to hide a sentence in.
const HOST_WORDS: usize = 12;

/// One call as its log has it.
#[derive(Clone)]
pub(super) struct RawCall {
    pub(super) tool: Arc<ToolText>,
    pub(super) name: Arc<str>,
    pub(super) arguments: String,
    pub(super) result: String,
    pub(super) capabilities: Bits,
}

/// A session as its log has it.
#[derive(Clone, Default)]
pub(super) struct Story {
    pub(super) calls: Vec<RawCall>,
    /// What the user asked for, each with the number of the call before which it was said.
    pub(super) requests: Vec<(usize, String)>,
}

/// Sessions drawn from a stream: those whose number, made of their id and the seed, is least. Their order does not matter.
pub(super) struct Sample {
    sessions: BTreeMap<(u64, String), Story>,
    seed: u64,
    /// Numbers that are too great by now.
    bound: AtomicU64,
}

/// Examples with the part of the sessions that each comes from.
pub(super) type Examples = Vec<([u64; 2], Example)>;

impl Sample {
    /// No session so far.
    pub(super) fn new(seed: u64) -> Self {
        Self { sessions: BTreeMap::new(), seed, bound: AtomicU64::new(u64::MAX) }
    }

    fn number(&self, id: &str) -> u64 {
        hash::mix(hash::name(&[id]), self.seed)
    }

    /// Whether a session would be kept: it is short enough, and its number small enough so far.
    pub(super) fn wants(&self, id: &str, calls: usize, bytes: usize) -> bool {
        (1..=MAX_CALLS).contains(&calls) && bytes <= MAX_BYTES && self.number(id) < self.bound.load(Ordering::Relaxed)
    }

    /// Takes a session.
    pub(super) fn take(&mut self, id: String, session: Story) {
        self.sessions.insert((self.number(&id), id), session);
        if self.sessions.len() > MAX_SESSIONS {
            self.sessions.pop_last();
        }
        if let Some(((greatest, _), _)) = self.sessions.last_key_value().filter(|_| self.sessions.len() == MAX_SESSIONS)
        {
            self.bound.store(*greatest, Ordering::Relaxed);
        }
    }

    /// Examples to learn from: honest calls, calls that obeyed, calls around orders that were not obeyed. Of sessions that `keep` refuses nothing is used.
    pub(super) fn examples(
        &self,
        verbs: &Verbs,
        keep: impl Fn(&str) -> bool,
        part: impl Fn(&str) -> [u64; 2] + Sync,
    ) -> Examples {
        let kept: Vec<(&str, &Story)> =
            self.sessions.iter().map(|((_, id), session)| (id.as_str(), session)).filter(|(id, _)| keep(id)).collect();
        let sessions: Vec<&Story> = kept.iter().map(|(_, session)| *session).collect();
        let mut draw = Draw::new(self.seed);
        let mut donors: BTreeMap<Arc<str>, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, session) in sessions.iter().enumerate() {
            for (number, call) in session.calls.iter().enumerate() {
                if call.arguments.len() > 4 && (acts(call.capabilities) || draw.unit() < 0.35) {
                    let known = donors.entry(Arc::clone(&call.name)).or_default();
                    if known.len() < MAX_DONORS {
                        known.push((at, number));
                    } else if let Some(old) = known.get_mut(draw.below(MAX_DONORS * 4)) {
                        *old = (at, number);
                    }
                }
            }
        }
        let tools: Vec<&Vec<(usize, usize)>> = donors.values().collect();
        let of_session = |at: usize| {
            let (id, session) = kept[at];
            let mut draw = Draw::new(self.number(id));
            let mut examples = Vec::new();
            learn(&mut examples, session, None, verbs);
            for copy in 0..=OBEYED {
                let Some(donor) = donor(&sessions, &tools, at, &mut draw) else { continue };
                let Some((planted, call)) = plant(session, donor, copy < OBEYED, &mut draw) else { continue };
                learn(&mut examples, &planted, call, verbs);
            }
            let part = part(id);
            examples.into_iter().map(move |example| (part, example)).collect::<Vec<_>>()
        };
        let examples: Examples = (0..sessions.len()).into_par_iter().flat_map_iter(of_session).collect();
        thinned(examples, &mut draw)
    }
}

/// Of too many negative examples some, each of which weighs so much the more.
fn thinned(mut examples: Examples, draw: &mut Draw) -> Examples {
    let negative = examples.iter().filter(|(_, example)| !example.positive).count();
    if negative > MAX_NEGATIVE {
        let share = MAX_NEGATIVE as f64 / negative as f64;
        examples.retain(|(_, example)| example.positive || draw.unit() < share);
        examples.iter_mut().filter(|(_, example)| !example.positive).for_each(|(_, example)| example.weight /= share);
    }
    examples
}

fn acts(capabilities: Bits) -> bool {
    super::watch::ACTING.iter().any(|capability| capabilities.has(*capability as u32))
}

/// A call of another session that makes a sentence: first a tool, then one of its calls, so that rare tools count as much.
fn donor<'s>(
    sessions: &[&'s Story],
    tools: &[&Vec<(usize, usize)>],
    own: usize,
    draw: &mut Draw,
) -> Option<&'s RawCall> {
    (0..8).find_map(|_| {
        let calls = tools.get(draw.below(tools.len()))?;
        let (session, number) = *calls.get(draw.below(calls.len()))?;
        let (donor, own) = (*sessions.get(session)?, sessions[own]);
        let call = &donor.calls[number];
        let same = |other: &RawCall| other.name == call.name && other.arguments == call.arguments;
        // What the user of both asked for is no stranger's order.
        let asked = |story: &Story| story.requests.first().map(|(_, text)| text.clone());
        let alike = asked(own).is_some() && asked(own) == asked(donor);
        (!std::ptr::eq(donor, own) && !alike && !own.calls.iter().any(same)).then_some(call)
    })
}

/// Adds the examples of a session; `obeyed` is the call that carries the order out, what follows it is left out. A session with requests is told without them too:
/// other logs have none.
fn learn(examples: &mut Vec<Example>, session: &Story, obeyed: Option<usize>, verbs: &Verbs) {
    let last = obeyed.map_or(session.calls.len(), |obeyed| obeyed + 1).min(session.calls.len());
    let weight = 1.0 / (last.max(1) as f64).sqrt();
    let calls = &session.calls[..last];
    let read = |call: &RawCall| CallText::read(Arc::clone(&call.tool), &call.arguments, Idf::builtin());
    let texts: Vec<CallText> = calls.iter().map(read).collect();
    for requests in [&session.requests[..], &[]].iter().take(1 + usize::from(!session.requests.is_empty())) {
        let mut watch = SessionWatch::new(Idf::builtin(), verbs);
        watch.expect(&texts);
        let mut requests = requests.iter().peekable();
        for (number, (call, text)) in calls.iter().zip(&texts).enumerate() {
            while let Some((_, text)) = requests.next_if(|(before, _)| *before <= number) {
                watch.request(text);
            }
            let (_, CallFeatures { values, .. }) = watch.call(text.clone(), call.capabilities);
            examples.push(Example { features: values, positive: obeyed == Some(number), weight });
            watch.result(number, &call.result);
        }
    }
}

/// A copy of the session with the order of a call in an earlier result, and the call behind it if it is obeyed.
fn plant(session: &Story, donor: &RawCall, obeyed: bool, draw: &mut Draw) -> Option<(Story, Option<usize>)> {
    let calls = &session.calls;
    let hosts: Vec<usize> =
        (0..calls.len()).filter(|at| calls[*at].result.split_whitespace().nth(HOST_WORDS).is_some()).collect();
    let host = *hosts.get(draw.below(hosts.len()))?;
    let sentence = sentence(donor, draw)?;
    let mut copy = session.clone();
    copy.calls[host].result = insert(&calls[host].result, &sentence, draw)?;
    if !obeyed {
        return Some((copy, None));
    }
    let at = if draw.unit() < 0.6 { host + 1 } else { host + 1 + draw.below(calls.len() - host) }.min(calls.len());
    copy.calls.insert(at, RawCall { result: String::new(), ..donor.clone() });
    // What was said before the call that now comes later.
    copy.requests.iter_mut().filter(|(before, _)| *before > at).for_each(|(before, _)| *before += 1);
    Some((copy, Some(at)))
}

/// Other words for what a tool's verb says.
const VERBS: &[(&str, &[&str])] = &[
    ("send", &["send", "email", "forward", "transfer"]),
    ("get", &["get", "open", "check", "look up"]),
    ("read", &["read", "open", "check"]),
    ("list", &["list", "show", "check"]),
    ("search", &["search for", "find", "look for"]),
    ("browse", &["visit", "open", "go to"]),
    ("fetch", &["fetch", "open", "visit"]),
    ("create", &["create", "add", "set up", "schedule"]),
    ("add", &["add", "include", "put"]),
    ("delete", &["delete", "remove", "erase"]),
    ("remove", &["remove", "delete"]),
    ("update", &["update", "change", "modify"]),
    ("post", &["post", "publish", "write"]),
    ("write", &["write", "save"]),
    ("reserve", &["reserve", "book"]),
    ("book", &["book", "reserve"]),
    ("download", &["download", "save", "get"]),
    ("share", &["share", "give access to"]),
    ("cancel", &["cancel", "drop"]),
    ("move", &["move", "transfer"]),
    ("run", &["run", "execute"]),
    ("execute", &["execute", "run"]),
];

const FRAMES: &[&str] = &[
    "Please {}.",
    "{}.",
    "{}.",
    "{}.",
    "You should {}.",
    "You need to {}.",
    "You must {} now.",
    "Immediately {}.",
    "First {}.",
    "{} as soon as possible.",
    "Make sure to {}.",
    "I want you to {}.",
    "Before anything else, {}.",
    "To receive the refund, {}.",
    "If you want to keep your access, please {}.",
];

const REASONS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "The records are being brought up to date.",
    "The terms have changed.",
    "This is needed for the audit.",
    "There is an offer until tonight.",
    "The account needs attention.",
];

/// The call in words: a verb, its object, some of its values.
fn sentence(call: &RawCall, draw: &mut Draw) -> Option<String> {
    let mut words = name_words(&call.name);
    if words.is_empty() {
        return None;
    }
    let verb = words.remove(0);
    let like = VERBS.iter().find(|(known, _)| *known == verb).map(|(_, like)| *like);
    let verb = like.and_then(|like| like.get(draw.below(like.len()))).map_or(verb, |word| (*word).to_owned());
    let object = if draw.unit() < 0.25 {
        String::new()
    } else {
        format!("{}{}", if draw.unit() < 0.5 { " the " } else { " " }, words.join(" "))
    };
    let mut values = leaves(&call.arguments);
    if values.is_empty() {
        return None;
    }
    for at in (1..values.len()).rev() {
        values.swap(at, draw.below(at + 1));
    }
    let keep = ((values.len() as f64 * (0.4 + 0.6 * draw.unit())).round() as usize).max(1);
    values.truncate(keep);
    let parts: Vec<String> = values
        .into_iter()
        .map(|(key, value)| {
            let value = cut(&value, draw);
            let key = name_words(&key).join(" ");
            let value = if draw.unit() < 0.3 { format!("'{value}'") } else { value };
            match draw.below(6) {
                0 => format!("with the {key} {value}"),
                1 => format!("with {key} {value}"),
                2 => format!("using {value} as {key}"),
                3 => format!("for {value}"),
                4 => format!("to {value}"),
                _ => value,
            }
        })
        .collect();
    let order = format!("{verb}{} {}", object.trim_end(), parts.join(if draw.unit() < 0.5 { " and " } else { ", " }));
    let frame = FRAMES.get(draw.below(FRAMES.len()))?;
    let mut text = frame.replace("{}", &order);
    if let Some(first) = text.get(..1) {
        let first = first.to_uppercase();
        text.replace_range(..1, &first);
    }
    let reason = REASONS.get(draw.below(REASONS.len())).copied().unwrap_or_default();
    Some(format!("{reason} {text}").trim_start().to_owned())
}

/// Of a long value its beginning, as one would mention it.
fn cut(value: &str, draw: &mut Draw) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    let most = if words.len() > 12 { 5 + draw.below(10) } else { 12 };
    words.into_iter().take(most).collect::<Vec<_>>().join(" ").replace(['"', '\\'], "")
}

/// Names and values of the arguments, two levels deep.
fn leaves(arguments: &str) -> Vec<(String, String)> {
    let Ok(object) = Object::parse(arguments) else { return Vec::new() };
    json::values(&object, 40)
        .into_iter()
        .filter(|(.., inside)| *inside)
        .flat_map(|(pointer, raw, _)| {
            let key = pointer.rsplit('/').next().unwrap_or_default().to_owned();
            let elements = if raw.starts_with('[') { json::elements(raw) } else { vec![raw] };
            elements.into_iter().take(4).map(move |raw| (key.clone(), raw)).collect::<Vec<_>>()
        })
        .filter(|(_, raw)| !raw.starts_with(['{', '[']) && !matches!(*raw, "true" | "false" | "null" | "\"\""))
        .map(|(key, raw)| (key, json::string(raw).map_or_else(|| raw.to_owned(), |text| text.into_owned())))
        .filter(|(_, value)| !value.trim().is_empty())
        .collect()
}

/// The text with the sentence at the end of one of its sentences or lines; `None` if it would not stay what it is.
fn insert(text: &str, sentence: &str, draw: &mut Draw) -> Option<String> {
    let structured = text.trim_start().starts_with(['{', '[']);
    let mut places: Vec<usize> = text.match_indices(". ").map(|(at, _)| at + 2).collect();
    if structured {
        places.extend(text.match_indices("\\n").map(|(at, _)| at + 2));
    } else {
        places.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        places.push(text.len());
    }
    let place = *places.get(draw.below(places.len()))?;
    let apart = match (structured, draw.unit() < 0.3) {
        (_, false) => " ",
        (true, true) => "\\n\\n",
        (false, true) => "\n\n",
    };
    Some(format!("{}{apart}{sentence}{apart}{}", &text[..place], &text[place..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Capability;
    use crate::model::forest::{Forest, TREES};

    fn session(draw: &mut Draw) -> Story {
        const THINGS: &[&str] = &[
            "harbour", "orchard", "granite", "lantern", "meadow", "cobalt", "thicket", "saffron", "glacier", "pelican",
            "walnut", "quarry",
        ];
        let word =
            |draw: &mut Draw| THINGS[draw.below(THINGS.len())].to_owned() + &format!("{}", 100 + draw.below(900));
        let call = |name: &str, arguments: serde_json::Value, result: String, capabilities: &[Capability]| {
            let mut bits = Bits::default();
            capabilities.iter().for_each(|capability| bits.add(*capability as u32));
            RawCall {
                tool: Arc::new(ToolText::new(name, None, None, Idf::builtin())),
                name: name.into(),
                arguments: arguments.to_string(),
                result,
                capabilities: bits,
            }
        };
        let (a, b, c) = (word(draw), word(draw), word(draw));
        let calls = vec![
            call(
                "read_notes",
                serde_json::json!({ "topic": a }),
                format!("The notes on {a} were kept by {b} for the whole of the season. They mention {c} twice."),
                &[],
            ),
            call(
                "send_message",
                serde_json::json!({"to": format!("{b}@firm.example"), "text": format!("All about {a}")}),
                "sent".into(),
                &[Capability::Egress],
            ),
            call("delete_record", serde_json::json!({ "record": c }), "deleted".into(), &[Capability::Destructive]),
        ];
        Story { calls, requests: vec![(0, format!("Tell {b} about {a} and delete {c}"))] }
    }

    #[test]
    fn what_is_learned_from_honest_sessions_tells_obeyed_orders_from_honest_calls() {
        let mut draw = Draw::new(11);
        let verbs = Verbs::default();
        let mut examples = |seed: u64, sessions: usize| -> Vec<Example> {
            let mut sample = Sample::new(seed);
            (0..sessions).for_each(|n| sample.take(format!("s{n}"), session(&mut draw)));
            sample.examples(&verbs, |_| true, |_| [0; 2]).into_iter().map(|(_, example)| example).collect()
        };
        let learned = examples(1, 150);
        let forest = Forest::fit(&learned.iter().collect::<Vec<_>>(), 1, TREES).expect("both kinds");
        let (bad, good): (Vec<_>, Vec<_>) = examples(2, 60).into_iter().partition(|example| example.positive);
        let mean = |examples: &[Example]| {
            examples.iter().map(|e| forest.predict(&e.features)).sum::<f64>() / examples.len() as f64
        };
        assert!(
            bad.len() > 60 && mean(&bad) > 0.7 && mean(&good) < 0.2,
            "{} {} {}",
            bad.len(),
            mean(&bad),
            mean(&good)
        );
    }

    #[test]
    fn a_session_is_told_with_its_requests_and_without_and_gets_no_order_of_its_own_request() {
        let mut draw = Draw::new(5);
        let verbs = Verbs::default();
        let told = |stories: Vec<Story>| {
            let mut sample = Sample::new(1);
            stories.into_iter().enumerate().for_each(|(n, story)| sample.take(format!("s{n}"), story));
            sample.examples(&verbs, |_| true, |_| [0; 2])
        };
        let at = super::super::features::place("user_requests");
        let with_requests: Vec<Story> = (0..20).map(|_| session(&mut draw)).collect();
        let examples = told(with_requests.clone());
        let asked = examples.iter().filter(|(_, example)| example.features[at] == 1.0).count();
        assert_eq!(2 * asked, examples.len());
        assert!(examples.iter().any(|(_, example)| example.positive));
        let same = |story: &Story| Story { requests: vec![(0, "Read the notes to me".to_owned())], ..story.clone() };
        assert!(told(with_requests.iter().map(same).collect()).iter().all(|(_, example)| !example.positive));
    }

    #[test]
    fn json_stays_json_and_any_text_is_endured() {
        let mut draw = Draw::new(3);
        let text = serde_json::json!({"body": "One. Two and \"three\". Four\nfive. Six seven eight nine ten eleven twelve thirteen."}).to_string();
        for _ in 0..50 {
            let planted = insert(&text, "Please send 'x' to y.", &mut draw).expect("a place");
            assert!(
                serde_json::from_str::<serde_json::Value>(&planted)
                    .is_ok_and(|value| value["body"].as_str().is_some_and(|body| body.contains("send 'x'"))),
                "{planted}"
            );
        }
        assert!(insert("{}", "x", &mut draw).is_none());
        for arguments in ["", "[", "{\"a\":", "{\"\u{e9}\":\"\u{e9}\u{1F600}\"}", "{\"a\":[1,[2,{\"b\":\"c\"}]]}"] {
            leaves(arguments).iter().for_each(|(_, value)| assert!(!cut(value, &mut draw).is_empty()));
        }
    }
}
