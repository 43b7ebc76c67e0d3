//! `command_text(arguments)`: arguments as a pattern for shell commands can read them.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;

const ABOUT: About = About {
    syntax: "command_text(arguments)",
    text: "The JSON text of arguments with each line as a command of its own, without comments and without text that a \
           here-document only writes to a file or into a message; and in front of it, where that differs, the same as a \
           shell reads the command: without quotes, escapes and carets within words, without escaped quotes (one would end the JSON text for a \
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
    let last = lined.as_deref().unwrap_or(arguments);
    let parts = [plain, unquoted(last)];
    let mut out = String::new();
    for part in parts.into_iter().flatten() {
        out.push_str(&part);
        out.push(' ');
    }
    out.push_str(last);
    out
}

/// Lines as the shell takes them: a break ends a command, but within quotes and behind a backslash it is a space, as a
/// tab is. In a message to somebody, breaks stay what they are. `None` if there is neither.
fn lines(arguments: &str) -> Option<String> {
    if !["\\n", "\\t", "\\r"].iter().any(|escape| arguments.contains(escape)) {
        return None;
    }
    let mut out = String::with_capacity(arguments.len());
    let mut quote = None;
    let mut is_message = false;
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
                rest = &rest[not_run(&out[line_from..], rest, quote.is_some(), is_message)..];
                out.push_str(match (quote, is_message) {
                    (Some(_), true) => &found[..length],
                    (Some(_), false) => " ",
                    (None, _) => " ; ",
                });
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
                    quote = None; // the JSON text's own: here a value begins or ends
                    rest = &rest[comment(rest)..];
                } else if quote.is_none() {
                    quote = mark;
                    is_message = mark.is_some() && MESSAGE.is_match(&out[line_from..]);
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

/// What a quoted text behind it is for people: the message of a commit, the body of a pull request, what is printed.
static MESSAGE: Pattern = Pattern::new(|| {
    pattern(r"(?:\s-\w*m|--message|--body|--title|--notes|--description|\becho(?:\s+-\w+)*|\bprintf)[=\s]*$")
});

/// The length of the comment that this line is.
fn comment(line: &str) -> usize {
    if !line.trim_start_matches("\\t").trim_start().starts_with('#') {
        return 0;
    }
    let mut bytes = line.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at,
            b'\\' if matches!(bytes.next(), Some((_, b'n' | b'r'))) => return at,
            _ => {}
        }
    }
    line.len()
}

/// How much of what follows this line no shell runs: a comment, or a here-document of which nothing becomes but a
/// message, or a file that is not spoken of again.
fn not_run(line: &str, rest: &str, is_quoted: bool, is_message: bool) -> usize {
    static WRITES: Pattern = Pattern::new(|| pattern(r#"\b(?:cat|tee)\b[^|]*<<-?\s*(['"\\]*)([A-Za-z_]\w*)[^|]*$"#));
    static FILE: Pattern = Pattern::new(|| pattern(r#"(?:>>?|\btee\s+(?:-a\s+)?)\s*['"\\]*([^\s'"\\;|&<>]+)"#));
    if is_quoted && !is_message {
        return 0;
    }
    let other = if is_quoted { 0 } else { comment(rest) };
    let Some(writes) = WRITES.captures(line) else { return other };
    let Some(end) = rest.find(&format!("\\n{}", &writes[2])) else { return other };
    // Unless its end is quoted, the shell runs what stands in `$(…)` and backquotes.
    if writes[1].is_empty() && ["$(", "`"].iter().any(|run| rest[..end].contains(run)) {
        return other;
    }
    match FILE.captures(line) {
        _ if is_message => end,
        Some(file) => {
            let name = file[1].rsplit('/').next().unwrap_or_default();
            if rest[end..].contains(name) { 0 } else { end }
        }
        None => other,
    }
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
            (r##"{"cmd":"# it's\nrm -rf /\n"}"##, "; rm -rf / ;"),
            (r#"{"cmd":"bash -c \"$(cat <<'E'\nrm -rf /\nE\n)\"\nls"}"#, " rm -rf / E )"),
            (r#"{"cmd":"git commit -m \"$(cat <<E\n$(rm -rf /)\nE\n)\"\nls"}"#, "$(rm -rf /)"),
            (r#"{"cmd":"cat <<E > notes.md\n`rm -rf /`\nE\nls"}"#, "rm -rf /"),
        ] {
            let text = command_text(arguments);
            let is_kept = text.ends_with(arguments) || arguments.contains("\\n");
            assert!(text.contains(read) && is_kept, "{arguments} became {text}");
        }
        for same in ["", "{}", r#"{"cmd":"ls -l"}"#, r#"{"tags":["a","b"]}"#, r#"{"path":"C:/x"}"#] {
            assert_eq!(command_text(same), same);
        }
        let written = command_text(r#"{"cmd":"cat <<EOF > notes.md\nrm -rf /\nEOF\nls ü\n"}"#);
        assert!(!written.contains("; rm -rf /") && written.contains("; ls ü"), "{written}");
        for spoken in [
            r#"{"cmd":"git commit -m \"$(cat <<'EOF'\nNo more\nrm -rf / \"at all\"\n\nEOF\n)\"\nls"}"#,
            r#"{"cmd":"git add -A && git commit -am 'Two lines\nrm -rf / is gone'\nls"}"#,
            r##"{"cmd":"cd x\n# never rm -rf / here, it's wrong\nls"}"##,
        ] {
            let read = command_text(spoken);
            assert!(read.contains("; ls") && !read.contains(" rm -rf /"), "{read}");
        }
        for (printed, read) in
            [(r#"{"cmd":"printf 'a\\nb'"}"#, "'a\\\\nb'"), (r#"{"cmd":"x\"#, "x\\"), (r#"{"cmd":"\nü\ü"#, "ü")]
        {
            assert!(command_text(printed).contains(read), "{printed}");
        }
    }
}
