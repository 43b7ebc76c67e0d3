//! A JSON object under construction that leaves out what is missing: most schemas allow no null.
//!
//! Members are a list and not a map: an encoder names each once, and alerts come by the hundred thousand.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// The object so far, members in the order of their adding.
#[derive(Debug, Default)]
pub(in crate::sink) struct Attributes(Vec<(&'static str, Node)>);

/// A member's value.
#[derive(Debug)]
pub(in crate::sink) enum Node {
    Plain(Value),
    Object(Attributes),
    List(Vec<Self>),
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Node>) -> Self {
        debug_assert!(self.0.iter().all(|(known, _)| *known != name), "{name} is there twice");
        self.0.push((name, value.into()));
        self
    }

    pub(super) fn maybe(self, name: &'static str, value: Option<impl Into<Node>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The members of both.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// A text that is there and not empty: an empty name is none.
    pub(super) fn text(self, name: &'static str, value: Option<&str>) -> Self {
        self.maybe(name, value.filter(|value| !value.is_empty()))
    }

    /// A list that is not empty.
    pub(super) fn list<V: Into<Node>>(self, name: &'static str, values: impl IntoIterator<Item = V>) -> Self {
        let values: Vec<Node> = values.into_iter().map(Into::into).collect();
        if values.is_empty() { self } else { self.with(name, Node::List(values)) }
    }

    /// An object that is not empty.
    pub(super) fn object(self, name: &'static str, value: Self) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Object(attributes) => attributes.serialize(serializer),
            Self::List(values) => values.serialize(serializer),
        }
    }
}

impl From<Attributes> for Value {
    fn from(Attributes(members): Attributes) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node {
            Node::Plain(value) => value,
            Node::Object(attributes) => attributes.into(),
            Node::List(values) => values.into_iter().map(Self::from).collect(),
        }
    }
}

impl From<Attributes> for Node {
    fn from(attributes: Attributes) -> Self {
        Self::Object(attributes)
    }
}

macro_rules! plain {
    ($($kind:ty),*) => { $(
        impl From<$kind> for Node {
            fn from(value: $kind) -> Self {
                Self::Plain(value.into())
            }
        }
    )* };
}

plain!(Value, &str, String, bool, u8, u32, u64, usize, i32, i64, f64, Vec<String>, Vec<Value>);
