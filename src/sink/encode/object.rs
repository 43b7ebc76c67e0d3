//! A JSON object under construction that leaves out what is missing: most schemas allow no null.

use serde_json::{Map, Value};

/// The object so far, members in the order of their adding.
#[derive(Debug, Default)]
pub(super) struct Attributes(pub(super) Map<String, Value>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A text that is there and not empty: an empty name is none.
    pub(super) fn text(self, name: &str, value: Option<&str>) -> Self {
        self.maybe(name, value.filter(|value| !value.is_empty()))
    }

    /// A list that is not empty.
    pub(super) fn list<V: Into<Value>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.is_empty() { self } else { self.with(name, values) }
    }

    /// An object that is not empty.
    pub(super) fn object(self, name: &str, value: Self) -> Self {
        if value.0.is_empty() { self } else { self.with(name, value) }
    }
}

impl From<Attributes> for Value {
    fn from(attributes: Attributes) -> Self {
        Self::Object(attributes.0)
    }
}
