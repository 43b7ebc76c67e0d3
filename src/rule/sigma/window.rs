//! Several calls in a span of time, as one query.
//!
//! A window ends at each matching call and reaches the time span back from it. Windows in which the condition holds
//! and which overlap are one finding, or a burst of a hundred calls would be ninety findings. A call whose group is not
//! known belongs to none, and one with several values for it, in a list, to the group of each.

use super::field::{Shape, Values, resolve};
use super::sql::{joined, quoted};
use rsigma_parser::CorrelationType;
use std::fmt::Write as _;

const ENTITY: [&str; 5] = ["session_id", "agent", "user_id", "server", "tool"];

/// One of the correlated rules.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) condition: &'a str,
    /// The group's keys, then the field that is counted.
    pub(super) columns: Vec<Values>,
}

fn symbol_of(name: &str) -> &'static str {
    match name {
        "lt" => "<",
        "lte" => "<=",
        "gt" => ">",
        "gte" => ">=",
        "eq" => "=",
        _ => "<>",
    }
}

/// What the SQL is written from.
pub(super) struct Query<'a> {
    pub(super) parts: &'a [Part<'a>],
    pub(super) keys: &'a [String],
    pub(super) seconds: u64,
    pub(super) kind: CorrelationType,
    pub(super) thresholds: Vec<&'static str>,
    pub(super) extended: Option<String>,
}

