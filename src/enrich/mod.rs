//! What can be told of a payload by looking at it once: observables, secrets, instruction markers, hashes.
//!
//! Pure: no I/O, no clock, no state between payloads. [`Enricher::call`] works on a call, or on the half of one that a
//! record holds, and replaces its payloads by what is stored; [`Enricher::text`] does the same for free text.
//!
//! ```text
//! text ─ walk ─▶ tape ─ scan ─▶ finds ─ no secret ──────────────▶ canonical hash ─ cap ─▶ stored
//!                                      └ secrets ─ redact, scan ─┘
//! ```

mod binary;
mod canonical;
mod cap;
pub mod capability;
mod finds;
mod marker;
mod names;
mod observable;
mod payload;
mod redact;
mod result_text;
mod scan;
mod secret;
mod tokens;
mod walk;

pub use result_text::result_text;
pub use tokens::hashed_tokens;

use crate::call::{Bits, Call, Flag, Marker, More, Observable, PayloadState, ToolDefinition};
use payload::{Job, Payload, Scratch};
use redact::Needles;
use secret::{Fingerprint, Secret};
use std::cell::RefCell;

/// What a user may set about enrichment.
#[derive(Clone, Debug)]
pub struct EnrichOptions {
    /// The lake's HMAC key: fingerprints of secrets compare only inside one lake.
    pub key: [u8; 32],
    /// Leaves secrets in what is stored.
    pub keep_secrets: bool,
    /// Bytes of one payload that are stored.
    pub payload_limit: usize,
    /// What known tools can do.
    pub capabilities: capability::Table,
}

impl EnrichOptions {
    /// Stored bytes of one payload unless set otherwise.
    pub const PAYLOAD_LIMIT: usize = 64 << 10;

    /// The defaults with a lake's key.
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            keep_secrets: false,
            payload_limit: Self::PAYLOAD_LIMIT,
            capabilities: capability::Table::builtin(),
        }
    }
}

/// What a call's payloads hold, beyond what is written into the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enriched {
    pub observables: Vec<Observable>,
    /// Hash of the arguments' RFC 8785 form with each secret replaced by its type only: safe to derive ids from, the
    /// same in every lake.
    pub arguments_identity: Option<[u8; 32]>,
    pub result_identity: Option<[u8; 32]>,
}

/// Free text as it is stored, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnrichedText {
    pub text: String,
    pub observables: Vec<Observable>,
    pub markers: Vec<Marker>,
    pub flags: Bits,
}

