//! `calltrail.toml`, validated.
//!
//! [`Config`] is what the rest of the program sees: paths resolved against the file's folder, units read,
//! names checked. All problems of a file are reported at once, each with its line. Whether a rule named here
//! exists is for `rules` to say. The clock is not asked: "24h ago" stays that until a run resolves it.

mod mapping;
mod schema;
mod silence;
mod sinks;
pub mod units;

pub use silence::expiry;
pub use sinks::SinkSetting;

use crate::alert::{Level, Suppression, Wildcard};
use crate::call::Capability;
use crate::lake::StorageOptions;
use crate::sink::Encoding;
use crate::source::mapping::Mapping;
use schema::{Fault, Size, Written};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use units::When;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "calltrail.toml";

/// A lease is renewed three times in its time, which must leave a request its time.
const MIN_LEASE: Duration = Duration::from_secs(3);

/// Everything that a user can set for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// A path, or a URL.
    pub lake: String,
    pub chain: Chain,
    pub ingest: Ingest,
    pub detect: Detect,
    pub model: Model,
    /// By rule id.
    pub rules: BTreeMap<String, RuleSetting>,
    /// Suppressions, then allow-lists.
    pub suppress: Vec<Suppression>,
    /// Log formats of the user's own.
    pub mappings: Vec<Mapping>,
    pub output: Output,
    /// Where alerts are sent.
    pub sinks: Vec<SinkSetting>,
    pub query: Query,
    /// How object stores are reached.
    pub storage: StorageOptions,
    /// Where settings of rules stand, for whoever knows the rules to say what is wrong with them.
    pub places: Places,
}

/// Lines of keys (`rules.ID`, `rules.ID.params.NAME`) in the configuration's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Places {
    /// A message about a key with the place of the key before it.
    pub fn located(&self, key: &str, message: &str) -> String {
        match self.lines.get(key) {
            Some(line) => format!("{}:{line}: {key}: {message}", self.path.display()),
            None => format!("{key}: {message}"),
        }
    }
}

/// How the chain of changes is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// File of the private key that signs each change.
    pub signing_key: Option<PathBuf>,
}

/// What `ingest` reads and keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    /// Files, folders, globs, URLs or `-`, for when the command line names none.
    pub paths: Vec<String>,
    pub keep_secrets: bool,
    /// Bytes of one payload that are stored.
    pub payload_limit: u64,
    /// Idle time after which a derived session ends.
    pub session_gap: Duration,
    /// Bytes that may come out of one compressed input.
    pub decompressed_limit: u64,
    /// Times that the content of a compressed input may be larger than the input.
    pub ratio_limit: u64,
    /// File of the secret that mcp-audit signs its entries with.
    pub mcp_audit_key: Option<PathBuf>,
    pub capabilities: Vec<CapabilityRule>,
}

/// What the user knows about some tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilityRule {
    pub server: Wildcard,
    pub tool: Wildcard,
    pub capabilities: Vec<Capability>,
}

/// What `detect` runs and reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Detect {
    /// Folders of rules beside the built-in ones.
    pub rules: Vec<PathBuf>,
    /// Time that the query of one rule may take.
    pub rule_timeout: Duration,
    /// Milder alerts are kept but not shown.
    pub min_level: Level,
    /// From this level on the exit code tells.
    pub fail_on: Option<Level>,
    pub since: Option<When>,
    pub until: Option<When>,
}

/// The behaviour model as `detect` uses it, and how many alerts it may raise.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub enabled: bool,
    /// `None`: `calltrail-model.json` in the working folder if it is there, else the model that comes with the program.
    pub file: Option<PathBuf>,
    /// False alarms a day, on average.
    pub false_alarms_per_day: Option<f64>,
    /// Share of false alarms among a day's.
    pub false_discovery_rate: Option<f64>,
    /// Share of normal sessions that may be told, whatever the others allow.
    pub false_alarm_rate: f64,
}

/// What the user changes about one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSetting {
    pub enabled: bool,
    pub level: Option<Level>,
    pub params: toml::Table,
}

/// Where alerts are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `None`: as the command line says, else a table on a terminal.
    pub format: Option<Encoding>,
    /// `None`: standard output.
    pub file: Option<PathBuf>,
}

