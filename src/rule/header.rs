//! The head of a rule file: TOML behind `-- `, with Sigma's field names.
//!
//! The block of comment lines at the top of the file, up to the first line that is none. All problems are found at
//! once, each with its line in the file.

use super::needs::{self, Need};
use crate::alert::{Level, taxonomy};
use crate::query::parse_duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// How far a rule has proved itself, in Sigma's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    #[default]
    Experimental,
    Test,
    Stable,
    Deprecated,
}

impl Status {
    /// Every status, least proven first.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("experimental", Self::Experimental),
        ("test", Self::Test),
        ("stable", Self::Stable),
        ("deprecated", Self::Deprecated),
    ];

    /// The status's name as rules write it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(name, _)| name)
    }
}

/// What a rule says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub id: String,
    pub title: String,
    pub level: Level,
    pub status: Status,
    pub description: String,
    pub tags: Vec<String>,
    pub falsepositives: Vec<String>,
    pub author: Option<String>,
    pub references: Vec<String>,
    pub date: Option<String>,
    /// Microseconds that the rule must see before the run's range.
    pub window: i64,
    /// Values of the query's `$name` parameters unless the user sets others.
    pub params: Table,
    /// What a log must carry for the rule to see anything; `None`: the rule does not say.
    pub needs: Option<Vec<Need>>,
    /// What it makes use of where the log has it.
    pub helps: Vec<Need>,
    /// Microseconds of history before the range without which the rule stays quiet.
    pub history: i64,
}

/// A problem and its 1-based line.
pub(super) type Fault = (usize, String);

/// Reads the header of a rule's text. With faults there is still a header unless it is no TOML, so that the rest of the rule can be
/// checked; what is missing stays empty. A header that was made of a Sigma rule may have no tags, and tags of any namespace.
pub(super) fn read(text: &str, sigma: bool) -> (Option<Header>, Vec<Fault>) {
    let skipped = text.lines().take_while(|line| line.trim().is_empty()).count();
    let block: Vec<&str> = text.lines().skip(skipped).map_while(|line| line.strip_prefix("--")).collect();
    if block.is_empty() {
        return (None, vec![(1, "the header is missing: TOML behind `-- ` at the top of the file".to_owned())]);
    }
    let block: Vec<&str> = block.into_iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let toml = block.join("\n");
    let line = |at: usize| skipped + 1 + toml[..at.min(toml.len())].matches('\n').count();
    let fault = |e: &toml::de::Error| {
        (line(e.span().map_or(0, |s| s.start)), format!("header: {}", e.message().replace('\n', ", ")))
    };
    let (spans, values) = match (DeTable::parse(&toml), toml.parse::<Table>()) {
        (Ok(spans), Ok(values)) => (spans, values),
        (Err(error), _) | (_, Err(error)) => return (None, vec![fault(&error)]),
    };
    let line_of =
        |key: &str| spans.get_ref().iter().find(|(k, _)| k.get_ref() == key).map(|(k, _)| line(k.span().start));
    let mut fields = Fields { values, line_of: &line_of, first: skipped + 1, sigma, faults: Vec::new() };
    let header = fields.header();
    let mut faults = fields.faults;
    faults.extend(unknown_keys(&spans).map(|(at, message)| (line(at), message)));
    faults.sort();
    (Some(header), faults)
}

const KEYS: &[&str] = &[
    "id",
    "title",
    "level",
    "status",
    "description",
    "tags",
    "falsepositives",
    "author",
    "references",
    "date",
    "window",
    "params",
    "needs",
    "helps",
    "history",
];

fn unknown_keys<'a>(spans: &'a Spanned<DeTable<'_>>) -> impl Iterator<Item = (usize, String)> + 'a {
    let unknown = spans.get_ref().iter().filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref()));
    unknown.map(|(key, value): (_, &Spanned<DeValue<'_>>)| {
        let kind = value.get_ref().type_str();
        (key.span().start, format!("unknown header key `{}` ({kind}); known: {}", key.get_ref(), KEYS.join(", ")))
    })
}

/// Takes typed values out of the header and collects what is wrong with them.
struct Fields<'a> {
    values: Table,
    line_of: &'a dyn Fn(&str) -> Option<usize>,
    first: usize,
    sigma: bool,
    faults: Vec<Fault>,
}