/// Enriches calls; shared by all threads.
pub struct Enricher {
    options: EnrichOptions,
    fingerprint: Fingerprint,
    capabilities: capability::Cache,
    names: names::Names,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Enricher {
    /// An enricher with these options.
    pub fn new(options: EnrichOptions) -> Self {
        let fingerprint = Fingerprint::new(&options.key);
        Self { fingerprint, capabilities: capability::Cache::default(), names: names::Names::default(), options }
    }

    /// Enriches one call, or the half of it that is known: replaces the payloads by what is stored and fills what
    /// follows from them. Whoever enriches both halves of a call apart merges the results.
    pub fn call(&self, call: &mut Call) -> Enriched {
        let mut out = Enriched::default();
        let mut secrets = Vec::new();
        if let Some(text) = call.arguments.take() {
            call.arguments_bytes.get_or_insert(text.len() as i64);
            let payload = self.payload(text, true, "argument");
            call.arguments_state = state(call.arguments_state, &payload);
            call.arguments_hash = Some(payload.hash);
            out.arguments_identity = Some(payload.identity);
            call.arguments = Some(absorb(payload, call, &mut out, &mut secrets).0);
        }
        if let Some(text) = call.result.take() {
            call.result_bytes.get_or_insert(text.len() as i64);
            let payload = self.payload(text, false, "result");
            call.result_state = state(call.result_state, &payload);
            call.result_hash = Some(payload.hash);
            out.result_identity = Some(payload.identity);
            let (text, types) = absorb(payload, call, &mut out, &mut secrets);
            call.result = Some(text);
            if call.result_content_types.is_empty() {
                call.result_content_types = types;
            }
        }
        self.other_texts(call, &mut out, &secrets);
        self.capabilities(call);
        out
    }

    /// Redacts the texts of a record that fills or amends calls and has no payloads: names, commands and addresses of servers.
    pub fn context(&self, call: &mut Call) {
        self.other_texts(call, &mut Enriched::default(), &[]);
    }

    /// Redacts and caps JSON text that stands beside a payload.
    pub fn json(&self, text: &str) -> String {
        self.payload(text.to_owned(), false, "").text
    }

    /// Adds what the call's tool can do, as far as server and annotations are known by now. Called again once pairing has
    /// filled them in.
    pub fn capabilities(&self, call: &mut Call) {
        let Some(tool) = &call.tool else { return };
        let hints = call.more.as_ref().map_or((None, None), |more| (more.ann_read_only, more.ann_destructive));
        let server = (call.server.as_deref(), call.server_info_name.as_deref());
        // Also where more was guessed before the server had a name.
        if let Some(said) = self.options.capabilities.said(server, tool) {
            call.capabilities = said;
            return;
        }
        let known = self.capabilities.of(&self.options.capabilities, server, tool, None, hints);
        call.capabilities = call.capabilities.union(known);
        if call.capabilities.is_empty()
            && let Some(arguments) = &call.arguments
        {
            call.capabilities = capability::of_arguments(arguments);
        }
    }

    /// What an offered tool can do.
    pub fn tool_capabilities(&self, tool: &ToolDefinition) -> Bits {
        let hints = capability::hints(tool.annotations.as_deref());
        let server = (tool.server.as_deref(), None);
        self.capabilities.of(&self.options.capabilities, server, &tool.tool, tool.description.as_deref(), hints)
    }

    /// Redacts and caps free text; `origin` is what its markers carry (`description`, `instructions`, `prompt`).
    pub fn text(&self, text: &str, origin: &str) -> EnrichedText {
        let payload = self.process(text.to_owned(), false, origin, false);
        EnrichedText {
            text: payload.text,
            observables: payload.observables,
            markers: payload.markers,
            flags: payload.flags,
        }
    }

    fn payload(&self, text: String, in_arguments: bool, origin: &str) -> Payload {
        self.process(text, in_arguments, origin, true)
    }

    fn process(&self, text: String, in_arguments: bool, origin: &str, maybe_json: bool) -> Payload {
        let job = Job {
            fingerprint: &self.fingerprint,
            keep_secrets: self.options.keep_secrets,
            limit: self.options.payload_limit.max(256),
            origin,
            in_arguments,
            maybe_json,
        };
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => scratch.process(text, job),
            Err(_) => Scratch::default().process(text, job),
        })
    }

    /// Redacts the texts beside the payloads that a secret may stand in: error messages repeat arguments, addresses
    /// and commands carry tokens. Their secrets count; other observables and markers of theirs do not.
    fn other_texts(&self, call: &mut Call, out: &mut Enriched, known: &[Secret]) {
        let mut redacted = false;
        let mut text = |text: &mut String, in_arguments: bool, maybe_json: bool| {
            let mut payload = self.process(std::mem::take(text), in_arguments, "", maybe_json);
            *text = payload.text;
            if !self.options.keep_secrets
                && let Some(clean) = Needles::new(known, |s| self.fingerprint.literal(s.kind, &s.value)).replace(text)
            {
                *text = clean;
                redacted = true;
            }
            redacted |= payload.flags.has(Flag::SecretRedacted as u32);
            payload.observables.retain(|o| o.kind == "secret");
            payload.observables.iter_mut().for_each(|o| o.path.clear());
            payload.observables.retain(|o| !out.observables.iter().any(|seen| seen.value == o.value));
            out.observables.append(&mut payload.observables);
        };
        if let Some(message) = &mut call.error_message {
            text(message, false, false);
        }
        // Mostly a word out of few, but some logs put a sentence there.
        for field in [&mut call.error_type, &mut call.server_address] {
            if let Some(field) = field.as_mut().filter(|field| field.len() >= WORDY) {
                let mut sentence = field.to_string();
                text(&mut sentence, false, false);
                if sentence != field.as_str() {
                    *field = sentence.into();
                }
            }
        }
        if let Some(more) = &mut call.more {
            let More {
                server_command,
                server_url,
                mcp_resource_uri,
                meta_json,
                extra_json,
                delegation_chain,
                approval_source,
                auth_subject,
                ..
            } = &mut **more;
            for (json, field) in
                [(true, delegation_chain), (true, meta_json), (true, extra_json), (false, server_command)]
            {
                if let Some(field) = field {
                    text(field, true, json);
                }
            }
            let said = [approval_source, auth_subject].map(|field| field.as_mut().filter(|text| text.len() >= WORDY));
            for field in [server_url.as_mut(), mcp_resource_uri.as_mut()].into_iter().chain(said).flatten() {
                let mut address = field.to_string();
                text(&mut address, true, false);
                if address != field.as_str() {
                    *field = address.into();
                }
            }
        }
        redacted |= self.names(call, &mut out.observables);
        if redacted {
            call.flag(Flag::SecretRedacted);
        }
    }
}

/// Shorter texts hold no secret with a form of its own.
const WORDY: usize = 20;

/// Moves what a payload gave into the call; gives back what is stored and the types of its content.
fn absorb(
    payload: Payload,
    call: &mut Call,
    out: &mut Enriched,
    secrets: &mut Vec<Secret>,
) -> (String, Vec<crate::call::Text>) {
    call.flags = call.flags.union(payload.flags);
    call.markers.extend(payload.markers);
    if out.observables.is_empty() {
        out.observables = payload.observables;
    } else {
        out.observables.extend(payload.observables);
    }
    secrets.extend(payload.secrets);
    (payload.text, payload.content_types)
}

/// The state after what was learnt: never more informative than before.
fn state(before: PayloadState, payload: &Payload) -> PayloadState {
    let learnt = match (payload.is_json, payload.capped) {
        (false, _) if before == PayloadState::Present => PayloadState::Unparsable,
        (_, true) => PayloadState::Truncated,
        _ => before,
    };
    before.min(learnt)
}

#[cfg(test)]
mod tests;
