//! `[[mapping]]` tables: as written, then checked, all problems with their lines.

use super::Check;
use crate::source::format::FORMATS;
use crate::source::mapping::{
    Column, Condition, DurationUnit, EpochUnit, Mapping, Pair, Part, Place, Reading, Roots, Shape, Target, TimeFormat,
    Zone, regex,
};
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;

/// One table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    id: Option<Spanned<String>>,
    title: Option<String>,
    first: bool,
    exists: Vec<Spanned<String>>,
    equals: BTreeMap<String, Spanned<OneOrMore>>,
    regex: Option<Spanned<String>>,
    text: Option<Spanned<String>>,
    ignore: Vec<Spanned<String>>,
    side: Option<Spanned<String>>,
    pair: Option<Spanned<WrittenPair>>,
    zone: Option<Spanned<String>>,
    columns: BTreeMap<String, Spanned<WrittenColumn>>,
    constants: BTreeMap<String, Spanned<Scalar>>,
    extra: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPair {
    id: String,
    #[serde(default)]
    within: Vec<String>,
    #[serde(default)]
    unique: bool,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a place such as \"/tool/name\", a list of places, or a table of `from`, `format`, `unit`, `zone`, `regex`, `values`"
)]
enum WrittenColumn {
    Place(String),
    Places(Vec<String>),
    Table(ColumnTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnTable {
    from: Places,
    format: Option<String>,
    unit: Option<String>,
    zone: Option<String>,
    regex: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Places {
    One(String),
    More(Vec<String>),
}

/// A value of a log, as text: `200`, `true` and `"ok"` alike.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, a whole number or a boolean")]
enum Scalar {
    Bool(bool),
    Int(i64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, a whole number, a boolean, or a list of them")]
enum OneOrMore {
    One(Scalar),
    More(Vec<Scalar>),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Where complaints about one table go: the mapping's name, and the table's place for what is missing.
struct Table {
    name: String,
    span: Range<usize>,
}

impl Check<'_> {
    /// Reads all tables. Those with one id are kinds of records of one format.
    pub(super) fn mappings(&mut self, written: Vec<Spanned<Written>>) -> Vec<Mapping> {
        let mut mappings: Vec<Mapping> = Vec::new();
        for entry in written {
            let span = entry.span();
            let mut written = entry.into_inner();
            let id = written.id.take();
            let table = Table { name: id.as_ref().map_or_else(|| "?".to_owned(), |id| id.get_ref().clone()), span };
            if id.is_none() {
                self.complain(&table, None, "", "the mapping lacks `id`");
            }
            let id = self.value(id, |id| mapping_id(id)).unwrap_or_default();
            let (title, first) = (written.title.take(), written.first);
            let ignore = std::mem::take(&mut written.ignore);
            let ignore: Vec<Regex> = ignore
                .into_iter()
                .filter_map(|written| self.part(&table, "ignore", written, |text: String| regex(&text)))
                .collect();
            let shape = self.shape(&table, written);
            let known = mappings.iter().position(|mapping| mapping.id == id).unwrap_or_else(|| {
                let title = "a log of your own, by its mapping".to_owned();
                mappings.push(Mapping { id: id.clone(), title, first: false, shapes: Vec::new(), ignore: Vec::new() });
                mappings.len() - 1
            });
            let mapping = &mut mappings[known];
            mapping.title = title.unwrap_or(std::mem::take(&mut mapping.title));
            mapping.first |= first;
            mapping.ignore.extend(ignore);
            mapping.shapes.push(shape);
        }
        mappings
    }

    fn shape(&mut self, table: &Table, written: Written) -> Shape {
        let Written { exists, equals, regex: pattern, text, side, pair, zone, columns, constants, extra, .. } = written;
        let had_regex = pattern.is_some();
        let regex_span = pattern.as_ref().map(Spanned::span);
        let pattern = pattern.and_then(|pattern| self.part(table, "regex", pattern, |text: String| regex(&text)));
        if exists.is_empty() && equals.is_empty() && !had_regex {
            let message = "nothing says how its records are recognised; give `exists`, `equals` or `regex`";
            self.complain(table, None, "", message);
        }
        if text.is_some() && !had_regex {
            self.complain(table, None, "text", "it names the string that `regex` looks at, and there is no `regex`");
        }
        let broken = had_regex && pattern.is_none();
        let roots = Roots { json: !had_regex || text.is_some() || broken, regex: pattern.as_ref() };
        let text = text.and_then(|text| {
            self.part(table, "text", text, |text: String| Place::parse(&text, Roots { json: true, regex: None }))
        });
        // A regex that is none has no groups to look a name up in; what else is wrong with the table is told all the same.
        let parse = |place: &str| match broken && !place.starts_with('/') {
            true => Place::parse(&format!("/{place}"), roots),
            false => Place::parse(place, roots),
        };
        let mut conditions: Vec<Condition> = exists
            .into_iter()
            .filter_map(|place| self.part(table, "exists", place, |place: String| parse(&place)))
            .map(|place| Condition { place, equals: None })
            .collect();
        for (place, wanted) in equals {
            let key = format!("equals.\"{place}\"");
            let condition = self.part(table, &key, wanted, |wanted| {
                let wanted = match &wanted {
                    OneOrMore::One(one) => vec![one.text()],
                    OneOrMore::More(more) => more.iter().map(Scalar::text).collect(),
                };
                Ok(Condition { place: parse(&place)?, equals: Some(wanted) })
            });
            conditions.extend(condition);
        }
        let zone = zone.and_then(|zone| self.part(table, "zone", zone, |zone: String| Zone::parse(&zone)));
        let part = self.side(table, side, pair, &parse);
        let mut read = Vec::new();
        for (name, written) in columns {
            let key = format!("columns.{name}");
            let column = self.part(table, &key, written, |written| column(&name, written, zone, &parse));
            read.extend(column);
        }
        if let Some(pattern) = &pattern {
            self.groups(table, regex_span, pattern, zone, (&conditions, &part, &extra), &mut read);
        }
        let constants: Vec<(Target, String)> = constants
            .into_iter()
            .filter_map(|(name, value)| {
                self.part(table, &format!("constants.{name}"), value, |value| {
                    let target = Target::named(&name)?;
                    target.check(&value.text())?;
                    Ok((target, value.text()))
                })
            })
            .collect();
        let extra = extra
            .into_iter()
            .filter_map(|place| self.part(table, "extra", place, |place: String| parse(&place)))
            .collect();
        let names = ["tool", "method", "mcp_resource_uri", "gen_ai_prompt_name"];
        let named = read.iter().map(|c| c.target).chain(constants.iter().map(|(t, _)| *t));
        if !matches!(part, Part::Response(_)) && !broken && !named.into_iter().any(|t| names.contains(&t.name())) {
            self.complain(table, None, "columns", "nothing fills `tool` or `method`, so its records would be no calls");
        }
        Shape { regex: pattern, text, conditions, part, columns: read, constants, extra }
    }

    fn side(
        &mut self,
        table: &Table,
        side: Option<Spanned<String>>,
        pair: Option<Spanned<WrittenPair>>,
        parse: &dyn Fn(&str) -> Result<Place, String>,
    ) -> Part {
        let side_span = side.as_ref().map(Spanned::span);
        let side = side.map_or_else(|| "whole".to_owned(), Spanned::into_inner);
        let pair_span = pair.as_ref().map(Spanned::span);
        let pair = pair.and_then(|pair| {
            self.part(table, "pair", pair, |pair| {
                let within = pair.within.iter().map(|place| parse(place)).collect::<Result<_, _>>()?;
                Ok(Pair { id: parse(&pair.id)?, within, unique: pair.unique })
            })
        });
        match (side.as_str(), pair) {
            ("whole", None) => Part::Whole,
            ("whole", Some(_)) => {
                self.complain(
                    table,
                    pair_span,
                    "pair",
                    "a whole call has no other half; set `side` to request or response",
                );
                Part::Whole
            }
            ("request", Some(pair)) => Part::Request(pair),
            ("response", Some(pair)) => Part::Response(pair),
            ("request" | "response", None) => {
                if pair_span.is_none() {
                    let message = "half a call needs `pair`, such as { id = \"/request_id\" }, to find its other half";
                    self.complain(table, side_span, "side", message);
                }
                Part::Whole
            }
            _ => {
                let message = format!("`{side}` is no side; there are whole, request, response");
                self.complain(table, side_span, "side", &message);
                Part::Whole
            }
        }
    }

    /// A named group fills the column of its name, unless `columns` uses it. One that nothing uses is a slip of the pen.
    fn groups(
        &mut self,
        table: &Table,
        span: Option<Range<usize>>,
        pattern: &Regex,
        zone: Option<Zone>,
        used: (&[Condition], &Part, &[Spanned<String>]),
        columns: &mut Vec<Column>,
    ) {
        let (conditions, part, extra) = used;
        let parse = |place: &str| Place::parse(place, Roots { json: false, regex: Some(pattern) });
        let pair: Vec<&Place> = match part {
            Part::Whole => Vec::new(),
            Part::Request(pair) | Part::Response(pair) => std::iter::once(&pair.id).chain(&pair.within).collect(),
        };
        for (group, name) in pattern.capture_names().enumerate() {
            let Some(name) = name else { continue };
            if columns.iter().flat_map(|column| &column.places).any(|place| place.group() == Some(group)) {
                continue;
            }
            let elsewhere = conditions.iter().map(|c| &c.place).chain(pair.iter().copied());
            let is_used = elsewhere.into_iter().any(|place| place.group() == Some(group))
                || extra.iter().any(|place| place.get_ref().split('/').next() == Some(name));
            let taken = columns.iter().any(|column| column.target.name() == name);
            match column(name, WrittenColumn::Place(name.to_owned()), zone, &parse) {
                Ok(column) if !taken => columns.push(column),
                _ if is_used => {}
                Ok(_) => self.complain(table, span.clone(), "regex", &format!("nothing uses the group `{name}`")),
                Err(message) => self.complain(table, span.clone(), &format!("regex: group {name}"), &message),
            }
        }
    }

    /// Reads one value of a table; a fault names the mapping and the key.
    fn part<T, V>(
        &mut self,
        table: &Table,
        key: &str,
        written: Spanned<T>,
        read: impl FnOnce(T) -> Result<V, String>,
    ) -> Option<V> {
        let span = written.span();
        match read(written.into_inner()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.complain(table, Some(span), key, &message);
                None
            }
        }
    }

    fn complain(&mut self, table: &Table, span: Option<Range<usize>>, key: &str, message: &str) {
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let message = format!("mapping `{}`: {key}{message}", table.name);
        self.faults.push((Some(span.unwrap_or(table.span.clone())), message));
    }
}

/// An id is what `source_format` holds.
fn mapping_id(id: &str) -> Result<String, String> {
    let plain = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if id.is_empty() || id.len() > 64 || !plain {
        return Err(format!("`{id}` is no id of a mapping; use up to 64 small letters, digits and _"));
    }
    if FORMATS.iter().any(|format| format.id() == id) {
        return Err(format!("`{id}` is a built-in format; give the mapping another id"));
    }
    Ok(id.to_owned())
}

fn column(
    name: &str,
    written: WrittenColumn,
    zone: Option<Zone>,
    parse: &dyn Fn(&str) -> Result<Place, String>,
) -> Result<Column, String> {
    let target = Target::named(name)?;
    let table = match written {
        WrittenColumn::Place(place) => ColumnTable::of(Places::One(place)),
        WrittenColumn::Places(places) => ColumnTable::of(Places::More(places)),
        WrittenColumn::Table(table) => table,
    };
    let places = match &table.from {
        Places::One(place) => vec![parse(place)?],
        Places::More(places) => places.iter().map(|place| parse(place)).collect::<Result<_, _>>()?,
    };
    if places.is_empty() {
        return Err("name at least one place".to_owned());
    }
    let only = |key: &str, given: bool, what: &str| {
        if given { Err(format!("`{key}` is for {what}, and `{name}` is none")) } else { Ok(()) }
    };
    let reading = if target.is_time() {
        let format = table.format.as_deref().unwrap_or("auto");
        if table.unit.is_some() && format != "epoch" {
            return Err("`unit` needs format = \"epoch\"".to_owned());
        }
        let unit = table.unit.as_deref().map_or(Ok(EpochUnit::Auto), EpochUnit::parse)?;
        let zone = table.zone.as_deref().map(Zone::parse).transpose()?.or(zone);
        Reading::Time { format: TimeFormat::parse(format, unit)?, zone }
    } else if let Some(known) = target.duration() {
        only("format", table.format.is_some(), "times")?;
        only("zone", table.zone.is_some(), "times")?;
        let unit = table.unit.as_deref().map(DurationUnit::parse).transpose()?.or(known);
        let missing = || {
            let from = table.from.first();
            format!("a duration needs its unit, as in {name} = {{ from = \"{from}\", unit = \"ms\" }}")
        };
        Reading::Duration(unit.ok_or_else(missing)?)
    } else {
        only("format", table.format.is_some(), "times")?;
        only("zone", table.zone.is_some(), "times")?;
        only("unit", table.unit.is_some(), "times and durations")?;
        Reading::Plain
    };
    if !table.values.is_empty() && (reading != Reading::Plain || target.is_payload()) {
        return Err(format!("`values` is for columns with few values, and `{name}` is none"));
    }
    let values: Vec<(String, String)> = table.values.iter().map(|(from, to)| (from.clone(), to.text())).collect();
    for (_, value) in &values {
        target.check(value)?;
    }
    let pick = table.regex.as_deref().map(regex).transpose()?;
    Ok(Column { target, places, pick, values, reading })
}

impl Places {
    fn first(&self) -> &str {
        match self {
            Self::One(place) => place,
            Self::More(places) => places.first().map(String::as_str).unwrap_or_default(),
        }
    }
}

impl ColumnTable {
    fn of(from: Places) -> Self {
        Self { from, format: None, unit: None, zone: None, regex: None, values: BTreeMap::new() }
    }
}
