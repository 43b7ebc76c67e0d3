//! Pairing: of whatever messages in whatever order, each request ends in one row of the lake, and each response too; a
//! response is given to one request, and no more wait than may.

use crate::call::{Call, Outcome, PayloadState, Position, Text};
use crate::source::format::LogFormat as _;
use crate::source::format::jsonrpc::JsonRpc;
use crate::source::json::Object;
use crate::source::pairing::{Item, Pairing, PairingOptions, Row, Saved, Scope, SourceContext};
use crate::source::{Decoded, Event, Hints, PairKey, Record};
use std::collections::{HashMap, HashSet};

/// Each request has a tool and each response a text of its own, by which they are known again.
struct Log {
    pairing: Pairing,
    source: SourceContext,
    number: u64,
    stream: u64,
    /// Rows by id: what each says of request and response.
    lake: HashMap<Text, (Option<String>, Option<String>)>,
    time: i64,
    count: usize,
    requests: HashSet<String>,
    responses: HashSet<String>,
    lines: Vec<String>,
    /// The stream that each of them stood in.
    streams: Vec<u64>,
    /// Lines that were read twice: without a time, a copy is another call, or in another source the same one with another answer.
    repeated: Vec<String>,
    /// Those of them in another stream than the first time: the same request at the same moment is one call, whoever answers it.
    elsewhere: Vec<String>,
}

/// The first byte sets the bound, each further pair of bytes is a message or an event of the run.
pub fn check(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let max_open = if first & 1 == 0 { 10 } else { 10_000 };
    let options = PairingOptions { max_open, ..PairingOptions::default() };
    let mut log = Log {
        pairing: Pairing::new(options, Saved::default()),
        source: SourceContext::default(),
        number: 1,
        stream: 1,
        lake: HashMap::new(),
        time: 1_760_000_000_000,
        count: 0,
        requests: HashSet::new(),
        responses: HashSet::new(),
        lines: Vec::new(),
        streams: Vec::new(),
        repeated: Vec::new(),
        elsewhere: Vec::new(),
    };
    for step in rest.chunks_exact(2).take(300) {
        log.step(step[0], step[1], options);
    }
    log.leave();
    let mut rows = Vec::new();
    log.pairing.end_run(u64::MAX, &mut rows);
    log.take(rows);
    log.judge(max_open);
}

