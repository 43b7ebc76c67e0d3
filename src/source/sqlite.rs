//! A SQLite database as a stream of JSON lines, one a row: `{"table":"cursorDiskKV","key":"…","value":…}`.
//!
//! Meant for the databases in which agents keep their conversations: Cursor's `state.vscdb` (tables `cursorDiskKV` and `ItemTable`),
//! Goose's `sessions.db` (`messages`) and opencode's `opencode.db` (`part`). Nothing else is read. A value that is a JSON
//! object or array stands in the line as it is, any other as a string. One row is held at a time. The file is opened read-only and as if nothing else could change it: no lock, no journal and no
//! write-ahead log is touched, so what an application that still runs has not yet moved into the file is not seen.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

/// What every SQLite database starts with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The tables that are read, in this order.
const TABLES: [Table; 4] = [
    Table {
        name: "cursorDiskKV",
        key: "key",
        beside: &[],
        value: "value",
        needs: &[("cursorDiskKV", &["key", "value"])],
    },
    Table { name: "ItemTable", key: "key", beside: &[], value: "value", needs: &[("ItemTable", &["key", "value"])] },
    Table {
        name: "messages",
        key: "session_id",
        beside: &[
            ("role", "role"),
            ("created_timestamp", "created_timestamp"),
            ("metadata_json", "metadata_json"),
            (
                "working_dir",
                "(SELECT CASE WHEN octet_length(s.working_dir) <= 4096 THEN s.working_dir END \
                 FROM sessions AS s WHERE s.id = messages.session_id)",
            ),
        ],
        value: "content_json",
        needs: &[
            ("messages", &["session_id", "role", "created_timestamp", "metadata_json", "content_json"]),
            ("sessions", &["id", "working_dir"]),
        ],
    },
    Table {
        name: "part",
        key: "session_id",
        beside: &[
            ("id", "id"),
            ("message_id", "message_id"),
            (
                "message",
                "(SELECT CASE WHEN octet_length(m.data) <= 16384 THEN m.data END \
                 FROM message AS m WHERE m.id = part.message_id)",
            ),
        ],
        value: "data",
        needs: &[("part", &["id", "session_id", "message_id", "data"]), ("message", &["id", "data"])],
    },
];
/// Largest value that is handed on; the framer takes no longer record.
const MAX_VALUE: i64 = super::frame::MAX_RECORD as i64 - 4096;

/// A table whose rows are read. Other programs have tables of such names, so the columns tell.
struct Table {
    name: &'static str,
    /// The column that comes first in a line, always as a string.
    key: &'static str,
    /// What comes next: its name, and where it is from. What many rows say again is short, or the lines of a small file would be
    /// without end.
    beside: &'static [(&'static str, &'static str)],
    /// The column that comes last, and may be long.
    value: &'static str,
    /// Tables that must be there, with columns. Others than this one are looked into by the first of them.
    needs: &'static [(&'static str, &'static [&'static str])],
}

