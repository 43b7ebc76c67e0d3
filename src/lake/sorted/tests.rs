use super::*;
use crate::lake::{data_file::GrowingFile, tables};
use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, TimestampMicrosecondType};

/// Writes a file of observables without some columns, as an older version would have.
fn file(table: &TablePath, name: &str, rows: &[(Option<i64>, String)]) -> Add {
    let schema = Arc::new(Schema::new(vec![
        Field::new("value", arrow::datatypes::DataType::Utf8, true),
        Field::new("time", crate::call::utc_timestamp(), true),
    ]));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, value)| value)));
    let times: TimestampMicrosecondArray = rows.iter().map(|(time, _)| *time).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values, Arc::new(times.with_timezone("UTC"))]).unwrap();
    let mut file = GrowingFile::create(table, name, Some(Some(20_000)), &schema, 1).unwrap();
    file.write(&batch).unwrap();
    file.finish(0).unwrap().add
}

/// Sorted as the standard library does, whatever the size of the pieces; what is large is taken in smaller pieces.
#[test]
fn any_piece_size_gives_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let table = TablePath::new(crate::lake::Store::Folder(folder.path().to_path_buf()), "observables");
    let mut expected = Vec::new();
    let mut files = Vec::new();
    let mut random = 7_u64;
    for number in 0..5 {
        let rows: Vec<_> = (0..700)
            .map(|row| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let time = (random >> 60 != 0).then_some((random >> 52) as i64);
                // Rows of one time are a hundred times as large as the others.
                let filler = if time.is_some_and(|time| time > 4000) { 20_000 } else { 1 };
                (time, format!("{number}-{row}-{}", "x".repeat(filler)))
            })
            .collect();
        files.push(file(&table, &format!("f{number}"), &rows));
        expected.extend(
            rows.into_iter().enumerate().map(|(row, (time, value))| (time.unwrap_or(i64::MAX), number, row, value)),
        );
    }
    expected.sort();
    for piece_bytes in [1, 1000, 100_000, 100_000_000] {
        let sorted = Sorted::new(&table, &files, tables::table("observables").unwrap(), piece_bytes).unwrap();
        let (mut found, mut pieces) = (Vec::new(), 0);
        sorted
            .each(|batch| {
                pieces += 1;
                assert!(batch.column_by_name("day").is_none(), "the partition is no column of the file");
                assert_eq!(batch.column_by_name("call_id").unwrap().null_count(), batch.num_rows());
                let values = batch.column_by_name("value").unwrap().as_string::<i32>();
                found.extend(values.iter().map(|value| value.unwrap().to_owned()));
                Ok(())
            })
            .unwrap();
        assert!(found.iter().eq(expected.iter().map(|(.., value)| value)), "pieces of {piece_bytes}");
        assert!(piece_bytes > 100_000 || pieces > 3, "{pieces} pieces of {piece_bytes}");
    }
}

/// Whoever asks for what arguments name passes over the pages of what results name.
#[test]
fn observables_of_one_origin_and_type_stand_together() {
    let folder = tempfile::tempdir().unwrap();
    let table = TablePath::new(crate::lake::Store::Folder(folder.path().to_path_buf()), "observables");
    let columns = tables::table("observables").unwrap();
    let file = |name: &str, rows: &[(i64, &str, &str)]| {
        let empty = RecordBatch::new_empty(columns.schema());
        let column = |field: &FieldRef| -> ArrayRef {
            match field.name().as_str() {
                "time" => Arc::new(
                    TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC"),
                ),
                "origin" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
                "type" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
                _ => new_null_array(field.data_type(), rows.len()),
            }
        };
        let schema = empty.schema();
        let fields = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let fields: Vec<FieldRef> = fields.collect();
        let arrays = fields.iter().map(column).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let mut file = GrowingFile::create(&table, name, Some(Some(20_000)), &batch.schema(), 1).unwrap();
        file.write(&batch).unwrap();
        file.finish(0).unwrap().add
    };
    let files = [
        file("a", &[(3, "argument", "url"), (1, "result", "email"), (2, "result", "url")]),
        file("b", &[(2, "argument", "url"), (1, "argument", "domain"), (0, "result", "url"), (9, "result", "email")]),
    ];
    let mut found = Vec::new();
    let each = |batch: RecordBatch| {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let times = batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
        let (origins, types) = (text("origin"), text("type"));
        found.extend(
            (0..batch.num_rows())
                .map(|row| format!("{} {} {}", origins.value(row), types.value(row), times.value(row))),
        );
        Ok(())
    };
    Sorted::new(&table, &files, columns, 1 << 20).unwrap().each(each).unwrap();
    let expected = [
        "argument domain 1",
        "argument url 2",
        "argument url 3",
        "result email 1",
        "result email 9",
        "result url 0",
        "result url 2",
    ];
    assert_eq!(found, expected);
}
