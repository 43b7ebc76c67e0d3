//! The interactive SQL shell: lines in, results out, until `\q` or end of input.
//!
//! What a line means is in [`Shell`], which knows no terminal and is tested without one; [`run`] puts line editing,
//! history, completion and Ctrl-C around it. No error ends the shell.

use super::output::{self, Format, Style};
use super::{QueryError, Session};
use crate::visible::visible;
use rustyline::completion::Completer;
use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use tokio::runtime::Handle;

const PROMPT: &str = "calltrail> ";
const CONTINUED: &str = "        -> ";

/// Statements kept in the history file.
const MAX_HISTORY: usize = 1000;

const HELP: &str = "\
SQL ends with ;      it may span lines; Ctrl-C drops the lines typed so far, or stops the running query
\\d                   tables and views
\\d NAME              columns of one
\\df                  functions
\\format NAME         table, json, jsonl or csv
\\full                long cells whole, or short again
\\q                   quit (also Ctrl-D)
";

const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "DISTINCT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "UNION ALL",
    "WITH",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "IS NULL",
    "IS NOT NULL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "INTERVAL",
    "OVER",
    "PARTITION BY",
    "FILTER",
    "DESC",
    "ASC",
    "EXPLAIN",
    "DESCRIBE",
    "SHOW TABLES",
    "CAST",
    "EXISTS",
    "UNNEST",
];

/// Runs the shell on this process's terminal. Must not be called from inside an async task.
///
/// # Errors
/// The terminal or the output fails.
pub fn run(
    session: &Session,
    handle: &Handle,
    history: Option<&Path>,
    style: Style,
    out: &mut (dyn Write + Send),
) -> io::Result<()> {
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)
        .map_err(io::Error::other)?
        .completion_type(CompletionType::List)
        .color_mode(ColorMode::Disabled)
        .build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config).map_err(io::Error::other)?;
    editor.set_auto_add_history(false);
    editor.set_helper(Some(Words(handle.block_on(words(session)))));
    if let Some(path) = history.filter(|path| path.exists()) {
        // An unreadable history is no reason not to work.
        let _ = editor.load_history(path);
    }
    let mut shell = Shell::new(session, style);
    loop {
        match editor.readline(if shell.pending.is_empty() { PROMPT } else { CONTINUED }) {
            Ok(line) => {
                let more = handle.block_on(shell.line(&line, tokio::signal::ctrl_c(), out))?;
                if let Some(statement) = shell.finished.take() {
                    let _ = editor.add_history_entry(statement);
                }
                if !more {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => shell.pending.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    if let Some(path) = history {
        let _ = editor.save_history(path);
    }
    Ok(())
}

/// What has been typed, and how results are shown.
struct Shell<'a> {
    session: &'a Session,
    style: Style,
    /// Lines of a statement that has not ended.
    pending: String,
    /// The statement or command that the last line completed, for the history.
    finished: Option<String>,
}

impl<'a> Shell<'a> {
    fn new(session: &'a Session, style: Style) -> Self {
        Self { session, style, pending: String::new(), finished: None }
    }

    /// Takes one line; gives whether the shell goes on. Errors of the query are shown, those of the output returned.
    async fn line(
        &mut self,
        line: &str,
        stop: impl Future<Output = io::Result<()>>,
        out: &mut (dyn Write + Send),
    ) -> io::Result<bool> {
        let command = line.trim();
        if self.pending.is_empty() && (command.is_empty() || command.starts_with('\\')) {
            self.finished = (!command.is_empty()).then(|| command.to_owned());
            return self.command(command, out).await;
        }
        if !self.pending.is_empty() {
            self.pending.push('\n');
        }
        self.pending.push_str(line);
        if !is_complete(&self.pending) {
            return Ok(true);
        }
        let statement = std::mem::take(&mut self.pending);
        self.finished = Some(statement.trim().to_owned());
        tokio::select! {
            result = self.query(&statement, out) => match result {
                Err(QueryError::Write(error)) => return Err(error),
                Err(error) => writeln!(out, "error: {}", shown(&error))?,
                Ok(()) => {}
            },
            // Dropping the query stops it.
            _ = stop => writeln!(out, "stopped")?,
        }
        Ok(true)
    }

    async fn query(&self, statement: &str, out: &mut (dyn Write + Send)) -> Result<(), QueryError> {
        let batches = self.session.sql(statement.trim().trim_end_matches(';')).await?;
        output::write(batches, self.style, out).await?;
        Ok(())
    }

    async fn command(&mut self, command: &str, out: &mut (dyn Write + Send)) -> io::Result<bool> {
        let (name, argument) = command.split_once(char::is_whitespace).map_or((command, ""), |(n, a)| (n, a.trim()));
        match (name, argument) {
            ("", _) => {}
            ("\\q", _) => return Ok(false),
            ("\\?" | "\\h", _) => out.write_all(HELP.as_bytes())?,
            ("\\d" | "\\dt", "") => {
                for (table, schema) in self.session.tables().await {
                    writeln!(out, "{table:<18} {} columns", schema.fields().len())?;
                }
            }
            ("\\d", table) => match self.session.tables().await.into_iter().find(|(name, _)| name == table) {
                Some((_, schema)) => {
                    for field in schema.fields() {
                        writeln!(out, "{:<28} {}", field.name(), field.data_type())?;
                    }
                }
                None => writeln!(out, "error: no table {}; \\d lists them", visible(table))?,
            },
            ("\\df", _) => {
                for function in self.session.functions() {
                    writeln!(out, "{function}")?;
                }
            }
            ("\\full", _) => {
                self.style.full = !self.style.full;
                writeln!(out, "long cells are {}", if self.style.full { "whole" } else { "shortened" })?;
            }
            ("\\format", format) => match Format::parse(format).filter(|f| *f != Format::Parquet) {
                Some(format) => self.style.format = format,
                None => writeln!(out, "error: \\format takes table, json, jsonl or csv")?,
            },
            _ => writeln!(out, "error: no command {}; \\? lists them", visible(name))?,
        }
        out.flush()?;
        Ok(true)
    }
}

/// An error as the terminal may see it: it can quote log text.
fn shown(error: &QueryError) -> String {
    error.to_string().split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Whether a `;` outside quotes and comments ends the text.
fn is_complete(text: &str) -> bool {
    let mut complete = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                complete = false;
                // A doubled quote closes and opens again, which comes to the same.
                if !chars.by_ref().any(|inner| inner == c) {
                    return false;
                }
            }
            '-' if chars.peek() == Some(&'-') => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                let closed = chars.by_ref().any(|c| std::mem::replace(&mut last, c) == '*' && c == '/');
                if !closed {
                    return false;
                }
            }
            ';' => complete = true,
            c if c.is_whitespace() => {}
            _ => complete = false,
        }
    }
    complete
}