impl Query<'_> {
    pub(super) fn sql(&self) -> String {
        let temporal = matches!(self.kind, CorrelationType::Temporal | CorrelationType::TemporalOrdered);
        let mut sql = String::from("WITH ");
        self.matched(&mut sql, temporal);
        match self.kind {
            CorrelationType::TemporalOrdered => self.ordered(&mut sql),
            CorrelationType::Temporal => self.together(&mut sql),
            _ => self.counted(&mut sql),
        }
        self.findings(&mut sql);
        sql
    }

    /// Names of the columns that hold the group's keys; one constant if there are none.
    fn names(&self) -> Vec<String> {
        (0..self.keys.len().max(1)).map(|at| format!("key_{at}")).collect()
    }

    fn has_value(&self) -> bool {
        self.kind == CorrelationType::ValueCount
    }

    /// The calls that any of the rules matches. With `parts` each of them once for each rule.
    fn matched(&self, sql: &mut String, parts: bool) {
        let select = |part: &Part<'_>, at: usize, condition: &str| {
            let mut names: Vec<String> =
                ["call_id", "time", "session_id", "agent", "user_id", "server", "tool"].map(str::to_owned).to_vec();
            let mut columns = names.clone();
            if self.keys.is_empty() {
                names.push("key_0".to_owned());
                columns.push("1 AS key_0".to_owned());
            }
            let named = self.names().into_iter().take(self.keys.len()).chain(["value".to_owned()]);
            let mut lists = Vec::new();
            for (name, values) in named.zip(&part.columns) {
                columns.push(format!("{} AS {name}", values.sql));
                lists.extend(values.is_list.then(|| name.clone()));
                names.push(name);
            }
            if parts {
                names.push("part".to_owned());
                columns.push(format!("{at} AS part"));
            }
            if self.kind == CorrelationType::TemporalOrdered {
                names.extend(["source_file", "source_line"].map(str::to_owned));
                columns.extend(["source_file", "source_line"].map(str::to_owned));
            }
            let calls = format!(
                "    SELECT {}\n    FROM calls\n    WHERE time IS NOT NULL AND {condition}",
                columns.join(", ")
            );
            // One list after the other: several at once would go side by side.
            lists.iter().fold(calls, |rows, list| {
                let column = |name: &String| match name == list {
                    true => format!("unnest({name}) AS {name}"),
                    false => name.clone(),
                };
                let columns: Vec<String> = names.iter().map(column).collect();
                format!("    SELECT {}\n    FROM (\n{rows}\n    ) AS rows_{list}", columns.join(", "))
            })
        };
        let same_columns = self.parts.iter().all(|part| part.columns == self.parts[0].columns);
        let selects: Vec<String> = if parts || !same_columns {
            self.parts.iter().enumerate().map(|(at, part)| select(part, at, part.condition)).collect()
        } else {
            let conditions: Vec<String> = self.parts.iter().map(|part| part.condition.to_owned()).collect();
            vec![select(&self.parts[0], 0, &joined(&conditions, "OR"))]
        };
        let union = if parts { "\n    UNION ALL\n" } else { "\n    UNION\n" };
        let mut known: Vec<String> =
            self.names().iter().take(self.keys.len()).map(|name| format!("{name} IS NOT NULL")).collect();
        if self.has_value() {
            known.push("value IS NOT NULL".to_owned());
        }
        let known = if known.is_empty() { String::new() } else { format!(" WHERE {}", known.join(" AND ")) };
        let _ = write!(
            sql,
            "each_match AS (\n{}\n),\nmatched AS (SELECT * FROM each_match{known}),\n",
            selects.join(union)
        );
    }

    fn group(&self) -> String {
        self.names().join(", ")
    }

    /// The window that ends at a row.
    fn window(&self) -> String {
        format!(
            "PARTITION BY {} ORDER BY time RANGE BETWEEN INTERVAL '{} seconds' PRECEDING AND CURRENT ROW",
            self.group(),
            self.seconds
        )
    }

    fn counted(&self, sql: &mut String) {
        let count = if self.has_value() { "count(DISTINCT value)" } else { "count(*)" };
        let _ = write!(
            sql,
            "counted AS (SELECT *, {count} OVER ({}) AS n FROM matched),\n{}",
            self.window(),
            self.hits(&format!("time - INTERVAL '{} seconds'", self.seconds), "counted", &self.threshold("n"))
        );
    }

    fn together(&self, sql: &mut String) {
        let seen = (0..self.parts.len()).map(|at| {
            format!(",\n        sum(CASE WHEN part = {at} THEN 1 ELSE 0 END) OVER ({}) AS seen_{at}", self.window())
        });
        let seen: String = seen.collect();
        let condition = match (&self.extended, self.thresholds.is_empty()) {
            (Some(extended), _) => extended.clone(),
            (None, true) => (0..self.parts.len()).map(|at| format!("seen_{at} > 0")).collect::<Vec<_>>().join(" AND "),
            (None, false) => {
                let each: Vec<String> =
                    (0..self.parts.len()).map(|at| format!("CASE WHEN seen_{at} > 0 THEN 1 ELSE 0 END")).collect();
                self.threshold(&format!("({})", each.join(" + ")))
            }
        };
        let _ = write!(
            sql,
            "seen AS (\n    SELECT *{seen}\n    FROM matched\n),\n{}",
            self.hits(&format!("time - INTERVAL '{} seconds'", self.seconds), "seen", &condition)
        );
    }

    /// For each call of a rule the latest start of a chain that leads to it: of calls of the rules before, each after the one before.
    fn ordered(&self, sql: &mut String) {
        sql.push_str("chain_0 AS (SELECT *, CASE WHEN part = 0 THEN time END AS start_0 FROM matched),\n");
        for at in 1..self.parts.len() {
            let before = at - 1;
            // Of calls with one time the log's order decides. One call does not follow itself: its later parts come first.
            let _ = write!(
                sql,
                "chain_{at} AS (\n    SELECT *, CASE WHEN part = {at} THEN max(start_{before}) OVER (\n        PARTITION BY {} \
                 ORDER BY time, source_file, source_line, call_id, part DESC\n        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) \
                 END AS start_{at}\n    FROM chain_{before}\n),\n",
                self.group()
            );
        }
        let last = self.parts.len() - 1;
        let start = format!("start_{last}");
        let condition = format!("part = {last} AND {start} >= time - INTERVAL '{} seconds'", self.seconds);
        sql.push_str(&self.hits(&start, &format!("chain_{last}"), &condition));
    }

    fn threshold(&self, value: &str) -> String {
        let each: Vec<String> =
            self.thresholds.iter().map(|name| format!("{value} {} ${name}", symbol_of(name))).collect();
        each.join(" AND ")
    }

    /// The windows in which the condition holds.
    fn hits(&self, opened: &str, from: &str, condition: &str) -> String {
        let group = self.group();
        format!(
            "hits AS (SELECT DISTINCT {group}, {opened} AS opened, time AS closed FROM {from} WHERE {condition}),\n"
        )
    }

    /// Windows that overlap are one finding; it has all calls of them.
    fn findings(&self, sql: &mut String) {
        let group = self.group();
        let names = self.names();
        let mut columns: Vec<String> = ENTITY
            .iter()
            .map(|name| format!("CASE WHEN min(m.{name}) = max(m.{name}) THEN min(m.{name}) END AS {name}"))
            .collect();
        for (key, name) in self.keys.iter().zip(&names) {
            let is_given = resolve(key)
                .is_ok_and(|field| matches!(field.shape, Shape::Text) && ENTITY.contains(&field.column.as_str()));
            if !is_given {
                columns.push(format!("e.{name} AS {}", quoted(key)));
            }
        }
        columns.extend(
            [
                "min(m.time) AS first_seen",
                "max(m.time) AS last_seen",
                "array_agg(DISTINCT m.call_id) AS call_ids",
                "count(DISTINCT m.call_id) AS event_count",
            ]
            .map(str::to_owned),
        );
        if self.has_value() {
            columns.push("count(DISTINCT m.value) AS value_count".to_owned());
        }
        let same: Vec<String> = names.iter().map(|name| format!("m.{name} = e.{name}")).collect();
        let by: Vec<String> = names.iter().map(|name| format!("e.{name}")).collect();
        let _ = write!(
            sql,
            "marked AS (\n    SELECT *, CASE WHEN opened <= max(closed) OVER (\n        PARTITION BY {group} ORDER BY closed \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS fresh\n    FROM hits\n),\n\
             numbered AS (\n    SELECT *, sum(fresh) OVER (\n        PARTITION BY {group} ORDER BY closed \
             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode\n    FROM marked\n),\n\
             episodes AS (\n    SELECT {group}, episode, min(opened) AS opened, max(closed) AS closed\n    \
             FROM numbered\n    GROUP BY {group}, episode\n)\n\
             SELECT\n    {}\nFROM episodes AS e\nJOIN matched AS m ON {} AND m.time >= e.opened AND m.time <= e.closed\n\
             GROUP BY {}, e.episode\n",
            columns.join(",\n    "),
            same.join(" AND "),
            by.join(", ")
        );
    }
}
