//! Runs `tests/slt/*.slt` (sqllogictest) against a session without tables: what CallTrail's own SQL functions answer.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use calltrail::query::{QueryError, Session, SessionOptions, udf};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use std::path::{Path, PathBuf};

struct Database(Session);

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let mut rows = Vec::new();
        let mut columns = 0;
        for batch in self.0.collect(sql).await? {
            columns = batch.num_columns();
            let formats: Vec<_> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
            rows.extend((0..batch.num_rows()).map(|row| {
                let cells = formats.iter().map(|format| format.value(row).to_string());
                cells.map(|cell| if cell.is_empty() { "(empty)".to_owned() } else { cell }).collect()
            }));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }

    async fn shutdown(&mut self) {}
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test]
async fn functions_answer_as_written_down() {
    let names = udf::all().into_iter().map(|f| f.name().to_owned());
    for name in names.chain(udf::aggregates().into_iter().map(|f| f.name().to_owned())) {
        let file = root("tests/slt").join(format!("{name}.slt"));
        let mut runner = Runner::new(async || Ok(Database(Session::new(Vec::new(), SessionOptions::default()).await?)));
        if let Err(error) = runner.run_file_async(&file).await {
            panic!("{}", error.display(false));
        }
    }
}

#[test]
fn functions_are_documented() {
    let page = std::fs::read_to_string(root("docs/sql.md")).expect("docs/sql.md");
    let (scalars, aggregates) = (udf::all(), udf::aggregates());
    let documented = scalars.iter().map(|f| f.documentation()).chain(aggregates.iter().map(|f| f.documentation()));
    for documentation in documented {
        let syntax = &documentation.expect("documentation").syntax_example;
        assert!(page.contains(&format!("`{syntax}`")), "docs/sql.md lacks `{syntax}`");
    }
}
