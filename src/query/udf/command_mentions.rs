//! `command_mentions(arguments)`: whether a command only speaks of what stands in its quotes.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "command_mentions(arguments)",
    text: "Whether the command in the JSON text of arguments is a commit message, an echo or a search, whose quoted text \
           the shell puts nothing into: the words in it do nothing. Takes the arguments as they are, not command_text.",
    example: "SELECT call_id FROM calls WHERE arguments LIKE '%rm -rf /%' AND NOT command_mentions(arguments)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("command_mentions", &ABOUT, Body::Bool(|arguments| MENTION.is_match(arguments)))
}

/// One command with one quoted text: in single quotes, or in double ones (escaped, as in JSON) without `$(…)` and backquotes.
static MENTION: Pattern = Pattern::new(|| {
    pattern(
        r#""\s*(git\s+(commit|log|grep)|gh\s+\w+\s+\w+|echo|printf|grep|rg)\b[^'"|;&]*('[^']*'|\\"([^"\\$`]|\\[^"]|\$[^("\\])*\\")[^|;&'"]*"\s*[,}]"#,
    )
});

#[cfg(test)]
mod tests {
    use super::MENTION;

    #[test]
    fn what_is_said_is_told_from_what_is_done() {
        for arguments in [
            r#"{"command":"git commit -m 'never run rm -rf /'"}"#,
            r#"{"command":"echo \"rm -rf / is dangerous\"","timeout":5}"#,
            r#"{"command":"grep -rn 'rm -rf' src"}"#,
        ] {
            assert!(MENTION.is_match(arguments), "{arguments}");
        }
        for arguments in [
            "{}",
            r#"{"command":"rm -rf /"}"#,
            r#"{"command":"echo \"$(rm -rf /)\""}"#,
            r#"{"command":"echo \"`rm -rf /`\""}"#,
            r#"{"command":"echo 'rm -rf /' | sh"}"#,
            r#"{"command":"git commit -m 'x'; rm -rf /"}"#,
        ] {
            assert!(!MENTION.is_match(arguments), "{arguments}");
        }
    }
}
