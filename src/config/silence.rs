//! `[[suppress]]`, `[allow]` and `[rules.ID.allow]`: what users do not want to see.

use super::Check;
use super::schema::{Allow, Moment, OneOrMore, Rule, Suppress};
use crate::alert::{Origin, Patterns, Suppression, Wildcard};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use std::collections::BTreeMap;
use toml::Spanned;

impl Check<'_> {
    /// Suppressions, then the allow-lists as suppressions that hold for good.
    pub(super) fn silences(
        &mut self,
        suppress: Vec<Spanned<Suppress>>,
        allow: &Allow,
        rules: &BTreeMap<Spanned<String>, Rule>,
    ) -> Vec<Suppression> {
        let mut silences = self.suppressions(suppress);
        let everywhere = self.allowed("allow", &Wildcard::new("*"), allow, None);
        for (id, rule) in rules {
            let id = id.get_ref();
            // A finding may be allowed by both lists together.
            silences.extend(self.allowed(&format!("rules.{id}.allow"), &Wildcard::new(id), &rule.allow, Some(allow)));
        }
        silences.extend(everywhere);
        silences
    }

    fn allowed(&mut self, key: &str, rule: &Wildcard, own: &Allow, also: Option<&Allow>) -> Vec<Suppression> {
        type Pick = fn(&Allow) -> &Vec<Spanned<String>>;
        let lists: [(&str, Pick); 4] = [
            ("tools", |allow| &allow.tools),
            ("destinations", |allow| &allow.destinations),
            ("agents", |allow| &allow.agents),
            ("servers", |allow| &allow.servers),
        ];
        let mut silences = Vec::new();
        for (name, pick) in lists {
            let mut patterns = Vec::new();
            for written in pick(own) {
                let text = written.get_ref();
                let pattern = Wildcard::new(text.trim());
                if text.trim().is_empty() {
                    self.faults.push((Some(written.span()), format!("`{key}.{name}`: a pattern is empty")));
                } else if pattern.is_any() {
                    let message = format!("`{key}.{name}`: `{text}` allows everything, or nearly; name what is known");
                    self.faults.push((Some(written.span()), message));
                }
                patterns.push(pattern);
            }
            if patterns.is_empty() {
                continue;
            }
            patterns.extend(also.into_iter().flat_map(pick).map(|text| Wildcard::new(text.get_ref().trim())));
            let matcher = |of: &str| (of == name).then(|| Patterns::new(patterns.clone()));
            silences.push(Suppression {
                id: format!("{key}.{name}"),
                origin: Origin::AllowList,
                rule: rule.clone(),
                alert_id: None,
                session_id: None,
                agent: matcher("agents"),
                user_id: None,
                server: matcher("servers"),
                tool: matcher("tools"),
                destination: matcher("destinations"),
                owner: "calltrail.toml".to_owned(),
                reason: "on the allow-list".to_owned(),
                expires: None,
            });
        }
        silences
    }

    fn suppressions(&mut self, written: Vec<Spanned<Suppress>>) -> Vec<Suppression> {
        let mut read: Vec<Suppression> = Vec::new();
        for entry in written {
            let span = entry.span();
            let id_span = entry.get_ref().id.as_ref().map_or(span.clone(), Spanned::span);
            let Some(suppression) = self.suppression(entry) else { continue };
            if read.iter().any(|other| other.id == suppression.id) {
                self.faults.push((Some(id_span), format!("a second suppression has the id `{}`", suppression.id)));
            }
            read.push(suppression);
        }
        read
    }

    fn suppression(&mut self, entry: Spanned<Suppress>) -> Option<Suppression> {
        let span = entry.span();
        let written = entry.into_inner();
        let filled = |text: &String| match text.trim() {
            "" => Err("this must not be empty: whoever meets the suppression later needs it".to_owned()),
            _ => Ok(text.clone()),
        };
        let missing = [
            ("id", written.id.is_none()),
            ("rule", written.rule.is_none() && written.alert_id.is_none()),
            ("owner", written.owner.is_none()),
            ("reason", written.reason.is_none()),
            ("expires", written.expires.is_none()),
        ];
        for (key, _) in missing.iter().filter(|(_, missing)| *missing) {
            self.faults.push((Some(span.clone()), format!("the suppression lacks `{key}`")));
        }
        let rule_span = written.rule.as_ref().map(Spanned::span);
        let id = self.value(written.id, filled);
        let alert_alone = written.rule.is_none() && written.alert_id.is_some();
        let rule = self.value(written.rule, filled).map(Wildcard::new);
        let rule = rule.or_else(|| alert_alone.then(|| Wildcard::new("*")));
        let owner = self.value(written.owner, filled);
        let reason = self.value(written.reason, filled);
        let expires = self.value(written.expires, |moment: &Moment| expiry(&moment.text()));
        let alert_id = self.value(written.alert_id, filled);
        let patterns = |written: &OneOrMore| match written.list() {
            [] => Err("the list is empty: leave the key out, or name what is meant".to_owned()),
            list if list.iter().any(|text| text.trim().is_empty()) => Err("a pattern is empty".to_owned()),
            list => Ok(Patterns::new(list.iter().map(Wildcard::new).collect())),
        };
        let [session_id, agent, user_id, server, tool, destination] =
            [written.session_id, written.agent, written.user_id, written.server, written.tool, written.destination]
                .map(|written| self.value(written, patterns));
        let narrow = alert_id.is_some()
            || [&session_id, &agent, &user_id, &server, &tool, &destination]
                .iter()
                .any(|matcher| matcher.as_ref().is_some_and(|m| !m.is_any()));
        if rule.as_ref().is_some_and(Wildcard::is_any) && !narrow {
            let message = "the suppression hides every alert, or nearly; name a rule, an agent, a server or the like";
            self.faults.push((rule_span, message.to_owned()));
        }
        Some(Suppression {
            id: id?,
            origin: Origin::Configuration,
            rule: rule?,
            alert_id,
            session_id,
            agent,
            user_id,
            server,
            tool,
            destination,
            owner: owner?,
            reason: reason?,
            expires: Some(expires?),
        })
    }
}

/// Reads when a suppression ends: a date holds to its end, UTC; a time to the instant.
///
/// # Errors
/// The text is neither.
pub fn expiry(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let date = text.parse::<NaiveDate>().ok().and_then(|date| date.succ_opt());
    date.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .ok_or_else(|| format!("`{text}` is not a date; write it like 2027-01-31"))
}