/// Whether the first bytes are those of a SQLite database.
pub fn is_sqlite(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Opens a database.
///
/// # Errors
/// The file cannot be opened, is damaged or no database, or has none of the tables.
pub fn open(path: &Path) -> io::Result<Rows> {
    let mut location = url::Url::from_file_path(std::path::absolute(path)?)
        .map_err(|()| io::Error::new(io::ErrorKind::InvalidInput, "no path of a file"))?;
    location.set_query(Some("mode=ro&immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(location.as_str(), flags).map_err(damaged)?;
    // The schema is the file's, and so not to be trusted: no function of it with side effects, no corrupt page followed.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;").map_err(damaged)?;
    let mut tables = Vec::new();
    for table in &TABLES {
        let mut found = true;
        for (name, columns) in table.needs {
            found = found && has_table(&connection, name, columns, *name != table.name).map_err(damaged)?;
        }
        tables.extend(found.then_some(table));
    }
    if tables.is_empty() {
        let names = TABLES.each_ref().map(|table| table.name).join(", ");
        let message =
            format!("a SQLite database with none of the tables that are read ({names}), or without their columns");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    tables.reverse();
    Ok(Rows { connection, tables, next: Some(i64::MIN), line: Vec::new(), read: 0 })
}

/// Whether there is a table of this name with these columns, in which a row is found by the first of them.
fn has_table(connection: &Connection, name: &str, columns: &[&str], by_key: bool) -> rusqlite::Result<bool> {
    // A view or a virtual table of that name would run what the file says.
    // A column named after the row's number would hide it.
    let real = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 AND sql NOT LIKE 'create virtual%' \
                AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) AS c WHERE lower(c.name) = 'rowid')";
    let mut found = connection.query_row(real, [name], |_| Ok(())).optional()?.is_some();
    for (at, column) in columns.iter().enumerate() {
        let there = "SELECT pk FROM pragma_table_xinfo(?1) AS c WHERE c.name = ?2 COLLATE NOCASE";
        let place: Option<i64> = connection.query_row(there, [name, column], |row| row.get(0)).optional()?;
        // Without an index each row of the one table would mean a walk through the other.
        let is_fit = place.is_some_and(|place| !by_key || at > 0 || place == 1);
        found = found && is_fit;
    }
    Ok(found)
}

/// The rows of a database as JSON lines.
pub struct Rows {
    connection: Connection,
    /// Tables still to be read; the last one is being read.
    tables: Vec<&'static Table>,
    /// The lowest number that its next row can have; `None`: there is none.
    next: Option<i64>,
    line: Vec<u8>,
    /// Bytes of the line that were handed out.
    read: usize,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.line.len() {
            if !self.next_line()? {
                return Ok(0);
            }
        }
        let count = (&self.line[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl Rows {
    /// Makes the line of the next row; says whether there was one.
    fn next_line(&mut self) -> io::Result<bool> {
        while let Some(&table) = self.tables.last() {
            // Row by row by number: the order in which they were written, and no statement stays open.
            let Table { name, key, value, beside, .. } = table;
            let beside: String = beside.iter().map(|(_, from)| format!(", {from}")).collect();
            let query = format!(
                "SELECT rowid, CASE WHEN octet_length({value}) <= {MAX_VALUE} THEN {value} END, octet_length({value}), \
                 {key}{beside} FROM {name} WHERE rowid >= ?1 ORDER BY rowid LIMIT 1"
            );
            let mut statement = self.connection.prepare_cached(&query).map_err(damaged)?;
            let mut rows = statement.query([self.next]).map_err(damaged)?;
            if let Some(row) = rows.next().map_err(damaged)? {
                self.next = row.get::<_, i64>(0).map_err(damaged)?.checked_add(1);
                self.line = line(table, row).map_err(damaged)?.into_bytes();
                self.read = 0;
                return Ok(true);
            }
            drop(rows);
            drop(statement);
            self.tables.pop();
            self.next = Some(i64::MIN);
        }
        Ok(false)
    }
}

fn line(table: &Table, row: &Row<'_>) -> rusqlite::Result<String> {
    let value = text(row.get_ref(1)?);
    let length: Option<i64> = row.get(2)?;
    let key = text(row.get_ref(3)?);
    let mut line = String::with_capacity(value.as_ref().map_or(0, |value| value.len()) + 64);
    let _ = write!(line, r#"{{"table":"{}","{}":"#, table.name, table.key);
    push_string(&mut line, key.as_deref().unwrap_or_default());
    for (at, (name, _)) in table.beside.iter().enumerate() {
        push_member(&mut line, name, text(row.get_ref(4 + at)?));
    }
    push_member(&mut line, table.value, value);
    if let Some(length) = length.filter(|length| *length > MAX_VALUE) {
        let _ = write!(line, r#","omitted_bytes":{length}"#);
    }
    line.push_str("}\n");
    Ok(line)
}

fn text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

fn push_member(line: &mut String, name: &str, value: Option<Cow<'_, str>>) {
    let _ = write!(line, r#","{name}":"#);
    match value {
        Some(value) => push_value(line, &value),
        None => line.push_str("null"),
    }
}

/// JSON objects and arrays as they are, made one line; anything else as a string.
fn push_value(line: &mut String, value: &str) {
    let json = value.trim_ascii();
    if json.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(json).is_ok() {
        // Strings hold no raw line ends, so those that there are stand between values.
        line.extend(json.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
    } else {
        push_string(line, value);
    }
}

fn push_string(line: &mut String, text: &str) {
    line.push_str(&serde_json::Value::from(text).to_string());
}

fn damaged(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen) => io::ErrorKind::NotFound,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, format!("SQLite database cannot be read, it may be damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder with a database made by these statements.
    fn database(sql: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        // A name that means something in a URI.
        let path = folder.path().join("state #1 50%?.vscdb");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        (folder, path)
    }

    fn lines(path: &Path) -> Vec<String> {
        let mut text = String::new();
        open(path).unwrap().read_to_string(&mut text).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    const SCHEMA: &str = "CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
        CREATE TABLE cursorDiskKV (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);";

    #[test]
    fn rows_become_lines() {
        let (_folder, path) = database(&format!(
            "{SCHEMA}
            INSERT INTO ItemTable (rowid, key, value) VALUES (-5, 'first', 1.5), (9223372036854775807, 'last', '');
            INSERT INTO ItemTable (rowid, key, value) VALUES (1, 'a', 'text \"quoted\"'), (2, 'n', NULL), (3, 'i', 7);
            INSERT INTO cursorDiskKV VALUES ('bubbleId:c:b', '{{\"type\":1,\n  \"text\":\"hi\"}}');
            INSERT INTO cursorDiskKV VALUES ('cut', '{{\"type\":'), ('bytes', X'5B312CFF5D'), ('list', X'5B315D');
            CREATE TABLE other (key TEXT, value BLOB); INSERT INTO other VALUES ('x', 'y');"
        ));
        assert_eq!(
            lines(&path),
            [
                r#"{"table":"cursorDiskKV","key":"bubbleId:c:b","value":{"type":1,   "text":"hi"}}"#,
                r#"{"table":"cursorDiskKV","key":"cut","value":"{\"type\":"}"#,
                "{\"table\":\"cursorDiskKV\",\"key\":\"bytes\",\"value\":\"[1,\u{fffd}]\"}",
                r#"{"table":"cursorDiskKV","key":"list","value":[1]}"#,
                r#"{"table":"ItemTable","key":"first","value":"1.5"}"#,
                r#"{"table":"ItemTable","key":"a","value":"text \"quoted\""}"#,
                r#"{"table":"ItemTable","key":"n","value":null}"#,
                r#"{"table":"ItemTable","key":"i","value":"7"}"#,
                r#"{"table":"ItemTable","key":"last","value":""}"#,
            ]
        );
        let head = std::fs::read(&path).unwrap();
        assert!(is_sqlite(&head) && !is_sqlite(b"SQLite format"));
    }

    #[test]
    fn conversations_of_other_agents_are_read_too() {
        let (_folder, path) = database(
            r#"CREATE TABLE sessions (id TEXT PRIMARY KEY, working_dir TEXT NOT NULL, session_type TEXT);
            CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL,
                content_json TEXT NOT NULL, created_timestamp INTEGER NOT NULL, metadata_json TEXT);
            INSERT INTO sessions VALUES ('20261112_1', '/w', 'user');
            INSERT INTO messages VALUES (7, '20261112_1', 'user', '[{"type":"text"}]', 1794474001, NULL),
                (8, 'gone', 'assistant', '[', 1794474002, '{}');"#,
        );
        assert_eq!(
            lines(&path),
            [
                r#"{"table":"messages","session_id":"20261112_1","role":"user","created_timestamp":"1794474001","metadata_json":null,"working_dir":"/w","content_json":[{"type":"text"}]}"#,
                r#"{"table":"messages","session_id":"gone","role":"assistant","created_timestamp":"1794474002","metadata_json":{},"working_dir":null,"content_json":"["}"#,
            ]
        );
        let (_folder, path) = database(
            r#"CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, data TEXT NOT NULL);
            CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INTEGER, data TEXT NOT NULL);
            INSERT INTO message VALUES ('msg_1', 'ses_1', '{"role":"user"}');
            INSERT INTO part VALUES ('prt_1', 'msg_1', 'ses_1', 1, '{"type":"text"}');"#,
        );
        assert_eq!(
            lines(&path),
            [
                r#"{"table":"part","session_id":"ses_1","id":"prt_1","message_id":"msg_1","message":{"role":"user"},"data":{"type":"text"}}"#
            ]
        );
    }

    #[test]
    fn the_file_is_not_touched() {
        let (folder, path) = database(SCHEMA);
        let before = std::fs::read(&path).unwrap();
        assert!(lines(&path).is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no journal beside it");
    }

    #[test]
    fn values_over_the_limit_are_left_out_and_counted() {
        let length = MAX_VALUE + 1;
        let (_folder, path) = database(&format!(
            "{SCHEMA} INSERT INTO cursorDiskKV VALUES ('long', zeroblob({length})), ('next', '{{}}');"
        ));
        let lines = lines(&path);
        let expected = format!(r#"{{"table":"cursorDiskKV","key":"long","value":null,"omitted_bytes":{length}}}"#);
        assert_eq!(lines, [expected.as_str(), r#"{"table":"cursorDiskKV","key":"next","value":{}}"#]);
    }

    #[test]
    fn what_is_no_such_database_says_so() {
        let error = |path: &Path| open(path).err().map(|e| (e.kind(), e.to_string())).unwrap();
        let (folder, path) = database(
            "CREATE TABLE other (a); CREATE VIEW cursorDiskKV AS SELECT 1 AS key, 2 AS value;
            CREATE TABLE ItemTable (RowID INT, key TEXT, value BLOB);",
        );
        let (kind, message) = error(&path);
        assert_eq!(kind, io::ErrorKind::InvalidData);
        assert!(message.contains("none of the tables"), "{message}");
        // Tables of these names that are other programs'.
        let (_folder, path) = database(
            "CREATE TABLE messages (session_id TEXT, role TEXT, content TEXT); CREATE TABLE sessions (id TEXT PRIMARY KEY, working_dir);
            CREATE TABLE part (id TEXT, session_id TEXT, message_id TEXT, data TEXT); CREATE VIEW message AS SELECT 1 AS id, 2 AS data;",
        );
        assert!(error(&path).1.contains("without their columns"));
        let (_folder, path) = database(
            "CREATE TABLE messages (session_id, role, created_timestamp, metadata_json, content_json);
            CREATE TABLE sessions (id, working_dir);",
        );
        assert!(open(&path).is_err(), "a session cannot be found");
        let text = folder.path().join("text");
        std::fs::write(&text, "not a database at all, but longer than a header would be".repeat(20)).unwrap();
        assert!(error(&text).1.contains("damaged"));
        assert_eq!(error(&folder.path().join("absent")).0, io::ErrorKind::NotFound);
    }

    #[test]
    fn damage_further_in_ends_the_stream_with_an_error() {
        let (_folder, path) = database(&format!(
            "{SCHEMA} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO cursorDiskKV SELECT 'k' || i, '{{\"text\":\"' || hex(zeroblob(200)) || '\"}}' FROM n;"
        ));
        assert_eq!(lines(&path).len(), 2000);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..].fill(0xAB);
        std::fs::write(&path, bytes).unwrap();
        let mut rows = open(&path).unwrap();
        let mut read = Vec::new();
        let error = rows.read_to_end(&mut read).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(!read.is_empty());
        // Cut off within the first page: not even the tables can be found.
        std::fs::write(&path, &std::fs::read(&path).unwrap()[..60]).unwrap();
        assert!(open(&path).is_err());
    }
}
