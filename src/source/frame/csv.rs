//! Rows of a CSV export: lines, but a field in quotes may hold line ends (RFC 4180). A head names the columns.

use super::Records;
use std::borrow::Cow;

/// Columns that make a first line the head of a table.
const COLUMNS: usize = 4;
/// As many are enough where the names are in quotes, or begin as those of collectors do (`@timestamp`, `_raw`).
const MARKED_COLUMNS: usize = 2;
const MAX_HEAD: usize = 4096;

/// The names of a table's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    row: String,
    names: Vec<String>,
}

impl Head {
    /// The head that a row is; `None` if it is none.
    pub fn of(row: &str) -> Option<Self> {
        let row = row.trim_start_matches('\u{feff}').trim_ascii_end();
        let names = fields(row, MAX_HEAD).filter(|_| is_head(row.as_bytes()))?;
        Some(Self { row: row.to_owned(), names: names.into_iter().map(Cow::into_owned).collect() })
    }

    /// As it is written.
    pub fn row(&self) -> &str {
        &self.row
    }

    /// A row as the JSON object that it may have been made of: without empty fields, JSON as JSON, everything else but truth
    /// values as text. `None` if it has not as many fields as the head.
    pub fn object(&self, row: &str) -> Option<String> {
        let fields = fields(row, self.names.len() + 1).filter(|fields| fields.len() == self.names.len())?;
        let members = self.names.iter().zip(&fields).filter(|(_, field)| !field.is_empty());
        let members =
            members.map(|(name, field)| format!("{}:{}", serde_json::Value::from(name.as_str()), json(field)));
        Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }
}

/// A field as a value.
fn json(field: &str) -> Cow<'_, str> {
    let is_nested = || {
        field.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<&serde_json::value::RawValue>(field).is_ok()
    };
    match field {
        "true" | "True" | "TRUE" => Cow::Borrowed("true"),
        "false" | "False" | "FALSE" => Cow::Borrowed("false"),
        _ if is_nested() => Cow::Borrowed(field.trim()),
        _ => Cow::Owned(serde_json::Value::from(field).to_string()),
    }
}

/// The fields of a row, so many at most. `None`: a quote is open.
pub fn fields(row: &str, most: usize) -> Option<Vec<Cow<'_, str>>> {
    let (mut fields, mut rest) = (Vec::new(), row);
    loop {
        let mut field = Cow::Borrowed("");
        while let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = quoted.split_once('"')?;
            field += part;
            rest = after;
            // A quote inside is doubled.
            if rest.starts_with('"') {
                field += "\"";
            }
        }
        let end = rest.find(',').unwrap_or(rest.len());
        field += &rest[..end];
        fields.push(field);
        match rest.get(end + 1..) {
            Some(after) if fields.len() < most => rest = after,
            _ => return Some(fields),
        }
    }
}

/// Whether a first line is nothing but names of columns.
pub(super) fn is_head(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let is_marked = |name: &[u8]| matches!(name.first(), Some(b'"' | b'@' | b'_'));
    let is_name = |name: &[u8]| {
        let quoted = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        let bare = quoted.unwrap_or(name);
        let bare = bare.strip_prefix(b"@").unwrap_or(bare);
        bare.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && bare.iter().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'_' | b'.' | b'-')
                    || quoted.is_some() && matches!(b, b' ' | b'{' | b'}')
            })
    };
    let mut columns = line.split(|b| *b == b',');
    let least = if columns.clone().any(is_marked) { MARKED_COLUMNS } else { COLUMNS };
    line.len() < MAX_HEAD && columns.clone().count() >= least && columns.all(is_name)
}

/// The whole rows at the start of `bytes`, and where they end.
pub(super) fn rows(bytes: &[u8]) -> Option<(usize, Records)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(end) = row_end(bytes, at) {
        found.push((at, end));
        at = end;
    }
    (at > 0).then_some((at, Some(found)))
}

/// Where the row ends that starts at `start`; `None`: its end is still to come.
fn row_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let stop = at + memchr::memchr2(b'"', b'\n', bytes.get(at..)?)?;
        if bytes[stop] == b'\n' {
            return Some(stop + 1);
        }
        at = stop + 1;
        // Elsewhere than at the start of a field it is a character like others.
        if stop > start && bytes[stop - 1] != b',' {
            continue;
        }
        loop {
            at += memchr::memchr(b'"', &bytes[at..])? + 1;
            match bytes.get(at)? {
                b'"' => at += 1,
                b',' | b'\r' | b'\n' => break,
                // No quote ends a field like this: the row is broken, and what follows it must not be taken for a part of it.
                _ => return memchr::memchr(b'\n', &bytes[start..]).map(|found| start + found + 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        for head in [
            "id,type,source,status",
            "\u{feff}a,b,c,d\r\n",
            r#""_time","_raw""#,
            "@timestamp,@message",
            r#""Log Time","content{}.text""#,
        ] {
            assert!(Head::of(head).is_some(), "{head}");
        }
        for line in [
            "a,b,c",
            "hello, world, and, others",
            r#""quoted""#,
            "2026-01-01,a,b,c",
            r#"{"a":1,"b":2,"c":3,"d":4}"#,
            "",
        ] {
            assert_eq!(Head::of(line), None, "{line}");
        }
    }

    #[test]
    fn a_row_is_an_object() {
        let head = Head::of("a,b,c,d").expect("a head");
        let object = |row: &str| head.object(row);
        assert_eq!(object(r#"x,"1, ""2""",TRUE,"#).as_deref(), Some(r#"{"a":"x","b":"1, \"2\"","c":true}"#));
        assert_eq!(object(r#"7,"{""k"": [1]}",{,"#).as_deref(), Some(r#"{"a":"7","b":{"k": [1]},"c":"{"}"#));
        for row in ["x,y,z", "1,2,3,4,5", r#"1,2,3,"4"#] {
            assert_eq!(object(row), None, "{row}");
        }
    }
}
