//! A result as a table on the terminal.

use super::super::QueryError;
use super::{Style, cells};
use crate::visible::visible;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, presets};
use std::io::Write;

/// Characters of a cell before it is shortened: a line or two on most terminals.
const MAX_CELL: usize = 120;

/// Collects rows, because the widths of the columns depend on all of them.
pub(super) struct Table<'a> {
    table: comfy_table::Table,
    schema: SchemaRef,
    full: bool,
    rows: usize,
    out: &'a mut (dyn Write + Send),
}

impl<'a> Table<'a> {
    pub(super) fn new(style: Style, schema: &Schema, out: &'a mut (dyn Write + Send)) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(schema.fields().iter().map(|f| visible(f.name())));
        if let Some(width) = style.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        // The tree of an EXPLAIN is one long cell with line breaks that mean something.
        let explain = schema.fields().iter().map(|f| f.name().as_str()).eq(["plan_type", "plan"]);
        Self { table, schema: cells::flat_schema(schema), full: style.full || explain, rows: 0, out }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let flat = cells::flatten(batch, &self.schema)?;
        let options = FormatOptions::default().with_display_error(true);
        let columns: Vec<_> =
            flat.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect::<Result<_, _>>()?;
        for row in 0..flat.num_rows() {
            let cells = columns.iter().zip(flat.columns()).map(|(format, column)| {
                let cell = Cell::new(self.shown(&format.value(row).to_string()));
                let number = column.data_type().is_numeric();
                if number { cell.set_alignment(CellAlignment::Right) } else { cell }
            });
            self.table.add_row(cells.collect::<Vec<_>>());
        }
        self.rows += flat.num_rows();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), QueryError> {
        if self.table.column_count() > 0 {
            writeln!(self.out, "{}", self.table.trim_fmt())?;
        }
        writeln!(self.out, "{} {}", self.rows, if self.rows == 1 { "row" } else { "rows" })?;
        Ok(self.out.flush()?)
    }

    fn shown(&self, text: &str) -> String {
        match text.char_indices().nth(MAX_CELL) {
            Some((end, _)) if !self.full => format!("{}…", visible(&text[..end])),
            _ if self.full => text.split('\n').map(visible).collect::<Vec<_>>().join("\n"),
            _ => visible(text).into_owned(),
        }
    }
}
