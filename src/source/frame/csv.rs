//! Rows of a CSV export: lines, but a field in quotes may hold line ends (RFC 4180). A head names the columns.

use super::Records;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Columns that make a first line the head of a table.
const COLUMNS: usize = 4;
/// As many are enough where the names are in quotes, or begin as those of collectors do (`@timestamp`, `_raw`), or where the
/// row below holds JSON.
const MARKED_COLUMNS: usize = 2;
const MAX_HEAD: usize = 4096;
/// Objects in objects that are made of a name with dots.
const MAX_DEPTH: usize = 16;

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
        let names = fields(row, MAX_HEAD).filter(|_| columns(row.as_bytes()).is_some())?;
        Some(Self { row: row.to_owned(), names: names.into_iter().map(Cow::into_owned).collect() })
    }

    /// As it is written.
    pub fn row(&self) -> &str {
        &self.row
    }

    /// A row as the JSON object that it may have been made of: without empty fields, JSON as JSON, everything else but truth
    /// values as text. `None` if it has not as many fields as the head.
    pub fn object(&self, row: &str) -> Option<String> {
        self.made_of(row, |name| vec![name])
    }

    /// The same with objects of names like `a.b`, as exports flatten them; `None` if there are none. Splunk flattens arrays, too
    /// (`a{}.b`), which is not undone so.
    pub fn nested(&self, row: &str) -> Option<String> {
        let is_path = |name: &str| name.contains('.') && name.split('.').all(|part| !part.is_empty());
        let has_lists = self.names.iter().any(|name| name.contains("{}"));
        self.names.iter().find(|name| is_path(name)).filter(|_| !has_lists)?;
        self.made_of(row, |name| if is_path(name) { name.splitn(MAX_DEPTH, '.').collect() } else { vec![name] })
    }

    fn made_of<'a>(&'a self, row: &str, path: impl Fn(&'a str) -> Vec<&'a str>) -> Option<String> {
        let fields = fields(row, self.names.len() + 1).filter(|fields| fields.len() == self.names.len())?;
        let mut object = Node::default();
        for (name, field) in self.names.iter().zip(&fields).filter(|(_, field)| !field.is_empty()) {
            object.at(&path(name)).value = Some(json(field));
        }
        let mut members = Vec::new();
        object.members.iter().for_each(|(name, node)| node.write(name, &mut members));
        Some(format!("{{{}}}", members.join(",")))
    }
}

/// A value, or the object of the names behind a dot.
#[derive(Default)]
struct Node<'a> {
    value: Option<Cow<'a, str>>,
    members: BTreeMap<&'a str, Self>,
}

impl<'a> Node<'a> {
    fn at(&mut self, path: &[&'a str]) -> &mut Self {
        let Some((name, rest)) = path.split_first() else { return self };
        self.members.entry(name).or_default().at(rest)
    }

    /// Adds the member with this name. What has a value too keeps the names of its members as they were.
    fn write(&self, name: &str, out: &mut Vec<String>) {
        let mut member = |value: &str| out.push(format!("{}:{value}", serde_json::Value::from(name)));
        match &self.value {
            Some(value) => {
                member(value);
                self.members.iter().for_each(|(inner, node)| node.write(&format!("{name}.{inner}"), out));
            }
            None => {
                let mut members = Vec::new();
                self.members.iter().for_each(|(inner, node)| node.write(inner, &mut members));
                member(&format!("{{{}}}", members.join(",")));
            }
        }
    }
}

/// A field as a value.
fn json(field: &str) -> Cow<'_, str> {
    match field {
        "true" | "True" | "TRUE" => Cow::Borrowed("true"),
        "false" | "False" | "FALSE" => Cow::Borrowed("false"),
        _ if is_nested(field) => Cow::Borrowed(field.trim()),
        _ => Cow::Owned(serde_json::Value::from(field).to_string()),
    }
}

/// Whether a field holds an object or an array.
fn is_nested(field: &str) -> bool {
    field.trim_start().starts_with(['{', '[']) && serde_json::from_str::<&serde_json::value::RawValue>(field).is_ok()
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

/// Whether a table begins: with a line of nothing but names of columns.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', head) else { return false };
    match columns(&head[..end]) {
        Some(count) if count >= COLUMNS => true,
        // Two or three words alone may be anything.
        Some(count) if count >= MARKED_COLUMNS => is_marked(&head[..end]) || holds_json(&head[end + 1..], count),
        _ => false,
    }
}

/// How many columns a line names; `None` if it is anything else.
fn columns(line: &[u8]) -> Option<usize> {
    let line = line.trim_ascii_end();
    let is_name = |name: &[u8]| {
        let quoted = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        let bare = quoted.unwrap_or(name);
        let bare = bare.strip_prefix(b"@").unwrap_or(bare);
        bare.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'$'))
            && bare.iter().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'_' | b'.' | b'-' | b'/' | b'$')
                    || quoted.is_some() && matches!(b, b' ' | b'{' | b'}')
            })
    };
    let columns = line.split(|b| *b == b',');
    (line.len() < MAX_HEAD && columns.clone().all(is_name)).then(|| columns.count())
}

fn is_marked(line: &[u8]) -> bool {
    line.split(|b| *b == b',').any(|name| matches!(name.first(), Some(b'"' | b'@' | b'_')))
}

/// Whether the first row has so many fields, one of them JSON.
fn holds_json(rows: &[u8], columns: usize) -> bool {
    let row = row_end(rows, 0).and_then(|end| std::str::from_utf8(&rows[..end]).ok());
    let fields = row.and_then(|row| fields(row.trim_ascii_end(), columns + 1));
    fields.is_some_and(|fields| fields.len() == columns && fields.iter().any(|field| is_nested(field)))
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
            "id,$set,m._meta.x/y,status",
            "a,b,c,d\r\n",
            r#""_time","_raw""#,
            "@timestamp,@message",
            r#""Log Time","content{}.text""#,
            "timestamp,direction,message\n1,in,\"{\"\"id\"\":1}\"",
            "ts,message\r\n\"1\",\"{\n}\"\r",
        ] {
            assert!(begins(format!("{head}\n").as_bytes()), "{head}");
        }
        assert!(Head::of("\u{feff}a,b").is_some());
        for line in [
            "a,b,c",
            "a,b\n{},1,2",
            "a,b\n1,{",
            "hello, world, and, others",
            r#""quoted""#,
            "2026-01-01,a,b,c",
            r#"{"a":1,"b":2,"c":3,"d":4}"#,
            "",
        ] {
            assert!(!begins(format!("{line}\n").as_bytes()), "{line}");
        }
    }

    #[test]
    fn names_with_dots_are_objects() {
        let head = Head::of("m.id,m.p.name,m.p,x,a..b").expect("a head");
        let nested = |row: &str| head.nested(row);
        assert_eq!(nested("1,n,,y,").as_deref(), Some(r#"{"m":{"id":"1","p":{"name":"n"}},"x":"y"}"#));
        assert_eq!(nested("1,n,v,,").as_deref(), Some(r#"{"m":{"id":"1","p":"v","p.name":"n"}}"#));
        assert_eq!(Head::of("a,b,.c,d.").and_then(|head| head.nested("1,2,3,4")), None);
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