/// Everything that can be completed.
async fn words(session: &Session) -> Vec<String> {
    let mut words: Vec<String> = KEYWORDS.iter().map(|word| (*word).to_owned()).collect();
    for (table, schema) in session.tables().await {
        words.extend(schema.fields().iter().map(|field| field.name().clone()));
        words.push(table);
    }
    words.extend(session.functions());
    words.extend(["\\d", "\\df", "\\format", "\\full", "\\q"].map(str::to_owned));
    words.sort();
    words.dedup();
    words
}

/// Completes words.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(completions(&self.0, line, position))
    }
}

/// Where the word under the cursor starts, and what it could become.
fn completions(words: &[String], line: &str, position: usize) -> (usize, Vec<String>) {
    let before = line.get(..position).unwrap_or(line);
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '\\';
    let start =
        before.rfind(|c| !is_word(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let prefix = before[start..].to_lowercase();
    if prefix.is_empty() {
        return (start, Vec::new());
    }
    (start, words.iter().filter(|word| word.to_lowercase().starts_with(&prefix)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::SessionOptions;

    async fn typed(lines: &[&str]) -> String {
        let session = Session::new(Vec::new(), SessionOptions::default()).await.expect("a session");
        let mut shell = Shell::new(&session, Style { format: Format::Jsonl, ..Style::default() });
        let mut out = Vec::new();
        for line in lines {
            if !shell.line(line, std::future::pending(), &mut out).await.expect("writes") {
                break;
            }
        }
        String::from_utf8(out).expect("text")
    }

    #[tokio::test]
    async fn statements_span_lines_and_errors_do_not_end_it() {
        let out = typed(&[
            "SELECT 1",
            "  AS a;",
            "SELECT nope;",
            "\\nope",
            "\\format csv",
            "SELECT ';' AS b;",
            "\\q",
            "SELECT 3;",
        ])
        .await;
        assert!(out.starts_with("{\"a\":1}\nerror: "), "{out}");
        assert!(out.contains("no command"), "{out}");
        assert!(out.ends_with("b\n;\n"), "{out}");
    }

    #[tokio::test]
    async fn ctrl_c_stops_a_query() {
        let session = Session::new(Vec::new(), SessionOptions::default()).await.expect("a session");
        let mut shell = Shell::new(&session, Style::default());
        let mut out = Vec::new();
        let endless = "SELECT count(*) FROM range(1, 100000000000) a, range(1, 100000000000) b;";
        assert!(shell.line(endless, async { Ok(()) }, &mut out).await.expect("writes"));
        assert_eq!(String::from_utf8_lossy(&out), "stopped\n");
    }

    #[test]
    fn a_statement_ends_at_its_semicolon() {
        for text in ["SELECT 1;", "SELECT ';';  ", "SELECT 'it''s'; -- done", "SELECT 1 /* ; */;"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1 /* ;", "SELECT 1; SELECT 2"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn completes_the_word_under_the_cursor() {
        let words: Vec<String> = ["SELECT", "server", "session_id"].map(str::to_owned).to_vec();
        assert_eq!(
            completions(&words, "SELECT se", 9),
            (7, vec!["SELECT".into(), "server".into(), "session_id".into()])
        );
        assert_eq!(completions(&words, "SELECT sess, 1", 11), (7, vec!["session_id".into()]));
        assert_eq!(completions(&words, "x ", 2).1, Vec::<String>::new());
    }
}
