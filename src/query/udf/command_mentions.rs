//! `command_mentions(arguments)`: whether a command only speaks of what stands in its quotes.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "command_mentions(arguments)",
    text: "Whether the command in the JSON text of arguments is a commit message, an echo or a search, whose quoted text \
           the shell puts nothing into, and no other value is a command: the words in it do nothing. Takes the arguments as they are, not command_text.",
    example: "SELECT call_id FROM calls WHERE arguments LIKE '%rm -rf /%' AND NOT command_mentions(arguments)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("command_mentions", &ABOUT, Body::Bool(command_mentions))
}

/// A text of the JSON, and whether it names a value.
static TEXT: Pattern = Pattern::new(|| pattern(r#""((?:[^"\\]|\\.)*)"(\s*:)?"#));
/// One command with quoted texts: in single quotes, or in double ones (escaped, as in JSON) without `$(…)` and backquotes.
/// Outside of them nothing begins another command: no line break (a backslash in JSON), no `$(…)`. What Git does before and after a commit, in
/// plain words, is no such command.
static MENTION: Pattern = Pattern::new(|| {
    pattern(
        r#"^\s*((cd|git\s+(add|status|diff|fetch|pull|push|checkout|switch|branch|rm|mv|tag))\b[^'"|;&\\$`()<>]*&&\s*)*(git\s+(commit|log|grep)|gh\s+\w+\s+\w+|echo|printf|grep|rg)\b(([^'"|;&\\$`()]|\$\w)*('([^'"\\]|\\.)*'|\\"([^"\\$`]|\\\\(\\.|[^"\\])|\\[^"\\]|\$[^("\\`])*\\"))+([^'"|;&\\$`()]|\$\w)*(&&\s*git\s+(push|status|log|fetch|pull)\b[^'"|;&\\$`()<>]*)*(\\[nrt]|\s)*$"#,
    )
});
/// Options by which a search runs a program.
static RUNS: Pattern = Pattern::new(|| pattern(r"\s(--pre\b|--open-files|-O)"));
/// Members that say something of the command.
static ABOUT_IT: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)^(description|explanation|reason(ing)?|justification|purpose|summary|title|notes?|comments?|thoughts?|cwd|path|(work\w*_?)?dir(ectory)?)$",
    )
});

fn command_mentions(arguments: &str) -> bool {
    let (mut name, mut is_named, mut mentions, mut end) = ("", false, false, 0);
    for found in TEXT.captures_iter(arguments) {
        let text = found.get(1).map_or("", |text| text.as_str());
        end = found.get(0).map_or(end, |whole| whole.end());
        if found.get(2).is_some() {
            (name, is_named) = (text, true);
        } else if !ABOUT_IT.is_match(name) {
            let is_mention = MENTION.is_match(text) && !RUNS.is_match(text);
            let is_word = !text.contains(|c: char| c.is_whitespace() || "\\$;|&`{".contains(c));
            // Of a list of words each is a part of the command.
            if !std::mem::take(&mut is_named) || !(is_mention || is_word) {
                return false;
            }
            mentions |= is_mention;
        }
    }
    // Of a text that is cut off nobody knows how it goes on.
    mentions && !arguments[end..].contains('"')
}

#[cfg(test)]
mod tests {
    use super::command_mentions;

    #[test]
    fn what_is_said_is_told_from_what_is_done() {
        for arguments in [
            r#"{"command":"git commit -m 'never run rm -rf /'"}"#,
            r#"{"command":"git commit -m \"a\" -m \"never\n\\\"rm -rf /\\\" for $5\"\n"}"#,
            r#"{"command":"echo \"rm -rf / is dangerous\"","timeout":5}"#,
            r#"{"command":"cd ~/a && git add docs && git commit -m 'never run rm -rf /' && git push origin main"}"#,
            r#"{"command":"grep -rn 'rm -rf' src","description":"Where it's used","cwd":"/my files","shell":"bash"}"#,
        ] {
            assert!(command_mentions(arguments), "{arguments}");
        }
        for arguments in [
            "{}",
            r#"{"command":"rm -rf /"}"#,
            r#"{"command":"echo \"$(rm -rf /)\""}"#,
            r#"{"command":"echo \"`rm -rf /`\""}"#,
            r#"{"command":"echo 'rm -rf /' | sh"}"#,
            r#"{"command":"git commit -m 'x'; rm -rf /"}"#,
            r#"{"command":"git add . && rm -rf / && git commit -m 'x'"}"#,
            r#"{"command":"git commit -m 'x' && git push && rm -rf /"}"#,
            r#"{"command":"git fetch $(rm -rf /) && git commit -m 'x'"}"#,
            // Another line, another value, a list of words, a program that a search runs.
            r#"{"command":"echo 'x'\nrm -rf /"}"#,
            r#"{"command":"echo x\nrm -rf / 'y'"}"#,
            r#"{"command":"echo 'x' $(rm -rf /)"}"#,
            r#"{"command":"echo <(rm -rf /) 'x'"}"#,
            r#"{"command":"rm -rf /","description":"echo 'x'"}"#,
            r#"{"command":"rm -rf /","note2":"echo 'x'"}"#,
            r#"{"command":["rm","-rf","/","echo 'x'"]}"#,
            r#"{"commands":["echo 'x'","rm -rf /"]}"#,
            r#"{"a":"echo 'x","command":"rm -rf / 'y'"}"#,
            r#"{"command":"rg --pre 'rm -rf /' x"}"#,
            r#"{"command":"echo 'x'","then":"rm -rf / "#,
        ] {
            assert!(!command_mentions(arguments), "{arguments}");
        }
    }
}
