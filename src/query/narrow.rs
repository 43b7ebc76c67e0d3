//! The tables as one rule needs them: with the columns that its text names.
//!
//! `calls` has a hundred columns and a rule names ten. Planning carries all of them through every step of a query, and takes most of its time
//! for that. So a rule is planned over tables that have no others.

use super::sieve::SieveExec;
use super::views::limited;
use super::{CATALOG, QueryError, RANGED, SCHEMA, STORED, SessionOptions, udf};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider as _, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    Session, TableProvider, view::ViewTable,
};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, Visit as _, Visitor,
};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::fmt::{Debug, Formatter};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The column of `calls` that the view computes, and the one that it is computed of.
const COMPUTED: (&str, &str) = ("result_text", "result");

/// What a query names.
#[derive(Debug, Default)]
struct Words {
    /// Every word of its text; more than there are columns in it.
    words: HashSet<String>,
    /// Tables, or their aliases, of which it takes every column.
    whole: HashSet<String>,
}

impl Words {
    fn of(text: &str, statement: &Statement) -> Self {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let mut words = Self { words: words.map(str::to_ascii_lowercase).collect(), whole: HashSet::new() };
        let ControlFlow::Continue(()) = match statement {
            Statement::Statement(statement) => statement.visit(&mut words),
            _ => ControlFlow::Continue(()),
        };
        words
    }
}

impl Visitor for Words {
    type Break = std::convert::Infallible;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        let takes_all = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) => Some(None),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                Some(Some(name.to_string().to_ascii_lowercase()))
            }
            SelectItem::QualifiedWildcard(..) => Some(None),
            _ => None,
        };
        let taken: Vec<Option<String>> = select.projection.iter().filter_map(takes_all).collect();
        if taken.is_empty() {
            return ControlFlow::Continue(());
        }
        let joined = |from: &TableWithJoins| {
            let joins = from.joins.iter().map(|join| join.relation.clone());
            std::iter::once(from.relation.clone()).chain(joins).collect::<Vec<_>>()
        };
        for relation in select.from.iter().flat_map(joined) {
            let TableFactor::Table { name, alias, .. } = relation else {
                // A table inside parentheses, for example: not looked into.
                if !matches!(relation, TableFactor::Derived { .. } | TableFactor::UNNEST { .. }) {
                    self.whole.extend(super::views::WIDE.iter().map(|&name| name.to_owned()));
                }
                continue;
            };
            let name = name.to_string().to_ascii_lowercase();
            let called = alias.map_or_else(|| name.clone(), |alias| alias.name.value.to_ascii_lowercase());
            if taken.iter().any(|taken| taken.as_ref().is_none_or(|taken| *taken == called)) {
                self.whole.insert(name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The names as one rule's query sees them: wide tables have only the columns that it names.
#[derive(Clone)]
pub(super) struct Narrow(Arc<Names>);

struct Names {
    words: Words,
    /// Stored tables with many columns.
    wide: Vec<(String, Arc<dyn TableProvider>)>,
    /// Everything that has a name.
    all: Arc<dyn SchemaProvider>,
    options: SessionOptions,
    /// Results of the query's steps.
    made: RwLock<HashMap<String, Arc<dyn TableProvider>>>,
}

impl Narrow {
    pub(super) fn new(
        text: &str,
        statement: &Statement,
        tables: &[(String, Arc<dyn TableProvider>)],
        all: Arc<dyn SchemaProvider>,
        options: SessionOptions,
    ) -> Self {
        let wide = tables.iter().filter(|(name, _)| super::views::WIDE.contains(&name.as_str())).cloned().collect();
        Self(Arc::new(Names { words: Words::of(text, statement), wide, all, options, made: RwLock::default() }))
    }

    /// Catalogs with these names and no others.
    pub(super) fn catalogs(&self) -> Result<Arc<dyn CatalogProviderList>, QueryError> {
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::new(self.clone()))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Arc::new(catalogs))
    }

    /// Gives a name to the result of a step.
    pub(super) fn make(&self, name: String, table: Arc<dyn TableProvider>) {
        self.0.made.write().insert(name, table);
    }

    /// Names of the results of steps.
    pub(super) fn made(&self) -> Vec<String> {
        self.0.made.read().keys().cloned().collect()
    }

    /// Whether a name is one of the lake's.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.0.all.table_exist(name)
    }
}

impl Debug for Narrow {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Narrow").field("words", &self.0.words).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Narrow {
    fn table_names(&self) -> Vec<String> {
        self.0.all.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Names { words, wide, all, options, made } = self.0.as_ref();
        if let Some(made) = made.read().get(name) {
            return Ok(Some(Arc::clone(made)));
        }
        let wide = wide.iter().find(|(wide, _)| wide == name && !words.whole.contains(name));
        let Some((_, table)) = wide else { return all.table(name).await };
        let is_named = |name: &str| words.words.contains(name);
        let ranged = options.range.is_some() && RANGED.contains(&name);
        let computes = name == "calls" && is_named(COMPUTED.0);
        let schema = table.schema();
        let needed = |name: &str| is_named(name) || (ranged && name == "time") || (computes && name == COMPUTED.1);
        let mut kept: Vec<usize> = (0..schema.fields().len()).filter(|at| needed(schema.field(*at).name())).collect();
        if kept.is_empty() {
            // To count rows.
            kept.extend((!schema.fields().is_empty()).then_some(0));
        }
        let narrow: Arc<dyn TableProvider> =
            Arc::new(NarrowTable { schema: Arc::new(schema.project(&kept)?), kept, table: Arc::clone(table) });
        let narrow = limited(name, &narrow, options).map_err(|error| DataFusionError::External(Box::new(error)))?;
        if !computes {
            return Ok(Some(narrow));
        }
        let text = udf::result_text().call(vec![col(COMPUTED.1)]).alias(COMPUTED.0);
        let columns: Vec<Expr> = narrow.schema().fields().iter().map(|field| col(field.name().as_str())).collect();
        let source = provider_as_source(narrow);
        let plan = LogicalPlanBuilder::scan(TableReference::partial(STORED, name), source, None)?;
        let plan = plan.project(columns.into_iter().chain([text]))?.build()?;
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.made.read().contains_key(name) || self.0.all.table_exist(name)
    }
}

/// Some columns of a table.
#[derive(Debug)]
struct NarrowTable {
    table: Arc<dyn TableProvider>,
    /// Their places in the table.
    kept: Vec<usize>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for NarrowTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(wanted) => wanted.iter().map(|at| self.kept[*at]).collect(),
            None => self.kept.clone(),
        };
        Ok(Arc::new(SieveExec::new(self.table.scan(state, Some(&wanted), filters, limit).await?)))
    }
}
