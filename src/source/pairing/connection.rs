//! Lanes and the connections inside them: where ids start over, and what a connection's records say for all of its calls.

use super::context::Context;
use super::{ConnectionInfo, PairingOptions, Scope, finish};
use crate::call::{Call, IdType, Nanos, SessionSource, Side, Text, ToolDefinition};
use crate::source::PairKey;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// Connections of one lane that are remembered; concurrent ones are few.
const MAX_CONNECTIONS: usize = 8;
/// Lanes remembered; the least recently used go first.
const MAX_LANES: usize = 50_000;
/// Tools remembered of one connection.
const MAX_TOOLS: usize = 2_000;

/// What is known of a tool that the connection offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Offered {
    hash: Option<[u8; 32]>,
    capabilities: crate::call::Bits,
    annotations: Option<String>,
    #[serde(default)]
    server: Option<Text>,
    #[serde(default)]
    name_only: bool,
}

type Tools = HashMap<Text, Offered, ahash::RandomState>;

/// One connection of a lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Connection {
    number: u32,
    /// 16 hex digits; empty until the first record.
    id: Text,
    /// Fields that the connection's own records fill for its calls.
    context: Context,
    /// It began with `initialize`, so silence does not end it.
    hello: bool,
    closed: bool,
    last_time: Option<Nanos>,
    last_id: Option<i64>,
    last_used: u64,
    tools: Arc<Tools>,
}

/// One lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    connections: VecDeque<Connection>,
    next: u32,
    /// Records that it has seen; orders connections by use.
    clock: u64,
    opened_at: u64,
    touched: u64,
    /// The record with which a connection ended last: requests of before it are answered only if nothing else could be meant.
    #[serde(default)]
    ended_at: u64,
}

/// Which requests of a lane may still be answered.
#[derive(Debug, Default)]
pub(super) struct Living {
    /// Connections in use; without any all are.
    pub(super) connections: Vec<u32>,
    /// Requests of before this record are of connections that have ended.
    pub(super) since: u64,
}

/// All lanes of all streams.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By stream, then by name.
    streams: HashMap<u64, HashMap<Text, Lane, ahash::RandomState>, ahash::RandomState>,
    /// Lanes of all streams.
    count: usize,
    clock: u64,
    offers: Offers,
}

/// What connections offer, by a sum over it. Thousands of them are to the same servers, and offer the same.
#[derive(Debug, Default)]
struct Offers(HashMap<u64, Weak<Tools>, ahash::RandomState>);

impl Offers {
    fn share(&mut self, tools: &mut Arc<Tools>) {
        if self.0.len() >= MAX_LANES {
            self.0.clear();
        }
        let hash = |(name, offered): (&Text, &Offered)| self.0.hasher().hash_one((name, offered.hash));
        let sum = tools.iter().map(hash).fold(0, u64::wrapping_add);
        match self.0.get(&sum).and_then(Weak::upgrade).filter(|same| same == tools) {
            Some(same) => *tools = same,
            None => drop(self.0.insert(sum, Arc::downgrade(tools))),
        }
    }
}

impl Lanes {
    pub(super) fn restore(saved: Vec<((u64, Text), Lane)>) -> Self {
        let clock = saved.iter().map(|(_, lane)| lane.touched).max().unwrap_or(0);
        let mut lanes = Self { clock, ..Self::default() };
        for ((stream, name), mut lane) in saved {
            lane.connections.iter_mut().for_each(|connection| lanes.offers.share(&mut connection.tools));
            lanes.streams.entry(stream).or_default().insert(name, lane);
            lanes.count += 1;
        }
        lanes
    }

    /// What [`Lanes::restore`] takes.
    pub(super) fn saved(&self) -> impl Iterator<Item = ((u64, &Text), &Lane)> {
        self.streams.iter().flat_map(|(stream, lanes)| lanes.iter().map(move |(name, lane)| ((*stream, name), lane)))
    }

    fn known(&self, stream: u64, name: &Text) -> Option<&Lane> {
        self.streams.get(&stream)?.get(name)
    }

    fn lane(&mut self, stream: u64, name: &Text) -> &mut Lane {
        self.clock += 1;
        if self.known(stream, name).is_none() {
            if self.count >= MAX_LANES {
                self.forget_oldest();
            }
            self.count += 1;
            self.streams.entry(stream).or_default().insert(name.clone(), Lane::default());
        }
        let lanes = self.streams.entry(stream).or_default();
        let lane = lanes.get_mut(name).expect("a lane that is not known was just added");
        lane.touched = self.clock;
        lane
    }

    fn forget_oldest(&mut self) {
        let mut ages: Vec<_> = self.streams.values().flat_map(HashMap::values).map(|lane| lane.touched).collect();
        ages.sort_unstable();
        let limit = ages[ages.len() / 10];
        for lanes in self.streams.values_mut() {
            lanes.retain(|_, lane| lane.touched > limit);
        }
        self.streams.retain(|_, lanes| !lanes.is_empty());
        self.count = self.streams.values().map(HashMap::len).sum();
    }