impl Log {
    fn step(&mut self, kind: u8, how: u8, options: PairingOptions) {
        self.count += 1;
        let number = self.count;
        let id = ["1", "2", "\"1\"", "3"][usize::from(how & 3)];
        let lane = ["", "\"session_id\":\"a\",", "\"session_id\":\"b\",", "\"pid\":7,"][usize::from(how >> 2 & 3)];
        let direction = ["", "\"direction\":\"client_to_server\",", "\"direction\":\"server_to_client\",", ""]
            [usize::from(how >> 4 & 3)];
        // Time stands still, passes, is long, or is missing; now and then it runs backwards.
        let time = match how >> 6 {
            0 => String::new(),
            1 => format!("\"ts\":{},", self.time),
            2 => {
                self.time += i64::from(kind) * 10;
                format!("\"ts\":{},", self.time)
            }
            _ => {
                self.time += if kind & 0x80 == 0 { 3_600_000 } else { -5_000 };
                format!("\"ts\":{},", self.time)
            }
        };
        let message = match kind & 15 {
            0..=2 => {
                self.requests.insert(format!("q{number}"));
                format!(r#""id":{id},"method":"tools/call","params":{{"name":"q{number}","arguments":{{}}}}"#)
            }
            3..=5 => {
                self.responses.insert(format!("a{number}"));
                format!(r#""id":{id},"result":{{"content":[{{"type":"text","text":"a{number}"}}]}}"#)
            }
            6 => {
                self.responses.insert(format!("a{number}"));
                format!(r#""id":{id},"error":{{"code":-1,"message":"no","data":"a{number}"}}"#)
            }
            7 => format!(
                r#""id":{id},"method":"initialize","params":{{"protocolVersion":"2025-06-18","clientInfo":{{"name":"c"}}}}"#
            ),
            8 => format!(r#""id":{id},"result":{{"protocolVersion":"2025-06-18","serverInfo":{{"name":"s"}}}}"#),
            9 => format!(r#""method":"notifications/cancelled","params":{{"requestId":{id}}}"#),
            10 => format!(r#""id":{id},"method":"tools/list""#),
            11 => format!(r#""id":{id},"result":{{"tools":[{{"name":"q1"}}]}}"#),
            12 => return self.event(how, number),
            13 => {
                // The same line again, as another export has it.
                let at = usize::from(how) % self.lines.len().max(1);
                let Some(line) = self.lines.get(at).cloned() else { return };
                self.again(at);
                self.line(&line);
                return;
            }
            14 => {
                self.leave();
                self.number += 1;
                self.stream = u64::from(how & 1) + 1;
                self.source = SourceContext::default();
                return;
            }
            _ => return self.next_run(options),
        };
        let line = format!(r#"{{{time}{lane}{direction}"message":{{"jsonrpc":"2.0",{message}}}}}"#);
        // What has no mark can come out alike by itself.
        if let Some(at) = self.lines.iter().position(|known| *known == line) {
            self.again(at);
        }
        self.line(&line);
        self.lines.push(line);
        self.streams.push(self.stream);
    }

    /// A line of before is read again.
    fn again(&mut self, at: usize) {
        let line = &self.lines[at];
        self.repeated.push(line.clone());
        if self.streams[at] != self.stream {
            self.elsewhere.push(line.clone());
        }
    }

    fn line(&mut self, text: &str) {
        let object = Object::parse(text).expect("a line of ours");
        let position = Position { line: self.count as i64, offset: self.count as i64, length: text.len() as i64 };
        let hints = Hints::default();
        let record = Record { text, json: Some(&object), position, lossy: false, hints: &hints };
        let mut decoded = Decoded::default();
        JsonRpc.decode(&record, &mut decoded).expect("a message of ours");
        for event in decoded.events {
            self.accept(event);
        }
    }

    /// Events that other formats give.
    fn event(&mut self, how: u8, number: usize) {
        let lane = Text::from(["", "a"][usize::from(how >> 3 & 1)]);
        let key = PairKey::Global { session: "s".into(), id: ["x", "y", "z", "w"][usize::from(how & 3)].into() };
        let call = Box::new(Call { method: "tools/call".into(), source_format: "fuzz".into(), ..Call::default() });
        let event = match how >> 4 & 7 {
            0 => {
                let tool = format!("g{number}");
                let call = Box::new(Call {
                    tool: Some(tool.into()),
                    tool_call_id: Some(number.to_string().into()),
                    outcome: Outcome::NoResponse,
                    ..*call
                });
                Event::Request { key: Some(key), lane, call }
            }
            1 => {
                let result = Some(format!("[\"h{number}\"]"));
                let call = Box::new(Call {
                    result,
                    result_state: PayloadState::Present,
                    outcome: Outcome::Success,
                    ..Call::default()
                });
                Event::Response { key, lane, call, maybe_foreign: how & 0x80 != 0 }
            }
            2 => Event::Amend {
                key,
                call: Box::new(Call { server: Some("amended".into()), time: Some(self.time), ..Call::default() }),
            },
            3 => Event::Foreign { key },
            4 => Event::Connection { lane, opens: how & 0x80 != 0, time: None },
            5 => Event::Context {
                lane,
                whole_source: how & 0x80 != 0,
                call: Box::new(Call { agent: Some("agent".into()), ..Call::default() }),
            },
            6 => Event::Trace { trace_id: "t".into(), session_id: "s".into(), agent: None },
            _ => {
                let tool = format!("q{number}");
                self.requests.insert(tool.clone());
                let call = Box::new(Call {
                    tool: Some(tool.into()),
                    time: Some(self.time),
                    trace_id: (how & 0x80 != 0).then(|| "t".into()),
                    ..*call
                });
                Event::Call { lane, call }
            }
        };
        self.accept(event);
    }

    fn accept(&mut self, event: Event) {
        let identity = match &event {
            Event::Request { call, .. } | Event::Call { call, .. } => call.arguments.as_ref(),
            Event::Response { call, .. } => call.result.as_ref(),
            _ => None,
        };
        let identity = identity.map(|text| *blake3::hash(text.as_bytes()).as_bytes());
        let mut item = Item { event, observables: Vec::new(), identity, origin: 0 };
        if let Event::Response { call, .. } = &mut item.event {
            call.result_hash = identity;
        }
        let mut rows = Vec::new();
        let mut scope = Scope { number: self.number, stream: self.stream, mtime: None, source: &mut self.source };
        self.pairing.accept(&mut scope, item, &mut rows);
        self.take(rows);
    }

    fn leave(&mut self) {
        let mut rows = Vec::new();
        let mut scope = Scope { number: self.number, stream: self.stream, mtime: None, source: &mut self.source };
        self.pairing.end_source(&mut scope, &mut rows);
        self.pairing.leave_source(&scope);
        self.take(rows);
    }

    /// The run ends, and another begins with what was stored.
    fn next_run(&mut self, options: PairingOptions) {
        self.leave();
        let mut rows = Vec::new();
        self.pairing.end_run(u64::MAX, &mut rows);
        self.take(rows);
        let saved = serde_json::to_vec(&self.pairing).expect("state is plain data");
        self.pairing = Pairing::new(options, serde_json::from_slice(&saved).expect("state is read back"));
    }

    /// Rows reach the lake: rows with one id are one call, of which each may know a half.
    fn take(&mut self, rows: Vec<Row>) {
        for row in rows {
            match row {
                Row::Retract(row) => drop(self.lake.remove(&row.call_id)),
                Row::Call { call, .. } => {
                    assert_eq!(call.call_id.len(), 32);
                    let asked = call.tool.as_ref().map(|tool| tool.to_string());
                    let answered = call.result.as_deref().and_then(mark);
                    let is_other =
                        |known: &Option<String>, new: &Option<String>| known.is_some() && new.is_some() && known != new;
                    let known = self.lake.entry(call.call_id.clone()).or_default();
                    if is_other(&known.0, &asked) || is_other(&known.1, &answered) {
                        // Sources that begin alike, without times, are told apart by nothing.
                        let is_copy = |mark: &Option<String>| {
                            mark.as_ref().is_some_and(|mark| {
                                is_copied_untimed(&self.repeated, mark)
                                    || self.elsewhere.iter().any(|line| line.contains(&format!("\"{mark}\"")))
                            })
                        };
                        // `initialize` and `tools/list` have no mark: a copy of one may be given what waits without a time.
                        let is_unmarked = asked.is_none()
                            && known.0.is_none()
                            && self.repeated.iter().any(|line| !line.contains("\"q"));
                        assert!(
                            is_unmarked || [&asked, &known.0, &answered, &known.1].into_iter().any(is_copy),
                            "{known:?} is lost to {asked:?}, {answered:?}\n{}",
                            self.lines.join("\n")
                        );
                        self.count += 1;
                        let apart = Text::from(format!("{}/{}", call.call_id, self.count));
                        self.lake.insert(apart, (asked, answered));
                        continue;
                    }
                    *known = (asked.or(known.0.take()), answered.or(known.1.take()));
                }
                _ => {}
            }
        }
    }

    fn judge(&self, max_open: usize) {
        let asked = |mark: &String| self.lake.values().filter(|(asked, _)| asked.as_ref() == Some(mark)).count();
        let answered =
            |mark: &String| self.lake.values().filter(|(_, answered)| answered.as_ref() == Some(mark)).count();
        let fine = |mark: &String, rows: usize| {
            let again = self.repeated.iter().any(|line| line.contains(&format!("\"{mark}\"")));
            rows == 1 || rows > 1 && again
        };
        for mark in &self.requests {
            let rows = asked(mark);
            assert!(fine(mark, rows), "the request {mark} is in {rows} rows\n{}", self.lines.join("\n"));
        }
        for mark in &self.responses {
            let rows = answered(mark);
            assert!(fine(mark, rows), "the response {mark} is in {rows} rows\n{}", self.lines.join("\n"));
        }
        let state = serde_json::to_value(&self.pairing).expect("state is plain data");
        let waiting: usize = state["open"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| {
                let halves = |name: &str| entry[1][name].as_array().map_or(0, Vec::len);
                halves("requests") + halves("responses")
            })
            .sum();
        assert!(waiting <= max_open, "{waiting} halves wait");
    }
}

/// Whether a message without a time was read twice.
fn is_copied_untimed(repeated: &[String], mark: &str) -> bool {
    repeated.iter().any(|line| line.contains(&format!("\"{mark}\"")) && !line.contains("\"ts\""))
}

/// The mark of a response of ours.
fn mark(result: &str) -> Option<String> {
    let at = result.find("\"a").map(|at| at + 1)?;
    let mark: String = result[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
    mark[1..].parse::<usize>().is_ok().then_some(mark)
}
