//! `command_text(arguments)`: arguments as a pattern for shell commands can read them.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;

const ABOUT: About = About {
    syntax: "command_text(arguments)",
    text: "The JSON text of arguments, and in front of it, where that differs, the same as a shell reads the command: \
           without quotes, escapes and carets within words, without escaped quotes (one would end the JSON text for a \
           pattern such as `[^|;&\"]*`), `$IFS` as a space, a list of words as one line, each line as a command of its \
           own; without the text that a here-document only writes to a file.",
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
    // In JSON a line break is a backslash and a letter, which would join the next word: no pattern finds `ls\\nrm -rf /`.
    let lined = lines(arguments);
    let mut plain = Cow::Borrowed(lined.as_deref().unwrap_or(arguments));
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
    let parts = match lined {
        Some(lined) => [plain, Some(unquoted(&lined).unwrap_or(lined))],
        None => [plain, unquoted(arguments)],
    };
    let mut out = String::new();
    for part in parts.into_iter().flatten() {
        out.push_str(&part);
        out.push(' ');
    }
    out.push_str(arguments);
    out
}

/// Lines as the shell takes them: a break ends a command, but within quotes and behind a backslash it is a space, as a
/// tab is. `None` if there is neither.
fn lines(arguments: &str) -> Option<String> {
    if !["\\n", "\\t", "\\r"].iter().any(|escape| arguments.contains(escape)) {
        return None;
    }
    let mut out = String::with_capacity(arguments.len());
    let mut quote = None;
    let mut line_from = 0;
    let mut rest = arguments;
    while let Some(at) = rest.find(['\\', '\'', '"']) {
        out.push_str(&rest[..at]);
        let found = &rest[at..];
        let escape = if found.starts_with('\\') { found.chars().nth(1) } else { None };
        // A backslash is ASCII, what follows it need not be.
        let length = 1 + escape.map_or(0, char::len_utf8);
        rest = &found[length..];
        match escape {
            Some('n' | 'r') => {
                out.push_str(if quote.is_some() { " " } else { " ; " });
                let written = if quote.is_none() { written_only(&out[line_from..], rest) } else { 0 };
                rest = &rest[written..];
                line_from = out.len();
            }
            Some('t') => out.push(' '),
            // The shell's own backslash: in front of a break it joins two lines.
            Some('\\') => match rest.strip_prefix("\\n").or_else(|| rest.strip_prefix("\\r\\n")) {
                Some(behind) => {
                    out.push(' ');
                    rest = behind;
                }
                None => out.push_str(&found[..length]),
            },
            _ => {
                let mark = match escape {
                    Some('"') => Some('"'),
                    None if found.starts_with('\'') => Some('\''),
                    _ => None,
                };
                if escape.is_none() && mark.is_none() {
                    quote = None; // the JSON text's own: here a value ends
                } else if quote.is_none() {
                    quote = mark;
                } else if quote == mark {
                    quote = None;
                }
                out.push_str(&found[..length]);
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The length of the here-document behind this line, if all that becomes of it is a file that is not spoken of again.
fn written_only(line: &str, rest: &str) -> usize {
    static WRITES: Pattern = Pattern::new(|| pattern(r#"\b(?:cat|tee)\b[^|]*<<-?\s*['"\\]*([A-Za-z_]\w*)[^|]*$"#));
    static FILE: Pattern = Pattern::new(|| pattern(r#"(?:>>?|\btee\s+(?:-a\s+)?)\s*['"\\]*([^\s'"\\;|&<>]+)"#));
    let (Some(writes), Some(file)) = (WRITES.captures(line), FILE.captures(line)) else { return 0 };
    let Some(end) = rest.find(&format!("\\n{}", &writes[1])) else { return 0 };
    let name = file[1].rsplit('/').next().unwrap_or_default();
    if rest[end..].contains(name) { 0 } else { end }
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
            (r#"{"cmd":"cd /x\nrm -rf /\r\n"}"#, "cd /x ; rm -rf / ;"),
            (r#"{"cmd":"if x; then\n\trm -rf /\nfi"}"#, "then ;  rm -rf / ; fi"),
            (r#"{"cmd":"rm \\\n  -rf /"}"#, "rm    -rf /"),
            (r#"{"cmd":"psql -c 'drop\ntable x'\nls"}"#, "drop table x' ; ls"),
            (r#"{"cmd":"psql -c \"drop\ntable x\"\nls"}"#, "drop table x ; ls"),
            (r#"{"cmd":"cat <<'E' > x.sh\nrm -rf /\nE\nsh ./x.sh"}"#, "; rm -rf / ; E"),
            (r#"{"cmd":"bash <<'E'\nrm -rf /\nE\n"}"#, "; rm -rf / ; E"),
        ] {
            let text = command_text(arguments);
            assert!(text.contains(read) && text.ends_with(arguments), "{arguments} became {text}");
        }
        for same in ["", "{}", r#"{"cmd":"ls -l"}"#, r#"{"tags":["a","b"]}"#, r#"{"path":"C:/x"}"#] {
            assert_eq!(command_text(same), same);
        }
        let written = command_text(r#"{"cmd":"cat <<EOF > notes.md\nrm -rf /\nEOF\nls ü\n"}"#);
        assert!(!written.contains("; rm -rf /") && written.contains("; ls ü"), "{written}");
        for (printed, read) in
            [(r#"{"cmd":"printf 'a\\nb'"}"#, "'a\\\\nb'"), (r#"{"cmd":"x\"#, "x\\"), (r#"{"cmd":"\nü\ü"#, "ü")]
        {
            assert!(command_text(printed).contains(read), "{printed}");
        }
    }
}