/// Limits of the query engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Bytes.
    pub memory_limit: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lake: "./lake".to_owned(),
            chain: Chain::default(),
            ingest: Ingest {
                paths: Vec::new(),
                keep_secrets: false,
                payload_limit: 64 << 10,
                session_gap: Duration::from_secs(30 * 60),
                decompressed_limit: 1 << 40,
                ratio_limit: 10_000,
                mcp_audit_key: None,
                capabilities: Vec::new(),
            },
            detect: Detect {
                rules: Vec::new(),
                rule_timeout: Duration::from_secs(10 * 60),
                min_level: Level::Informational,
                fail_on: None,
                since: None,
                until: None,
            },
            model: Model {
                enabled: true,
                file: None,
                false_alarms_per_day: Some(1.0),
                false_discovery_rate: None,
                false_alarm_rate: 0.01,
            },
            rules: BTreeMap::new(),
            suppress: Vec::new(),
            mappings: Vec::new(),
            output: Output { format: None, file: None },
            sinks: Vec::new(),
            query: Query { memory_limit: 1 << 30 },
            storage: StorageOptions::default(),
            places: Places::default(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// One line each, as `file:line: what is wrong`.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}

/// One thing wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    /// 1-based; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}

impl Config {
    /// Reads the named file, else [`DEFAULT_FILE`] in the working folder if there is one, else the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path: file.to_owned(), source }),
        }
    }

    /// Reads a file's text; `path` is its name, for messages and for the folder that paths start from.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let (written, faults) = schema::read(text);
        let mut check = Check { folder: path.parent().unwrap_or(Path::new("")), faults, keys: Vec::new() };
        let mut config = check.config(written);
        let line_of = |at: usize| 1 + text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count();
        if check.faults.is_empty() {
            if !check.keys.is_empty() {
                let lines = check.keys.into_iter().map(|(key, at)| (key, line_of(at))).collect();
                config.places = Places { path: path.to_owned(), lines };
            }
            return Ok(config);
        }
        check.faults.sort_by_key(|(span, _)| span.as_ref().map(|span| span.start));
        let problems = check.faults.into_iter().map(|(span, message)| Problem {
            path: path.to_owned(),
            line: span.map(|span| line_of(span.start)),
            message,
        });
        Err(ConfigError::Invalid(problems.collect()))
    }

    /// A commented file with every key.
    pub fn example() -> &'static str {
        include_str!("../../calltrail.example.toml")
    }
}

/// Turns what was written into what is meant, collecting what is wrong.
struct Check<'a> {
    folder: &'a Path,
    faults: Vec<Fault>,
    /// Keys with the bytes at which they stand.
    keys: Vec<(String, usize)>,
}

