//! `command_text(arguments)`: arguments as a pattern for shell commands can read them.

use super::{About, Body, Function, Pattern, globs, pattern, variables};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datafusion::logical_expr::ScalarUDF;
use regex::Captures;
use std::borrow::Cow;

const ABOUT: About = About {
    syntax: "command_text(arguments)",
    text: "The JSON text of arguments with each line as a command of its own, without comments and without text that a \
           here-document only writes to a file or into a message; and in front of it, where that differs, the same as a \
           shell reads the command: without quotes, escapes and carets within words, without escaped quotes (one would end the JSON text for a \
           pattern such as `[^|;&\"]*`), `$IFS` as a space, `$'…'` decoded, variables that the command itself sets, words in braces and a list of words as one line, a pattern such as `~/.ss*` as the \
           well-known name that it stands for, and what PowerShell gets in base64.",
    example: "SELECT call_id FROM calls WHERE regexp_like(command_text(arguments), 'aws\\s+s3\\s+rm\\s[^|;&\"]*--recursive')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::remembering("command_text", &ABOUT, Body::Text(|arguments| Some(command_text(arguments))))
}

/// A command that is given as a list of words.
static LIST: Pattern = Pattern::new(|| pattern(r#"(?i)"\w*(command|cmd|commands|args|argv|arguments)"\s*:\s*\[\s*""#));
/// What stands between two words of it, also from the program to its arguments.
static BETWEEN: Pattern = Pattern::new(|| pattern(r#""\s*,\s*("\w+"\s*:\s*\[\s*)?""#));
/// What a shell puts between words where it is not spelled as a space.
static SEPARATOR: Pattern = Pattern::new(|| pattern(r"\$\{IFS[^}]*\}|\$IFS(\$\d)?"));
/// Words in braces, which a shell takes apart: `{cat,/etc/passwd}`.
static BRACES: Pattern = Pattern::new(|| pattern(r#"(^|["'\s;|&(])\{([^{}"'\s\\,;|&]+(?:,[^{}"'\s\\,;|&]*)+)\}"#));
/// A text in which a shell reads escapes: `$'\x72m'`.
static ESCAPED: Pattern = Pattern::new(|| pattern(r#"\$'((?:[^'"\\]|\\\\(?:\\.|[^"\\])|\\[^"\\])*)'"#));
/// A mark inside a word, that is one at its edge too if it stands there twice; a command or an option that is a word in quotes.
static DISGUISE: Pattern = Pattern::new(|| {
    pattern(
        r#"[A-Za-z]['`^][A-Za-z]|\w''|''\w|\\"\\"|[A-Za-z]\\"[A-Za-z]|\\\\[a-z/-]|\w\$([@*]|\(\))|\$([@*]|\(\))\w|[\s"'=;|&(]\$'|\w\$'\S|(["(;|&]|\\n|\b(sudo|doas|env|exec|command|nohup)\s)\s*'[\w./-]+'\s|\s('-[\w-]+'|-'\w+')"#,
    )
});
/// Marks that a shell takes off; of a letter behind a backslash the letter stays.
static MARKS: Pattern = Pattern::new(|| pattern(r#"['`^]|\\"|\$[@*]|\$\(\)|\\\\([a-z/-])"#));
/// A command that PowerShell gets in base64.
static ENCODED: Pattern = Pattern::new(|| {
    pattern(r#"(?i)\b(?:powershell|pwsh)\b[^|;&]*?\s[-/](?:e|ec|en|enc\w*)\s+[\\"']*([A-Za-z0-9+/]{8,})"#)
});

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
    if let Some(set) = variables::set(&plain) {
        plain = Cow::Owned(set);
        is_disguised = true;
    }
    if BRACES.is_match(&plain) {
        let words = |found: &Captures<'_>| format!("{}{}", &found[1], found[2].replace(',', " "));
        plain = Cow::Owned(BRACES.replace_all(&plain, words).into_owned());
        is_disguised = true;
    }
    if let Some(named) = globs::named(&plain) {
        plain = Cow::Owned(named);
        is_disguised = true;
    }
    if is_disguised && plain.contains("$'") {
        plain = Cow::Owned(ESCAPED.replace_all(&plain, |found: &Captures<'_>| unescaped(&found[1])).into_owned());
    }
    let unquoted = |text: &str| if text.contains("\\\"") { Some(text.replace("\\\"", "")) } else { None };
    let decoded = ENCODED.captures(&plain).and_then(|found| decoded(&found[1]));
    let plain = if is_disguised { Some(MARKS.replace_all(&plain, "$1").into_owned()) } else { None };
    // A mark at the edge of a word may be what a pattern looks for, so the command without escaped quotes alone stands there too.
    let last = lined.as_deref().unwrap_or(arguments);
    let parts = [decoded, plain, unquoted(last)];
    let mut out = String::new();
    for part in parts.into_iter().flatten() {
        out.push_str(&part);
        out.push(' ');
    }
    out.push_str(last);
    out
}

/// A character as it can stand in the JSON text of a command.
fn harmless(c: char) -> Option<char> {
    match c {
        '"' | '\\' => None,
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

/// The text of `$'…'`. Its backslashes are doubled, as in JSON.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\\\") {
        out.push_str(&rest[..at]);
        rest = &rest[at + 2..];
        let (radix, from, most) = match rest.bytes().next() {
            Some(b'x') => (16, 1, 2),
            Some(b'u') => (16, 1, 4),
            Some(b'U') => (16, 1, 8),
            Some(b'0'..=b'7') => (8, 0, 3),
            Some(b'n' | b'r' | b't' | b'v' | b'f') => {
                out.push(' ');
                rest = &rest[1..];
                continue;
            }
            _ => continue,
        };
        let digits = rest.bytes().skip(from).take(most).take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let code = u32::from_str_radix(&rest[from..from + digits], radix).ok().and_then(char::from_u32);
        out.extend(code.and_then(harmless));
        rest = &rest[from + digits..];
    }
    out.push_str(rest);
    out
}

/// The command that PowerShell reads in a text: base64 of UTF-16.
fn decoded(text: &str) -> Option<String> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Some(char::decode_utf16(units).filter_map(|c| harmless(c.unwrap_or(char::REPLACEMENT_CHARACTER))).collect())
}

/// Where the reading of lines is.
#[derive(Default)]
struct Place {
    /// The quotes that are open, the place behind them, and whether what stands in them is for people.
    quote: Option<char>,
    quote_from: usize,
    is_message: bool,
    /// Where the value and the line begin.
    value_from: usize,
    line_from: usize,
    /// Parentheses that are open in the value, whether a backquote is, and how far they were counted.
    open: usize,
    is_ticked: bool,
    counted: usize,
}

impl Place {
    fn count(&mut self, out: &str) {
        for byte in out.as_bytes().iter().skip(self.counted) {
            match byte {
                b'(' => self.open += 1,
                b')' => self.open = self.open.saturating_sub(1),
                b'`' => self.is_ticked = !self.is_ticked,
                _ => {}
            }
        }
        self.counted = out.len();
    }

    /// Whether what stands in the quotes so far is for people, and nothing of it is run. Asked at the end of each line.
    fn is_said(&mut self, out: &str) -> bool {
        let line = &out[self.quote_from.max(self.line_from)..];
        self.is_message &= self.quote != Some('"') || !substitutes(line);
        self.is_message && self.quote.is_some()
    }
}

/// Lines as the shell takes them: a break ends a command, but within quotes it is a space, as a tab is, and behind a backslash it is nothing.
/// In a message to somebody, breaks stay what they are. `None` if there is neither.
fn lines(arguments: &str) -> Option<String> {
    if !["\\n", "\\t", "\\r"].iter().any(|escape| arguments.contains(escape)) {
        return None;
    }
    let mut out = String::with_capacity(arguments.len());
    let mut place = Place::default();
    let (mut looks, mut last_pipe) = (LOOKS, None);
    let mut rest = arguments;
    while let Some(at) = rest.find(['\\', '\'', '"', '#']) {
        out.push_str(&rest[..at]);
        let found = &rest[at..];
        let escape = if found.starts_with('\\') { found.chars().nth(1) } else { None };
        // A backslash is ASCII, what follows it need not be.
        let length = 1 + escape.map_or(0, char::len_utf8);
        rest = &found[length..];
        match escape {
            Some('n' | 'r') => {
                let is_said = place.is_said(&out);
                rest = &rest[not_run(&out, &place, rest, is_said, &mut looks)..];
                out.push_str(match (place.quote, is_said) {
                    (Some(_), true) => &found[..length],
                    (Some(_), false) => " ",
                    (None, _) => " ; ",
                });
                place.line_from = out.len();
            }
            Some('t') => out.push(' '),
            // The shell's own backslash: it joins two lines, and a quote behind it is none.
            Some('\\') => match rest.strip_prefix("\\n").or_else(|| rest.strip_prefix("\\r\\n")) {
                Some(behind) => rest = behind,
                None => {
                    let plain = ["\\\"", "\\\\", "'"].into_iter().find(|mark| rest.starts_with(mark));
                    let length = length + plain.filter(|_| place.quote != Some('\'')).map_or(0, str::len);
                    out.push_str(&found[..length]);
                    rest = &found[length..];
                }
            },
            None if found.starts_with('#') => {
                // In a comment quotes are none. It stays: to a shell without comments it is a command.
                let begins = place.quote.is_none() && out.ends_with([' ', ';', '|', '&', '(']);
                let length = if begins { comment(found) } else { 1 };
                out.push_str(&found[..length]);
                rest = &found[length..];
            }
            _ => {
                let mark = match escape {
                    Some('"') => Some('"'),
                    None if found.starts_with('\'') => Some('\''),
                    _ => None,
                };
                if escape.is_none() && mark.is_none() {
                    // The JSON text's own: here a value begins or ends.
                    out.push('"');
                    rest = &rest[comment(rest)..];
                    let from = out.len();
                    place = Place { value_from: from, line_from: from, counted: from, ..Place::default() };
                    continue;
                }
                if place.quote.is_none() && mark.is_some() {
                    place.count(&out);
                    place.is_message = place.open == 0
                        && !place.is_ticked
                        && is_message(&out[place.line_from..], rest, mark, &mut looks, || {
                            let last = || INTERPRETER.find_iter(arguments).last().map_or(0, |found| found.end());
                            arguments.len() - rest.len() < *last_pipe.get_or_insert_with(last)
                        });
                    place.quote = mark;
                    place.quote_from = out.len() + length;
                } else if place.quote == mark {
                    place.quote = None;
                }
                out.push_str(&found[..length]);
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// What a quoted text behind it is for people: the message of a commit, the body of a pull request, what is printed.
/// An option with a `c` in it is a shell's, and has a command.
static MESSAGE: Pattern = Pattern::new(|| {
    pattern(r"(?:\s-[abd-z]*m|--message|--body|--title|--notes|--description|(\becho(?:\s+-\w+)*|\bprintf))[=\s]*$")
});
/// A program that runs what it is given.
static INTERPRETER: Pattern = Pattern::new(|| {
    pattern(
        r"\|&?(?:\s|\\+[nr])*(?:(?:\w+=\S*|sudo|env|exec|command|nohup|-\S+)\s+)*[\w./]*?(?:sh|python[\d.]*|perl|ruby|node|php|xargs|parallel|at|tee|source|eval|while)\b",
    )
});
/// Quoted texts up to their ends, as JSON has them.
static SINGLE: Pattern = Pattern::new(|| pattern(r#"^(?:[^'"\\]|\\.)*"#));
static DOUBLE: Pattern = Pattern::new(|| pattern(r#"^(?:[^"\\]|\\\\(?:\\.|[^"\\])?|\\[^"\\])*"#));
/// A file that a command writes.
static FILE: Pattern = Pattern::new(|| pattern(r#"(?:>>?|\btee\s+(?:-a\s+)?)\s*['"\\]*([^\s'"\\;|&<>]+)"#));

/// Whether a quoted text is for people. `rest` begins with it; a printed one is not if it goes to a program, or to a file that is spoken of again.
fn is_message(line: &str, rest: &str, mark: Option<char>, looks: &mut usize, is_piped: impl FnOnce() -> bool) -> bool {
    // The words right in front of it decide, and a line can be long.
    let mut from = line.len().saturating_sub(64);
    while !line.is_char_boundary(from) {
        from += 1;
    }
    let Some(found) = MESSAGE.captures(&line[from..]) else { return false };
    if found.get(1).is_none() {
        return true;
    }
    if !looked(looks) {
        return false;
    }
    let text = if mark == Some('\'') { SINGLE.find(rest) } else { DOUBLE.find(rest) };
    let behind = &rest[text.map_or(0, |text| text.end())..];
    let line = &behind[..behind.find("\\n").unwrap_or(behind.len())];
    let line = value(line);
    let is_run = |file: Captures<'_>| match stem(&file[1]) {
        Some(stem) => value(behind).matches(stem).count() > 1,
        None => true,
    };
    !line.contains(['|', '(']) && !FILE.captures(line).is_some_and(is_run) && !is_piped()
}

/// How often in one text it is looked far ahead. A log could be written to make it take forever.
const LOOKS: usize = 100;

fn looked(looks: &mut usize) -> bool {
    let may = *looks > 0;
    *looks = looks.saturating_sub(1);
    may
}

/// What belongs to the value whose text begins here.
fn value(rest: &str) -> &str {
    static VALUE: Pattern = Pattern::new(|| pattern(r#"^(?:[^"\\]|\\.)*"#));
    VALUE.find(rest).map_or("", |found| found.as_str())
}

/// What of a file's name stands wherever it is spoken of; `None` if it is no file.
fn stem(file: &str) -> Option<&str> {
    if file.starts_with("/dev/") || file.contains(['(', '`', '*', '?']) {
        return None;
    }
    let name = match file.rfind('$') {
        Some(at) => &file[at..],
        None => file.rsplit('/').next().unwrap_or_default(),
    };
    let name = name.trim_matches(|c: char| !c.is_alphanumeric());
    (!name.is_empty()).then_some(name)
}

/// Whether a shell runs something that stands in a text in double quotes. A text that `cat` reads from a here-document is looked at there.
fn substitutes(text: &str) -> bool {
    let text = text.replace("$(cat <<", "").replace("\\\\`", "").replace("\\\\$", "");
    ["$(", "`"].iter().any(|run| text.contains(run))
}

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
fn not_run(out: &str, place: &Place, rest: &str, is_said: bool, looks: &mut usize) -> usize {
    static SPOKEN: Pattern = Pattern::new(|| pattern(r#"\$\(\s*cat\s+<<(-?)\s*(['"\\]*)([A-Za-z_]\w*)['"\\]*\s*$"#));
    static WRITES: Pattern = Pattern::new(|| {
        pattern(
            r#"(?:\bcat\b[^|;&()`<]*|\btee\s+(?:-a\s+)?[^\s|;&()`<>]+\s*(?:>\s*/dev/null\s*)?)<<(-?)\s*(['"\\]*)([A-Za-z_]\w*)[^|(`]*$"#,
        )
    });
    if place.quote.is_some() && !is_said {
        return 0;
    }
    let line = &out[place.line_from..];
    let other = if place.quote.is_some() { 0 } else { comment(rest) };
    // Of two documents the first is another's; in quotes or a comment there is none.
    let is_one = |line: &str| {
        let before = line.split("<<").next().unwrap_or_default();
        let is_even = |mark| before.matches(mark).count() % 2 == 0;
        line.matches("<<").count() == 1 && is_even("'") && is_even("\\\"") && !before.contains(" #")
    };
    let found = match is_said {
        _ if !line.contains("<<") => None,
        true => SPOKEN.captures(line),
        false if is_one(line) => WRITES.captures(line),
        false => None,
    };
    let Some(found) = found.filter(|_| looked(looks)) else { return other };
    let Some(end) = document_end(value(rest), &found[3], !found[1].is_empty()) else { return other };
    // Unless its end is quoted, the shell runs what stands in `$(…)` and backquotes.
    if found[2].is_empty() && ["$(", "`"].iter().any(|run| rest[..end].contains(run)) {
        return other;
    }
    if is_said {
        return end;
    }
    let mut files = 0;
    for file in FILE.captures_iter(line).filter(|file| &file[1] != "/dev/null") {
        files += 1;
        let Some(stem) = stem(&file[1]) else { return other };
        let is_spoken_of = out[place.value_from..place.line_from].contains(stem)
            || line.matches(stem).count() > 1
            || value(&rest[end..]).contains(stem);
        if is_spoken_of {
            return other;
        }
    }
    if files > 0 { end } else { other }
}

/// Where the line begins that ends a here-document. Of one that begins with `<<-`, tabs may stand in front of it.
fn document_end(rest: &str, mark: &str, is_indented: bool) -> Option<usize> {
    rest.match_indices("\\n").map(|(at, _)| at).find(|at| {
        let line = &rest[at + 2..];
        (if is_indented { line.trim_start_matches("\\t") } else { line }).starts_with(mark)
    })
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
            (r#"{"cli_cmd":["bash","-lc","rm -rf /x"]}"#, "bash -lc rm -rf /x"),
            (r#"{"command":"cmd","args":["/c", "del x"]}"#, "cmd /c del x"),
            (r#"{"cmd":"cd /x\nrm -rf /\r\n"}"#, "cd /x ; rm -rf / ;"),
            (r#"{"cmd":"if x; then\n\trm -rf /\nfi"}"#, "then ;  rm -rf / ; fi"),
            (r#"{"cmd":"rm \\\n  -rf /"}"#, "rm   -rf /"),
            (r#"{"cmd":"r\\\nm -rf /"}"#, "rm -rf /"),
            (r#"{"cmd":"psql -c 'drop\ntable x'\nls"}"#, "drop table x' ; ls"),
            (r#"{"cmd":"psql -c \"drop\ntable x\"\nls"}"#, "drop table x ; ls"),
            (r#"{"cmd":"cat <<'E' > x.sh\nrm -rf /\nE\nsh ./x.sh"}"#, "; rm -rf / ; E"),
            (r#"{"cmd":"bash <<'E'\nrm -rf /\nE\n"}"#, "; rm -rf / ; E"),
            (r##"{"cmd":"# it's\nrm -rf /\n"}"##, "; rm -rf / ;"),
            (r#"{"cmd":"bash -c \"$(cat <<'E'\nrm -rf /\nE\n)\"\nls"}"#, " rm -rf / E )"),
            (r#"{"cmd":"git commit -m \"$(cat <<E\n$(rm -rf /)\nE\n)\"\nls"}"#, "$(rm -rf /)"),
            (r#"{"cmd":"cat <<E > notes.md\n`rm -rf /`\nE\nls"}"#, "rm -rf /"),
            (r#"{"cmd":"$'\\x72\\155' -rf /"}"#, "rm -rf /"),
            (r#"{"cmd":"sudo 'rm' '-rf' /"}"#, "sudo rm -rf /"),
            (r#"{"cmd":"rm \\-rf \\/"}"#, "rm -rf /"),
            (r#"{"cmd":"r$@m -rf /; wh$()oami"}"#, "rm -rf /; whoami"),
            (r#"{"cmd":"bash -c {echo,cm0=}|{base64,-d}|{bash,-i}"}"#, "bash -c echo cm0=|base64 -d|bash -i"),
            (r#"{"cmd":"x=rm; $x -rf /"}"#, "; rm -rf /"),
            (r#"{"cmd":"a=r;b=m;${a}$b -rf /"}"#, "rm -rf /"),
            (r#"{"cmd":"t='rm -rf'\n$t /"}"#, "; rm -rf /"),
            (r#"{"cmd":"cat ~/.ss*/id_*"}"#, "cat ~/.ssh/id_rsa"),
            (r#"{"cmd":"/bin/c?t /etc/pass?d"}"#, "/bin/cat /etc/passwd"),
            (r#"{"cmd":"powershell -nop -e cgBtACAAeAA="}"#, "rm x {"),
        ] {
            let text = command_text(arguments);
            let is_kept = text.ends_with(arguments) || arguments.contains("\\n");
            assert!(text.contains(read) && is_kept, "{arguments} became {text}");
        }
        // What looks like text for people or for a file, and is run.
        let remove = regex::Regex::new(r"\brm -rf /").expect("the pattern is well formed");
        for run in [
            r#"{"cmd":"echo 'set -e\nrm -rf /' | bash"}"#,
            r#"{"cmd":"echo 'set -e\nrm -rf /' 2>&1 \\\n | bash"}"#,
            r#"{"cmd":"(\necho 'set -e\nrm -rf /'\n) | bash"}"#,
            r#"{"cmd":"eval $(echo 'set -e\nrm -rf /')"}"#,
            r#"{"cmd":"echo 'set -e\nrm -rf /' > x.sh\nsh x.sh"}"#,
            r#"{"cmd":"bash -cm 'set -e\nrm -rf /'"}"#,
            r#"{"cmd":"git commit -m \"x\n$(\nrm -rf /\n)\""}"#,
            r#"{"cmd":"git commit -m \"$(bash <(cat <<'E'\nrm -rf /\nE\n))\""}"#,
            r#"{"cmd":"true \\'; x='echo '\nrm -rf / #'"}"#,
            r#"{"cmd":"cat <<-E > notes.md\nx\n\tE\nrm -rf /\nE\n"}"#,
            r#"{"cmd":"cat <<A > notes.md; bash <<B\nx\nA\nrm -rf /\nB\n"}"#,
            r#"{"cmd":"cat <<E > a.sh && bash a.sh\nrm -rf /\nE\n"}"#,
            r#"{"cmd":"F=/x/a\ncat <<E > $F\nrm -rf /\nE\nbash ${F}"}"#,
            r#"{"cmd":"cat <<E > >(bash)\nrm -rf /\nE\n"}"#,
            r#"{"cmd":"eval $(cat <<'E' 2>/dev/null\nrm -rf /\nE\n)"}"#,
            r#"{"cmd":"echo 'cat <<E > x'\nrm -rf /\nE"}"#,
            r#"{"cmd":"ls # cat <<E > x\nrm -rf /\nE"}"#,
            r#"{"cmd":"cat <<< E > x\nrm -rf /\nE"}"#,
            r#"{"commands":["cat <<E > n.md\nx","rm -rf /\nE"]}"#,
        ] {
            let text = command_text(run);
            assert!(remove.is_match(&text), "{run} became {text}");
        }
        for same in [
            "",
            "{}",
            r#"{"cmd":"ls -l"}"#,
            r#"{"cmd":"x=1; ls $y src/*.rs **/c*"}"#,
            r#"{"tags":["a","b"]}"#,
            r#"{"path":"C:/x"}"#,
        ] {
            assert_eq!(command_text(same), same);
        }
        let written = command_text(r#"{"cmd":"cat <<EOF > notes.md\nrm -rf /\nEOF\nls ü\n"}"#);
        assert!(!written.contains("; rm -rf /") && written.contains("; ls ü"), "{written}");
        for spoken in [
            r#"{"cmd":"git commit -m \"$(cat <<'EOF'\nNo more\nrm -rf / \"at all\"\n\nEOF\n)\"\nls"}"#,
            r#"{"cmd":"git add -A && git commit -am 'Two lines\nrm -rf / is gone'\nls"}"#,
            r##"{"cmd":"cd x\n# never rm -rf / here, it's wrong\nls"}"##,
            r#"{"cmd":"git commit -m \"Say \\\"no\\\" to \\`rm\\`:\nrm -rf / is gone\"\nls"}"#,
            r#"{"cmd":"echo 'Notes:\nrm -rf / is bad' >> notes.md\nls"}"#,
            r#"{"cmd":"sudo tee /etc/motd > /dev/null <<'EOF'\nno rm -rf / here\nEOF\nls"}"#,
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
