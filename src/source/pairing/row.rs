//! What pairing gives to the lake.

use super::RowRef;
use crate::call::{Call, Nanos, Observable, Prompt, Text, ToolDefinition};

/// A finished row.
#[derive(Debug)]
pub enum Row {
    /// A call, whole or (at the end of a run) still open.
    Call { call: Box<Call>, observables: Vec<Observable> },
    /// The row is no longer true: the orphan found its request. A row with the same id that follows is another.
    Retract(RowRef),
    /// What a record says of a call that is a row already; see [`super::amend_row`].
    Amend { row: RowRef, said: Box<Call> },
    /// What the user asked; session and agent filled.
    Prompt(Box<Prompt>),
    /// A tool as a server offered it.
    Tool { tool: Box<ToolDefinition>, time: Option<Nanos>, connection: ConnectionInfo },
    /// Instructions of a server.
    Instructions { server: Option<Text>, time: Option<Nanos>, text: String, connection: ConnectionInfo },
}

/// Identity of the connection that a row belongs to.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    pub connection_id: Text,
    pub session_id: Option<Text>,
    pub server: Option<Text>,
}
