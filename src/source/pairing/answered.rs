//! Requests that were answered of late: a log that holds part of itself twice asks them again.
//!
//! The copy of a request is no second call. It must not take the answer of a later request with the same id, and where it is answered
//! otherwise than the first time, it was another call after all, whose answer must not be lost.

use crate::call::{Call, Text};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Requests that are remembered; copies of farther back pair as if they were new.
const MAX_REMEMBERED: usize = 1024;

/// Digests of requests, with those of their answers. Digests of another version of the program match nothing, which is as if
/// they were forgotten.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(super) struct Answered {
    answers: HashMap<u64, u64, ahash::RandomState>,
    order: VecDeque<u64>,
}

impl Answered {
    /// Whether this request was answered before.
    pub(super) fn knows(&self, request: Option<u64>) -> bool {
        request.is_some_and(|digest| self.answers.contains_key(&digest))
    }

    /// The answer is taken back.
    pub(super) fn forget(&mut self, request: u64) {
        if self.answers.remove(&request).is_some() {
            self.order.retain(|known| *known != request);
        }
    }

    /// Notes an answered request; gives whether the same one had another answer before.
    pub(super) fn note(&mut self, request: u64, answer: &Call) -> bool {
        let digest = digest_of_answer(answer);
        if let Some(known) = self.answers.get(&request) {
            return *known != digest;
        }
        if self.order.len() == MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(request);
        self.answers.insert(request, digest);
        false
    }
}

/// What tells a request of a stream from all others. Those without a time are told apart by what stands before them, copies too.
pub(super) fn digest_of_request(stream: u64, lane: &Text, request: &Call, identity: Option<[u8; 32]>) -> Option<u64> {
    let time = request.time?;
    let mut hash = DefaultHasher::new();
    (stream, lane.as_str(), time, request.initiator.as_str()).hash(&mut hash);
    (request.jsonrpc_request_id.as_deref(), &*request.method, request.tool.as_deref(), identity).hash(&mut hash);
    Some(hash.finish())
}

fn digest_of_answer(answer: &Call) -> u64 {
    let mut hash = DefaultHasher::new();
    (answer.result_hash, answer.rpc_response_status_code, &answer.error_message).hash(&mut hash);
    hash.finish()
}

impl From<Vec<(u64, u64)>> for Answered {
    fn from(saved: Vec<(u64, u64)>) -> Self {
        Self { order: saved.iter().map(|(request, _)| *request).collect(), answers: saved.into_iter().collect() }
    }
}

impl From<Answered> for Vec<(u64, u64)> {
    fn from(answered: Answered) -> Self {
        answered.order.iter().filter_map(|request| Some((*request, *answered.answers.get(request)?))).collect()
    }
}
