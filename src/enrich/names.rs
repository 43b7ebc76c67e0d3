//! Names of tools, servers, agents, users and sessions: short, the same again and again, and no place for a secret. Whoever puts a token into
//! one would have it in every table.

use super::Enricher;
use crate::call::{Call, More, Observable, Text};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// Shorter names hold no secret with a form of its own.
const SHORT: usize = 16;
/// Names that are remembered; ids of sessions go on coming.
const MAX_REMEMBERED: usize = 1 << 14;

/// A name that held a secret.
#[derive(Debug)]
pub(super) struct Clean {
    name: Text,
    secrets: Vec<Observable>,
}

/// What long names turned out to be; most are as they were.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<HashMap<Text, Option<Arc<Clean>>, ahash::RandomState>>);

impl Names {
    fn of(&self, name: &Text, look: impl FnOnce() -> Option<Clean>) -> Option<Arc<Clean>> {
        if let Some(known) = self.0.read().ok().and_then(|names| names.get(name).cloned()) {
            return known;
        }
        let clean = look().map(Arc::new);
        if let Ok(mut names) = self.0.write() {
            if names.len() >= MAX_REMEMBERED {
                names.clear();
            }
            names.insert(name.clone(), clean.clone());
        }
        clean
    }
}

impl Enricher {
    /// Redacts a name, or a key that names are put together to.
    pub fn name(&self, name: &mut Text) {
        self.clean(name);
    }

    fn clean(&self, name: &mut Text) -> Option<Arc<Clean>> {
        if name.len() < SHORT && !name.contains("://") {
            return None;
        }
        let clean = self.names.of(name, || {
            let payload = self.process(name.to_string(), false, "", false);
            let is_as_it_was = payload.secrets.is_empty() && payload.text == name.as_str();
            let secrets = payload.observables.into_iter().filter(|o| o.kind == "secret").collect();
            (!is_as_it_was).then(|| Clean { name: payload.text.into(), secrets })
        })?;
        name.clone_from(&clean.name);
        Some(clean)
    }

    /// Redacts the names of a call; says whether one held a secret.
    pub(super) fn names(&self, call: &mut Call, found: &mut Vec<Observable>) -> bool {
        let Call {
            tool,
            tool_raw,
            server,
            server_info_name,
            server_info_version,
            agent,
            client_name,
            client_version,
            user_id,
            session_id,
            mcp_session_id,
            more,
            ..
        } = call;
        let mut held = false;
        let mut look = |name: &mut Text| {
            if let Some(clean) = self.clean(name) {
                held = true;
                let new = clean.secrets.iter().filter(|o| !found.iter().any(|seen| seen.value == o.value));
                let new: Vec<Observable> = new.cloned().collect();
                found.extend(new);
            }
        };
        let of_all = [tool, tool_raw, server, server_info_name, server_info_version, agent, client_name];
        of_all.into_iter().flatten().for_each(&mut look);
        [client_version, user_id, session_id, mcp_session_id].into_iter().flatten().for_each(&mut look);
        if let Some(more) = more {
            let More { user_name, user_email, gen_ai_agent_id, gen_ai_prompt_name, user_agent, host_name, .. } =
                &mut **more;
            let of_few = [user_name, user_email, gen_ai_agent_id, gen_ai_prompt_name, user_agent, host_name];
            of_few.into_iter().flatten().for_each(&mut look);
        }
        held && !self.options.keep_secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::EnrichOptions;

    #[test]
    fn a_token_in_a_name_is_redacted_and_names_stay() {
        let enricher = Enricher::new(EnrichOptions::new([7; 32]));
        let token = format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zC0fR3uI6".chars().rev().collect::<String>());
        let named = |name: &str| Some(Text::from(name));
        let mut call = Call {
            tool: named(&format!("read_{token}")),
            server_info_name: named(&token),
            session_id: named(&token),
            ..Call::default()
        };
        let enriched = enricher.call(&mut call);
        let literal = call.session_id.clone().expect("still there");
        assert!(literal.starts_with("[secret:github_token:"), "{literal}");
        assert_eq!(call.server_info_name.as_deref(), Some(literal.as_str()));
        assert_eq!(call.tool.as_deref(), Some(format!("read_{literal}").as_str()));
        assert_eq!(enriched.observables.len(), 1, "{:?}", enriched.observables);
        assert!(call.flags.has(crate::call::Flag::SecretRedacted as u32));
        for name in [
            "mcp__github__create_pull_request_review_comment",
            "io.github.modelcontextprotocol/server-filesystem",
            "0d8f3b1e-5c59-4f0e-9a53-2d6b1f7c4e21",
            "01JCX3Q0R8W5N1T4Z7Y2K9M6PB",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "session_2026-11-09T10-00-00_0001",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "spiffe://example.org/ns/agents/sa/reviewer",
            "arn:aws:sts::123456789012:assumed-role/agents/i-0abcd1234ef567890",
            "somebody.with.a.long.name@subsidiary.example.com",
            "https://mcp.example.com/v1/mcp",
            "Mozilla/5.0 (X11; Linux x86_64) node-fetch/3.3.2",
            "get_token_usage_statistics",
            "reset_password_for_account",
        ] {
            let mut same = Text::from(name);
            enricher.name(&mut same);
            assert_eq!(same, name);
        }
    }
}