    /// The connection that a request or notification belongs to; `seed` names it if it is the first record.
    pub(super) fn for_request(
        &mut self,
        scope: &Scope<'_>,
        lane: &Text,
        call: &Call,
        seed: impl FnOnce() -> [u8; 32],
        options: &PairingOptions,
    ) -> u32 {
        let lane = self.lane(scope.stream, lane);
        lane.clock += 1;
        let hello = call.method == "initialize" && call.initiator == Side::Client;
        let current = lane.connections.back();
        let idle = current.is_some_and(|c| {
            !c.hello
                && matches!((c.last_time, call.time), (Some(last), Some(now)) if now.saturating_sub(last) > options.session_gap)
        });
        let fresh = current.is_some_and(|c| c.id.is_empty());
        if current.is_none() || idle || (hello && !fresh) || current.is_some_and(|c| c.closed) {
            lane.open();
        }
        let clock = lane.clock;
        let number = if hello { None } else { lane.by_id(call) };
        let connection = match number {
            Some(number) => lane.connections.iter_mut().find(|c| c.number == number),
            None => lane.connections.back_mut(),
        };
        let Some(connection) = connection else { return 0 };
        if connection.id.is_empty() {
            connection.id = finish::connection_key(&seed());
        }
        connection.hello |= hello;
        connection.last_used = clock;
        connection.last_time = connection.last_time.max(call.time);
        if call.initiator == Side::Client
            && call.jsonrpc_id_type == Some(IdType::Int)
            && let Some(id) = call.jsonrpc_request_id.as_ref().and_then(|id| id.parse().ok())
        {
            connection.last_id = Some(id);
        }
        if hello {
            connection.context.overlay(Context::of_client(call));
        }
        connection.number
    }

    /// What is in use of the lane: connections with a record since the newest one opened, and the newest.
    pub(super) fn alive(&self, stream: u64, lane: &Text, key: &PairKey) -> Living {
        let living = self.of_any_connection(stream, key);
        let Some(lane) = self.known(stream, lane) else { return living };
        let newest = lane.connections.back().map(|c| c.number);
        let in_use = |c: &&Connection| Some(c.number) == newest || (!c.closed && c.last_used >= lane.opened_at);
        Living { connections: lane.connections.iter().filter(in_use).map(|c| c.number).collect(), ..living }
    }

    /// The same where nothing says whose connection it is. A key may have a finer lane than its record, with ends of its own.
    pub(super) fn of_any_connection(&self, stream: u64, key: &PairKey) -> Living {
        let lane = match key {
            PairKey::JsonRpc { lane, .. } => self.known(stream, lane),
            PairKey::Global { .. } => None,
        };
        Living { connections: Vec::new(), since: lane.map_or(0, |lane| lane.ended_at) }
    }

    /// The lane's newest connection; 0 if it has none.
    pub(super) fn current(&self, stream: u64, lane: &Text) -> u32 {
        self.known(stream, lane).and_then(|lane| lane.connections.back()).map_or(0, |c| c.number)
    }

    /// The record with this number says that a connection starts or ends.
    pub(super) fn life_cycle(&mut self, stream: u64, lane: &Text, opens: bool, sequence: u64) {
        let lane = self.lane(stream, lane);
        if opens {
            if lane.connections.back().is_none_or(|c| !c.id.is_empty() || c.closed) {
                lane.open();
            }
            return;
        }
        lane.ended_at = sequence;
        if let Some(connection) = lane.connections.iter_mut().find(|c| !c.closed && !c.id.is_empty()) {
            // Two connections in one lane: the log does not say whose transport closed; the older one goes first.
            connection.closed = true;
        }
    }

    /// Fields for all later calls of the lane's current connection.
    pub(super) fn context(&mut self, stream: u64, lane: &Text, call: Call) {
        let lane = self.lane(stream, lane);
        if lane.connections.is_empty() {
            lane.open();
        }
        if let Some(connection) = lane.connections.back_mut() {
            connection.context.overlay(call.into());
        }
    }

    /// The connection's hello was answered: who the server says it is.
    pub(super) fn identify(&mut self, stream: u64, lane: &Text, number: u32, call: &Call) {
        if let Some(connection) = self.lane(stream, lane).get(number) {
            connection.context.overlay(Context::of_server(call));
        }
    }

    /// The lane begins with an answered hello that stood in another one.
    pub(super) fn begin(&mut self, stream: u64, lane: &Text, call: &Call) {
        let lane = self.lane(stream, lane);
        if lane.connections.is_empty() {
            lane.open();
        }
        if let Some(connection) = lane.connections.back_mut() {
            connection.hello = true;
            connection.context.overlay(Context::of_client(call));
            connection.context.overlay(Context::of_server(call));
        }
    }

