use super::*;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int32Type;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use std::sync::Arc;

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("\x1b[31m\u{9b}2J\u{202e}\"a\",\nb"), None]))),
        ("number", Arc::new(Int64Array::from(vec![1, 2]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0]).with_timezone("UTC"))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).expect("valid")
}

async fn written(style: Style, batches: Vec<RecordBatch>) -> Vec<u8> {
    let schema = batch().schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    let mut out = Vec::new();
    write(Box::pin(RecordBatchStreamAdapter::new(schema, stream)), style, &mut out).await.expect("writes");
    out
}

async fn text(format: Format, width: Option<u16>) -> String {
    let bytes = written(Style { format, width, full: false }, vec![batch(), batch()]).await;
    String::from_utf8(bytes).expect("text")
}

/// Whoever pipes into `head` wants no error.
#[tokio::test]
async fn a_reader_that_has_gone_away_is_told_apart_from_other_failures() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
        let stream = futures::stream::iter([Ok(batch())]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(batch().schema(), stream));
        let error = write(rows, Style { format, ..Style::default() }, &mut Gone).await.err();
        let is_pipe =
            matches!(&error, Some(QueryError::Write(cause)) if cause.kind() == std::io::ErrorKind::BrokenPipe);
        assert!(is_pipe, "{format:?}: {error:?}");
    }
}

#[tokio::test]
async fn json_and_lines_hold_the_same_values() {
    let lines = text(Format::Jsonl, None).await;
    let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let array: Vec<serde_json::Value> = serde_json::from_str(&text(Format::Json, None).await).expect("JSON");
    assert_eq!(rows, array);
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["text"], "\x1b[31m\u{9b}2J\u{202e}\"a\",\nb");
    assert_eq!(rows[0]["time"], "1970-01-01T00:00:01.500Z");
    assert_eq!(rows[0]["bytes"], "00ff");
    assert_eq!(rows[0]["list"], serde_json::json!([1, null]));
    assert!(rows[1]["text"].is_null());
    let empty = written(Style { format: Format::Json, ..Style::default() }, vec![]).await;
    assert_eq!(empty, b"[]\n");
}

#[tokio::test]
async fn nothing_hidden_reaches_a_terminal() {
    for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
        let text = text(format, Some(100)).await;
        let raw = text.chars().find(|c| *c != '\n' && crate::visible::is_hidden(*c));
        assert_eq!(raw, None, "{format:?}: {text:?}");
    }
}

#[tokio::test]
async fn csv_has_a_header_once_and_nested_values_as_json() {
    let text = text(Format::Csv, None).await;
    assert!(text.starts_with("text,number,time,bytes,list\n"), "{text}");
    assert_eq!(text.matches("text,number").count(), 1);
    assert!(
        text.contains("1970-01-01T00:00:01.500Z") && text.contains("00ff") && text.contains("\"[1,null]\""),
        "{text}"
    );
    let empty = written(Style { format: Format::Csv, ..Style::default() }, vec![]).await;
    assert_eq!(String::from_utf8_lossy(&empty), "text,number,time,bytes,list\n");
}

#[tokio::test]
async fn parquet_reads_back() {
    let bytes = written(Style { format: Format::Parquet, ..Style::default() }, vec![batch(), batch()]).await;
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[tokio::test]
async fn long_cells_are_shortened_unless_asked() {
    let long = "x".repeat(500);
    let array: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
    let batch = RecordBatch::try_from_iter([("text", array)]).expect("valid");
    for (full, shown) in [(false, false), (true, true)] {
        let mut out = Vec::new();
        let stream = futures::stream::iter([Ok(batch.clone())]);
        let style = Style { full, ..Style::default() };
        write(Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream)), style, &mut out).await.expect("writes");
        assert_eq!(String::from_utf8_lossy(&out).contains(&long), shown);
    }
}