impl Check<'_> {
    fn config(&mut self, written: Written) -> Config {
        let default = Config::default();
        let Written {
            lake,
            chain,
            ingest,
            detect,
            model,
            rules,
            allow,
            suppress,
            mapping,
            output,
            sinks,
            query,
            storage,
        } = written;
        let level = |text: &str| {
            Level::parse(text)
                .ok_or_else(|| format!("`{text}` is no level; the levels are {}", list(Level::ALL.map(Level::as_str))))
        };
        let size = |size: &Size| match size {
            Size::Bytes(bytes) => Ok(*bytes),
            Size::Text(text) => units::parse_bytes(text),
        };
        let payload_limit = self.value(ingest.payload_limit, size).unwrap_or(default.ingest.payload_limit);
        let memory_limit = self.value(query.memory_limit, |limit| match size(limit)? {
            0 => Err("`memory_limit` is 0; the query engine needs some".to_owned()),
            bytes => Ok(bytes),
        });
        let session_gap = self.value(ingest.session_gap, |text| match units::parse_duration(text)? {
            Duration::ZERO => Err("`session_gap` is 0; every call would be a session of its own".to_owned()),
            gap => Ok(gap),
        });
        let rule_timeout = self.value(detect.rule_timeout, |text| match units::parse_duration(text)? {
            Duration::ZERO => Err("`rule_timeout` is 0; no rule could run".to_owned()),
            limit => Ok(limit),
        });
        let decompressed_limit = self.value(ingest.decompressed_limit, |limit| match size(limit)? {
            0 => Err("`decompressed_limit` is 0; nothing compressed could be read".to_owned()),
            bytes => Ok(bytes),
        });
        let ratio_limit = self.value(ingest.ratio_limit, |ratio| match ratio {
            0 => Err("`ratio_limit` is 0; nothing compressed could be read".to_owned()),
            ratio => Ok(*ratio),
        });
        let suppress = self.silences(suppress, &allow, &rules);
        let model = self.model(model, default.model);
        let rules = rules.into_iter().map(|(id, rule)| {
            let level = self.value(rule.level, |text| level(text));
            let key = format!("rules.{}", id.get_ref());
            let params = rule.params.into_iter().map(|(name, value)| {
                self.keys.push((format!("{key}.params.{}", name.get_ref()), name.span().start));
                (name.into_inner(), value)
            });
            let params = params.collect();
            self.keys.push((key, id.span().start));
            (id.into_inner(), RuleSetting { enabled: rule.enabled.unwrap_or(true), level, params })
        });
        let rules = rules.collect();
        let format = self.value(output.format, |text| {
            Encoding::parse(text).ok_or_else(|| {
                format!("`{text}` is no format; the formats are {}", list(Encoding::ALL.map(Encoding::as_str)))
            })
        });
        Config {
            lake: lake.map_or(default.lake, |lake| self.located(lake.get_ref())),
            chain: Chain { signing_key: chain.signing_key.map(|file| self.located(&file).into()) },
            ingest: Ingest {
                paths: ingest.paths.iter().map(|path| self.located(path.get_ref())).collect(),
                keep_secrets: ingest.keep_secrets,
                payload_limit,
                session_gap: session_gap.unwrap_or(default.ingest.session_gap),
                decompressed_limit: decompressed_limit.unwrap_or(default.ingest.decompressed_limit),
                ratio_limit: ratio_limit.unwrap_or(default.ingest.ratio_limit),
                mcp_audit_key: ingest.mcp_audit_key.map(|file| self.located(&file).into()),
                capabilities: ingest
                    .capabilities
                    .into_iter()
                    .map(|rule| self.capabilities(rule.into_inner()))
                    .collect(),
            },
            detect: Detect {
                rules: detect.rules.iter().map(|path| self.located(path.get_ref()).into()).collect(),
                rule_timeout: rule_timeout.unwrap_or(default.detect.rule_timeout),
                min_level: self.value(detect.min_level, |text| level(text)).unwrap_or(default.detect.min_level),
                fail_on: self.value(detect.fail_on, |text| level(text)),
                since: self.value(detect.since, |moment| When::parse(&moment.text())),
                until: self.value(detect.until, |moment| When::parse(&moment.text())),
            },
            model,
            rules,
            suppress,
            mappings: self.mappings(mapping),
            output: Output { format, file: output.file.map(|file| self.located(&file).into()) },
            sinks: self.sinks(sinks),
            query: Query { memory_limit: memory_limit.unwrap_or(default.query.memory_limit) },
            storage: self.storage(storage),
            places: Places::default(),
        }
    }

    /// Reads one value; a fault is kept with its place.
    fn value<T, V>(&mut self, written: Option<Spanned<T>>, read: impl Fn(&T) -> Result<V, String>) -> Option<V> {
        let written = written?;
        match read(written.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.faults.push((Some(written.span()), message));
                None
            }
        }
    }

    fn model(&mut self, written: schema::Model, default: Model) -> Model {
        let share = |name: &'static str| {
            move |share: &f64| match share {
                share if *share > 0.0 && *share < 1.0 => Ok(*share),
                share => Err(format!("`{name}` is {share}; it is a share between 0 and 1, such as 0.01")),
            }
        };
        let per_day = self.value(written.false_alarms_per_day, |alarms| match alarms {
            alarms if *alarms > 0.0 && alarms.is_finite() => Ok(*alarms),
            alarms => Err(format!(
                "`false_alarms_per_day` is {alarms}; it is a number above 0. `enabled = false` leaves the model out"
            )),
        });
        let discoveries = self.value(written.false_discovery_rate, share("false_discovery_rate"));
        Model {
            enabled: written.enabled.unwrap_or(default.enabled),
            file: written.file.map(|file| self.located(&file).into()),
            // Who sets one limit does not want the other's default as well.
            false_alarms_per_day: per_day.or(default.false_alarms_per_day.filter(|_| discoveries.is_none())),
            false_discovery_rate: discoveries,
            false_alarm_rate: self
                .value(written.false_alarm_rate, share("false_alarm_rate"))
                .unwrap_or(default.false_alarm_rate),
        }
    }

    /// A path as seen from the working folder; URLs and `-` are left alone.
    fn located(&self, path: &str) -> String {
        if path == "-" || path.contains("://") || self.folder.as_os_str().is_empty() {
            return path.to_owned();
        }
        let relative = path.strip_prefix("./").unwrap_or(path);
        self.folder.join(relative).to_string_lossy().into_owned()
    }

    fn storage(&mut self, written: BTreeMap<String, Spanned<schema::Setting>>) -> StorageOptions {
        let mut options = StorageOptions::default();
        for (name, setting) in written {
            let set = if name == "lease" {
                units::parse_duration(&setting.get_ref().text()).and_then(|lease| match lease {
                    lease if lease < MIN_LEASE => Err("`lease` is too short: it takes 3s at least".to_owned()),
                    lease => {
                        options.lease = lease;
                        Ok(())
                    }
                })
            } else {
                options.set(&name, setting.get_ref().text())
            };
            if let Err(message) = set {
                self.faults.push((Some(setting.span()), message));
            }
        }
        options
    }

    fn capabilities(&mut self, rule: schema::Capabilities) -> CapabilityRule {
        let any = || "*".to_owned();
        let known = |text: &String| {
            Capability::parse(text).ok_or_else(|| {
                format!("`{text}` is no capability; there are {}", list(Capability::ALL.iter().map(|(name, _)| *name)))
            })
        };
        CapabilityRule {
            server: Wildcard::new(rule.server.unwrap_or_else(any)),
            tool: Wildcard::new(rule.tool.unwrap_or_else(any)),
            capabilities: rule.capabilities.into_iter().filter_map(|text| self.value(Some(text), known)).collect(),
        }
    }
}

fn list(names: impl IntoIterator<Item = &'static str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
