//! A JSON object under construction that leaves out what is missing: most schemas allow no null.
//!
//! Members are a list and not a map, because an encoder names each once, and texts of the alert are borrowed: alerts come by the hundred thousand.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The object so far, members in the order of their adding.
#[derive(Debug, Default)]
pub(in crate::sink) struct Attributes<'a>(Vec<(&'static str, Node<'a>)>);

/// A member's value.
#[derive(Debug)]
pub(in crate::sink) enum Node<'a> {
    Text(Cow<'a, str>),
    Plain(Value),
    /// An object as it stands in the alert.
    Members(&'a Map<String, Value>),
    Object(Attributes<'a>),
    List(Vec<Self>),
}

impl<'a> Attributes<'a> {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Node<'a>>) -> Self {
        debug_assert!(self.0.iter().all(|(known, _)| *known != name), "{name} is there twice");
        self.0.push((name, value.into()));
        self
    }

    pub(super) fn maybe(self, name: &'static str, value: Option<impl Into<Node<'a>>>) -> Self {
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
    pub(super) fn text(self, name: &'static str, value: Option<&'a str>) -> Self {
        self.maybe(name, value.filter(|value| !value.is_empty()))
    }

    /// A list that is not empty.
    pub(super) fn list<V: Into<Node<'a>>>(self, name: &'static str, values: impl IntoIterator<Item = V>) -> Self {
        let values: Vec<Node<'a>> = values.into_iter().map(Into::into).collect();
        if values.is_empty() { self } else { self.with(name, Node::List(values)) }
    }

    /// An object that is not empty.
    pub(super) fn object(self, name: &'static str, value: Self) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Plain(value) => value.serialize(serializer),
            Self::Members(members) => members.serialize(serializer),
            Self::Object(attributes) => attributes.serialize(serializer),
            Self::List(values) => values.serialize(serializer),
        }
    }
}

impl From<Attributes<'_>> for Value {
    fn from(Attributes(members): Attributes<'_>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

impl From<Node<'_>> for Value {
    fn from(node: Node<'_>) -> Self {
        match node {
            Node::Text(text) => Self::String(text.into_owned()),
            Node::Plain(value) => value,
            Node::Members(members) => Self::Object(members.clone()),
            Node::Object(attributes) => attributes.into(),
            Node::List(values) => values.into_iter().map(Self::from).collect(),
        }
    }
}

impl<'a> From<Attributes<'a>> for Node<'a> {
    fn from(attributes: Attributes<'a>) -> Self {
        Self::Object(attributes)
    }
}

impl<'a> From<&'a str> for Node<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Map<String, Value>> for Node<'a> {
    fn from(members: &'a Map<String, Value>) -> Self {
        Self::Members(members)
    }
}

impl<'a> From<&'a [String]> for Node<'a> {
    fn from(texts: &'a [String]) -> Self {
        Self::List(texts.iter().map(|text| Self::from(text.as_str())).collect())
    }
}

macro_rules! plain {
    ($($kind:ty),*) => { $(
        impl From<$kind> for Node<'_> {
            fn from(value: $kind) -> Self {
                Self::Plain(value.into())
            }
        }
    )* };
}

plain!(Value, bool, u8, u32, u64, usize, i32, i64, f64, Vec<String>, Vec<Value>);
