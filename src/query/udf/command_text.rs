//! `command_text(arguments)`: arguments as a pattern for shell commands can read them.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;

const ABOUT: About = About {
    syntax: "command_text(arguments)",
    text: "The JSON text of arguments, and in front of it, where that differs, the same as a shell reads the command: \
           without quotes, escapes and carets within words, without escaped quotes (one would end the JSON text for a \
           pattern such as `[^|;&\"]*`), `$IFS` as a space, a list of words as one line.",
    example: "SELECT call_id FROM calls WHERE regexp_like(command_text(arguments), 'aws\\s+s3\\s+rm\\s[^|;&\"]*--recursive')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("command_text", &ABOUT, Body::Text(|arguments| Some(command_text(arguments))))
}

/// A command that is given as a list of words.
static LIST: Pattern = Pattern::new(|| pattern(r#""(command|cmd|commands|args|argv)"\s*:\s*\[\s*""#));
/// What stands between two words of it, also from the program to its arguments.
static BETWEEN: Pattern = Pattern::new(|| pattern(r#""\s*,\s*("\w+"\s*:\s*\[\s*)?""#));
/// What a shell puts between words where it is not spelled as a space.
static SEPARATOR: Pattern = Pattern::new(|| pattern(r"\$\{IFS[^}]*\}|\$IFS(\$\d)?"));
/// A mark inside a word, that is one at its edge too if it stands there twice.
static DISGUISE: Pattern =
    Pattern::new(|| pattern(r#"[A-Za-z]['`^][A-Za-z]|\w''|''\w|\\"\\"|[A-Za-z]\\"[A-Za-z]|\\\\[a-z]"#));
/// Marks that a shell takes off; of a letter behind a backslash the letter stays.
static MARKS: Pattern = Pattern::new(|| pattern(r#"['`^]|\\"|\\\\([a-z])"#));

fn command_text(arguments: &str) -> String {
    let mut plain = Cow::Borrowed(arguments);
    let mut is_disguised = DISGUISE.is_match(arguments);
    if LIST.is_match(arguments) {
        plain = Cow::Owned(BETWEEN.replace_all(&plain, " ").into_owned());
        is_disguised = true;
    }
    if plain.contains("IFS") && SEPARATOR.is_match(&plain) {
        plain = Cow::Owned(SEPARATOR.replace_all(&plain, " ").into_owned());
        is_disguised = true;
    }
    let unquoted = |text: &str| if text.contains("\\\"") { Some(text.replace("\\\"", "")) } else { None };
    let plain = if is_disguised { Some(MARKS.replace_all(&plain, "$1").into_owned()) } else { None };
    // A mark at the edge of a word may be what a pattern looks for, so the command without escaped quotes alone stands there too.
    let parts = [plain, unquoted(arguments)];
    let mut out = String::new();
    for part in parts.into_iter().flatten() {
        out.push_str(&part);
        out.push(' ');
    }
    out.push_str(arguments);
    out
}

#[cfg(test)]
mod tests {
    use super::command_text;

    #[test]
    fn commands_read_as_a_shell_reads_them() {
        for (arguments, read) in [
            (r#"{"cmd":"c'a't /etc/shadow"}"#, "cat /etc/shadow"),
            (r#"{"cmd":"c\"a\"t x"}"#, "cat x"),
            (r#"{"cmd":"who''ami"}"#, "whoami"),
            (r#"{"cmd":"c\\at x"}"#, "cat x"),
            (r#"{"cmd":"po^wer^shell -enc AA"}"#, "powershell -enc AA"),
            (r#"{"cmd":"curl${IFS}https://a.example"}"#, "curl https://a.example"),
            (r#"{"cmd":["bash","-lc","rm -rf /x"]}"#, "bash -lc rm -rf /x"),
            (r#"{"command":"cmd","args":["/c", "del x"]}"#, "cmd /c del x"),
        ] {
            let text = command_text(arguments);
            assert!(text.contains(read) && text.ends_with(arguments), "{arguments} became {text}");
        }
        for same in ["", "{}", r#"{"cmd":"ls -l"}"#, r#"{"tags":["a","b"]}"#, r#"{"path":"C:/x"}"#] {
            assert_eq!(command_text(same), same);
        }
    }
}