    /// Remembers a tool that the lane's current connection offered.
    pub(super) fn offer(&mut self, scope: &Scope<'_>, lane: &Text, tool: &ToolDefinition) -> ConnectionInfo {
        let state = self.lane(scope.stream, lane);
        if state.connections.is_empty() {
            state.open();
        }
        if let Some(connection) = state.connections.back_mut()
            && connection.tools.len() < MAX_TOOLS
            // A name alone takes nothing away that is known.
            && !(tool.name_only && connection.tools.contains_key(&tool.tool))
        {
            let offered = Offered {
                hash: tool.hash,
                capabilities: tool.capabilities,
                annotations: tool.annotations.clone(),
                server: tool.server.clone(),
                name_only: tool.name_only,
            };
            Arc::make_mut(&mut connection.tools).insert(tool.tool.clone(), offered);
        }
        self.info(scope, lane)
    }

    /// Whether the lane's current connection offers just this.
    pub(super) fn offers(&self, stream: u64, lane: &Text, tool: &ToolDefinition) -> bool {
        let connection = self.known(stream, lane).and_then(|lane| lane.connections.back());
        let known = connection.and_then(|connection| connection.tools.get(&tool.tool));
        known.is_some_and(|known| {
            known.server == tool.server && (tool.name_only || tool.hash.is_some() && known.hash == tool.hash)
        })
    }

    /// Keeps what the lane's current connection offers once, whoever else offers the same.
    pub(super) fn share_offer(&mut self, stream: u64, lane: &Text) {
        let lane = self.streams.get_mut(&stream).and_then(|lanes| lanes.get_mut(lane));
        if let Some(connection) = lane.and_then(|lane| lane.connections.back_mut()) {
            self.offers.share(&mut connection.tools);
        }
    }

    /// Identity of the lane's current connection.
    pub(super) fn info(&mut self, scope: &Scope<'_>, lane: &Text) -> ConnectionInfo {
        let context = scope.source.only_context();
        let connection = self.lane(scope.stream, lane).connections.back();
        let id = connection.map(|c| c.id.clone()).unwrap_or_default();
        let own = connection.map(|c| &c.context);
        ConnectionInfo {
            session_id: own
                .and_then(|c| c.session_id.clone())
                .or_else(|| context.session_id.clone())
                .or_else(|| (!id.is_empty()).then(|| id.clone())),
            server: [own, Some(context)]
                .into_iter()
                .flatten()
                .find_map(|known| known.server.clone().or_else(|| known.server_info_name.clone())),
            connection_id: id,
        }
    }

    /// Fills a call from its connection.
    pub(super) fn fill(&mut self, stream: u64, lane: &Text, number: u32, call: &mut Call) {
        let lane = self.streams.get_mut(&stream).and_then(|lanes| lanes.get_mut(lane));
        let Some(connection) = lane.and_then(|lane| lane.get(number)) else {
            return;
        };
        connection.context.fill(call);
        if call.connection_id.is_none() && !connection.id.is_empty() {
            call.connection_id = Some(connection.id.clone());
        }
        let offered = call.tool.as_ref().and_then(|tool| connection.tools.get(tool));
        let Some(offered) = offered.filter(|offered| !offered.name_only) else { return };
        call.capabilities = offered.capabilities;
        let more = call.more();
        more.tool_annotations_known = true;
        more.tool_def_hash = offered.hash;
        if let Some(annotations) = &offered.annotations {
            let annotations = crate::source::json::Object::trusted(annotations);
            more.ann_read_only = annotations.bool("readOnlyHint");
            more.ann_destructive = annotations.bool("destructiveHint");
            more.ann_idempotent = annotations.bool("idempotentHint");
            more.ann_open_world = annotations.bool("openWorldHint");
        }
    }
}

impl Lanes {
    /// Makes the connection the session of a call for which neither the log nor its source names one.
    pub(super) fn name_session(&self, stream: u64, lane: &Text, number: u32, call: &mut Call) {
        let connection = || self.known(stream, lane)?.connections.iter().rev().find(|c| c.number == number);
        if call.session_id.is_none()
            && let Some(connection) = connection().filter(|connection| !connection.id.is_empty())
        {
            call.session_id = Some(connection.id.clone());
            call.session_source = SessionSource::Connection;
        }
    }
}

impl Lane {
    fn open(&mut self) {
        self.next += 1;
        self.opened_at = self.clock;
        // Nearly every lane has one connection only.
        self.connections.reserve_exact(1);
        self.connections.push_back(Connection { number: self.next, last_used: self.clock, ..Connection::default() });
        if self.connections.len() > MAX_CONNECTIONS {
            self.connections.pop_front();
        }
    }

    fn get(&mut self, number: u32) -> Option<&mut Connection> {
        self.connections.iter_mut().rev().find(|c| c.number == number)
    }

    /// The one open connection whose last id the request's id follows, where several share the lane.
    fn by_id(&self, call: &Call) -> Option<u32> {
        if self.connections.len() < 2 || call.jsonrpc_id_type != Some(IdType::Int) || call.initiator != Side::Client {
            return None;
        }
        let id: i64 = call.jsonrpc_request_id.as_ref()?.parse().ok()?;
        let mut follows = self
            .connections
            .iter()
            .filter(|c| !c.closed && c.last_id.is_some_and(|last| last.checked_add(1) == Some(id)));
        match (follows.next(), follows.next()) {
            (Some(only), None) => Some(only.number),
            _ => None,
        }
    }
}
