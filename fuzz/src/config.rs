//! The part of the configuration that describes logs, without the rest, which would bring the lake along.

#[path = "../../src/config/mapping.rs"]
mod mapping;

use crate::source::mapping::Mapping;
use serde::Deserialize;
use std::marker::PhantomData;
use std::ops::Range;
use toml::Spanned;

/// Where complaints are collected, as the configuration's own does it.
struct Check<'a> {
    faults: Vec<(Option<Range<usize>>, String)>,
    _folder: PhantomData<&'a ()>,
}

impl Check<'_> {
    fn value<T, V>(&mut self, written: Option<Spanned<T>>, read: impl Fn(&T) -> Result<V, String>) -> Option<V> {
        let written = written?;
        let read = read(written.get_ref());
        read.map_err(|message| self.faults.push((Some(written.span()), message))).ok()
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    mapping: Vec<Spanned<mapping::Written>>,
}

/// The mappings of a configuration, or what is wrong with it.
pub fn read(text: &str) -> Result<Vec<Mapping>, Vec<String>> {
    let written: Written = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut check = Check { faults: Vec::new(), _folder: PhantomData };
    let mappings = check.mappings(written.mapping);
    for (span, message) in &check.faults {
        assert!(!message.is_empty() && span.as_ref().is_none_or(|span| span.end <= text.len()), "{message}");
    }
    if check.faults.is_empty() { Ok(mappings) } else { Err(check.faults.into_iter().map(|(_, message)| message).collect()) }
}
