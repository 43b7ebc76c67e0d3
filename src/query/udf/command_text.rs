//! `command_text(arguments)`: arguments as a pattern for shell commands can read them.

use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "command_text(arguments)",
    text: "The JSON text of arguments, and where quotes are escaped in it, the same without these in front: a quote \
           within a command would end its JSON text for a pattern such as `[^|;&\"]*`.",
    example: "SELECT call_id FROM calls WHERE regexp_like(command_text(arguments), 'aws\\s+s3\\s+rm\\s[^|;&\"]*--recursive')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_text("command_text", &ABOUT, Body::Text(command_text))
}

fn command_text(arguments: &str) -> Option<String> {
    if !arguments.contains("\\\"") {
        return Some(arguments.to_owned());
    }
    Some(format!("{} {arguments}", arguments.replace("\\\"", "")))
}