impl Fields<'_> {
    fn header(&mut self) -> Header {
        let id = self.required("id");
        let title = self.required("title");
        let level = self.choice("level", Level::parse, "informational, low, medium, high or critical");
        let status = self.choice("status", status, "experimental, test, stable or deprecated");
        // The lines of a long description are indented in the file for its readers.
        let description = self
            .required("description")
            .map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned());
        let tags = self.texts("tags");
        if self.sigma {
            // They were looked at where they stand, in the YAML.
        } else if !self.values.contains_key("tags") || tags.as_ref().is_some_and(Vec::is_empty) {
            self.fault("tags", "`tags` is missing or empty: name what the rule detects in a taxonomy".to_owned());
        }
        let checked = if self.sigma { None } else { tags.as_ref() };
        for problem in checked.into_iter().flatten().filter_map(|tag| taxonomy::check(tag).err()) {
            self.fault("tags", problem);
        }
        let falsepositives = self.texts("falsepositives");
        let references = self.texts("references");
        let author = self.text("author");
        let date = match self.values.get("date") {
            Some(Value::Datetime(date)) => Some(date.to_string()),
            _ => self.text("date"),
        };
        let window = self.duration("window");
        let history = self.duration("history");
        let needs = self.needs("needs");
        let helps = self.needs("helps");
        let params = self.params();
        Header {
            id: id.unwrap_or_default(),
            title: title.unwrap_or_default(),
            level: level.unwrap_or(Level::Informational),
            status: status.unwrap_or_default(),
            description: description.unwrap_or_default(),
            tags: tags.unwrap_or_default(),
            falsepositives: falsepositives.unwrap_or_default(),
            author,
            references: references.unwrap_or_default(),
            date,
            window: window.unwrap_or(0),
            params,
            needs,
            helps: helps.unwrap_or_default(),
            history: history.unwrap_or(0),
        }
    }

    fn fault(&mut self, key: &str, message: String) {
        self.faults.push(((self.line_of)(key).unwrap_or(self.first), message));
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.values.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                let message = format!("`{key}` must be a text, not {}", other.type_str());
                self.fault(key, message);
                None
            }
        }
    }

    fn required(&mut self, key: &str) -> Option<String> {
        if !self.values.contains_key(key) {
            self.fault(key, format!("`{key}` is missing from the header"));
            return None;
        }
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.fault(key, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    fn choice<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>, choices: &str) -> Option<T> {
        let text = self.required(key)?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(key, format!("`{key} = \"{text}\"`: expected {choices}"));
        }
        value
    }

    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let texts = self.values.get(key)?.clone().try_into().ok();
        if texts.is_none() {
            self.fault(key, format!("`{key}` must be a list of texts"));
        }
        texts
    }

    fn duration(&mut self, key: &str) -> Option<i64> {
        let text = self.text(key)?;
        let micros = parse_duration(&text);
        if micros.is_none() {
            self.fault(key, format!("`{key} = \"{text}\"` is no duration: write 90s, 10m, 24h or 7d"));
        }
        micros
    }

    fn needs(&mut self, key: &str) -> Option<Vec<Need>> {
        let texts = self.texts(key)?;
        let mut read = Vec::with_capacity(texts.len());
        for text in &texts {
            match needs::read(text) {
                Ok(need) => read.push(need),
                Err(problem) => self.fault(key, format!("`{key}`: {problem}")),
            }
        }
        Some(read)
    }

    fn params(&mut self) -> Table {
        match self.values.get("params").cloned() {
            None => Table::new(),
            Some(Value::Table(params)) => {
                for (name, _) in params.iter().filter(|(_, value)| super::params::scalar(value).is_none()) {
                    self.fault(
                        "params",
                        format!(
                            "parameter `{name}` must be a text, a number, a boolean or a list of texts or integers"
                        ),
                    );
                }
                params
            }
            Some(_) => {
                self.fault("params", "`params` must be a table: { name = value, … }".to_owned());
                Table::new()
            }
        }
    }
}

fn status(text: &str) -> Option<Status> {
    Status::ALL.iter().find(|(name, _)| *name == text).map(|(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
-- id = "x"
-- title = "X"
-- level = "high"
-- status = "stable"
-- description = """
-- Two
-- lines."""
-- tags = ["owasp.mcp10",
--   "attack.T1567"]
-- date = 2026-02-03
-- window = "10m"
-- params = { min_bytes = 256, hosts = ["a", "b"] }
-- needs = ["arguments|results", "approvals"]
-- helps = ["prompts"]
-- history = "7d"
SELECT 1"#;

    #[test]
    fn reads_every_field() {
        let (header, faults) = read(GOOD, false);
        assert_eq!(faults, []);
        let header = header.expect("a header");
        assert_eq!((header.level, header.status, header.window), (Level::High, Status::Stable, 600_000_000));
        assert_eq!(header.description, "Two\nlines.");
        assert_eq!(header.tags, ["owasp.mcp10", "attack.T1567"]);
        assert_eq!(header.date.as_deref(), Some("2026-02-03"));
        assert_eq!(header.params["min_bytes"].as_integer(), Some(256));
        let needs: Vec<String> = header.needs.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(
            (needs, header.history),
            (vec!["arguments|results".to_owned(), "approvals".to_owned()], 604_800_000_000)
        );
    }

    #[test]
    fn reports_every_problem_with_its_line() {
        let text = "-- id = 'x'\n-- level = 'severe'\n-- severity = 3\n-- status = 'stable'\n-- tags = ['owasp.mcp99']\n\
             -- window = 'soon'\nSELECT 1";
        let (header, faults) = read(text, false);
        assert!(header.is_some_and(|header| header.id == "x" && header.title.is_empty()));
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 1, 2, 3, 5, 6], "{faults:?}");
        let (_, faults) = read("-- id = \"x\"\n-- title = \nSELECT 1", false);
        assert_eq!((faults.len(), faults[0].0), (1, 2), "{faults:?}");
        assert_eq!(read("SELECT 1", false).1.len(), 1);
    }
}
