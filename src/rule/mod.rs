//! Detections as SQL files: what a rule is, how rules are loaded, checked, tested and run.
//!
//! One detection is `queries/<group>/<id>.sql` (a TOML header behind `-- `, then one query), or `<id>.yml` in Sigma, and its cases in
//! `<id>.test.toml`. A rule sees the run's range plus its window and nothing that changes from day to day. What it
//! finds is a [`RawFinding`]; ids, suppression and enrichment are the business of `alert`.

mod case;
mod check;
pub mod coverage;
mod header;
mod load;
pub mod needs;
mod params;
mod rows;
mod run;
mod sigma;
mod template;

pub use case::{Case, CaseResult};
pub use check::check;
pub use header::{Header, Status};
pub use params::Params;
pub use run::{Ran, RawFinding, RuleError, RuleFault, measured, run, run_all};
pub use template::{Template, template};

use std::path::{Path, PathBuf};
use tokio::task::JoinSet;

/// One detection.
#[derive(Clone, Debug)]
pub struct Rule {
    pub header: Header,
    /// The whole file, or header and query that a Sigma file became: SQL takes the header for a comment, and lines in its errors are lines of the file.
    pub sql: String,
    /// Where it was read; built-in rules are below `queries/`.
    pub path: PathBuf,
    /// SHA-256 of `sql`, hex.
    pub version_hash: String,
    pub cases: Vec<Case>,
    /// It was written in Sigma; `sql` is what it became.
    pub sigma: bool,
    /// It comes with the program, and has been checked.
    pub builtin: bool,
}

/// All rules of a run, sorted by id, each id once.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

impl RuleSet {
    /// Reads the rules below some folders, and the built-in ones.
    ///
    /// # Errors Every problem of every file: a rule that does not load must stop the run, or it would look as if it
    /// had found nothing.
    pub fn load(dirs: &[PathBuf], builtin: bool) -> Result<Self, Vec<Problem>> {
        let (rules, problems) = load::read(dirs, builtin);
        if problems.is_empty() { Ok(Self { rules }) } else { Err(problems) }
    }

    /// All rules by id.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this id.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.binary_search_by(|rule| rule.header.id.as_str().cmp(id)).ok().map(|at| &self.rules[at])
    }

    /// The rules for which the predicate holds.
    #[must_use]
    pub fn filtered(mut self, keep: impl FnMut(&Rule) -> bool) -> Self {
        self.rules.retain(keep);
        self
    }

    /// Runs all cases of all rules, as many rules at once as the runtime has threads; by rule and line.
    pub async fn test(&self) -> Vec<CaseResult> {
        let mut running = JoinSet::new();
        for rule in self.rules.clone() {
            running.spawn(async move { rule.test().await });
        }
        let mut results = running.join_all().await.concat();
        results.sort_by(|a, b| (&a.rule_id, a.line).cmp(&(&b.rule_id, b.line)));
        results
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    /// Runs the rule's cases, each alone in an empty lake of its own.
    pub async fn test(&self) -> Vec<CaseResult> {
        case::test(self).await
    }

    /// The last line of the query, from 1, that has this word, because a result's columns are named at its end or
    /// not at all; 0 if none has.
    fn line_of(&self, word: &str) -> usize {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let has = |line: &str| {
            line.match_indices(word).any(|(at, _)| {
                let whole_before = word.starts_with('$') || !line[..at].ends_with(is_word);
                whole_before && !line[at + word.len()..].starts_with(is_word)
            })
        };
        if self.sigma {
            return 0;
        }
        let lines = self.sql.lines().enumerate().skip(self.query_line().saturating_sub(1));
        lines.filter(|(_, line)| has(line)).last().map_or(0, |(at, _)| at + 1)
    }

    /// The line of the first name that a message quotes and the query has; else the line on which the query begins.
    fn line_about(&self, message: &str) -> usize {
        let is_name = |word: &&str| word.contains(char::is_alphabetic) && !word.contains(char::is_whitespace);
        let quoted = message.split(['\'', '`', '"']).skip(1).step_by(2);
        let named = message.split("named ").skip(1).filter_map(|rest| rest.split([' ', '.', ',']).next());
        let lines =
            quoted.chain(named).filter(is_name).map(|name| self.line_of(name.rsplit('.').next().unwrap_or(name)));
        lines.into_iter().find(|line| *line > 0).unwrap_or_else(|| self.query_line())
    }

    /// The line of a key of the header; 0 if it is not there.
    fn line_of_key(&self, key: &str) -> usize {
        let is_key = |line: &str| {
            let rest = line.strip_prefix("--").map(str::trim_start).and_then(|line| line.strip_prefix(key));
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        self.sql.lines().position(is_key).filter(|_| !self.sigma).map_or(0, |at| at + 1)
    }

    /// The line on which the query begins.
    fn query_line(&self) -> usize {
        let is_query = |line: &str| !line.trim().is_empty() && !line.starts_with("--");
        self.sql.lines().position(is_query).filter(|_| !self.sigma).map_or(0, |at| at + 1)
    }

    /// Reads a rule's text again, without cases: as a lake keeps it.
    ///
    /// # Errors
    /// The text is no rule; it was one to another version of this program.
    pub fn from_text(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        load::from_text(path, text)
    }

    /// The file of the rule's cases: `ID.test.toml` beside it.
    pub fn cases_path(&self) -> PathBuf {
        match self.sigma {
            true => self.path.with_file_name(format!("{}.test.toml", self.header.id)),
            false => self.path.with_extension("test.toml"),
        }
    }

    /// The folder that the rule stands in, which groups rules.
    pub fn group(&self) -> &str {
        self.path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Something wrong in a rule's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub path: PathBuf,
    /// From 1; 0 where no line is to blame.
    pub line: usize,
    pub message: String,
}

impl Problem {
    fn new(path: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.path.display(), self.message),
        }
    }
}

#[cfg(test)]
mod tests;
