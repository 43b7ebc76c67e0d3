//! What `calltrail.toml` says about rules, held against the rules that there are.

use crate::config::Config;
use crate::rule::{Params, RuleSet};
use std::collections::BTreeMap;

/// The user's parameters.
///
/// # Errors
/// Every setting that no rule has, each with its place in the file.
pub(super) fn params(config: &Config, rules: &RuleSet) -> Result<Params, Vec<String>> {
    let overrides: BTreeMap<_, _> =
        config.rules.iter().map(|(id, setting)| (id.clone(), setting.params.clone())).collect();
    rules.params(&overrides).map_err(|problems| {
        let located = problems.into_iter().map(|problem| match problem.split_once(": ") {
            Some((key, message)) => config.places.located(key, message),
            None => problem,
        });
        located.collect()
    })
}
