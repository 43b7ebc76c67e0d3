//! The names that SQL sees: views in `queries/views/` over stored tables, and the stored tables that need none.
//!
//! Stored tables live in the schema `stored`, views in the default one, so a view can have its table's name. A view
//! whose tables the lake does not have yet is left out.

use super::{QueryError, RANGED, SessionOptions};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider as _, TableProvider, view::ViewTable};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlanBuilder;
use std::sync::Arc;

/// A view: its name, its SQL and the stored tables that it reads.
struct View {
    name: &'static str,
    sql: &'static str,
    reads: &'static [&'static str],
}

const VIEWS: &[View] = &[
    View { name: "calls", sql: include_str!("../../queries/views/calls.sql"), reads: &["calls"] },
    View { name: "tools", sql: include_str!("../../queries/views/tools.sql"), reads: &["tool_definitions"] },
    View { name: "servers", sql: include_str!("../../queries/views/servers.sql"), reads: &["connections"] },
    View { name: "incidents", sql: include_str!("../../queries/views/incidents.sql"), reads: &["alerts"] },
    View { name: "sessions", sql: include_str!("../../queries/views/sessions.sql"), reads: &["calls", "observables"] },
];

const STORED: &str = "stored";

/// Registers stored tables, limited to the session's range, and everything that SQL sees.
pub(super) async fn register(
    context: &SessionContext,
    tables: &[(String, Arc<dyn TableProvider>)],
    options: &SessionOptions,
) -> Result<(), QueryError> {
    let stored = Arc::new(MemorySchemaProvider::new());
    for (name, provider) in tables {
        let provider = limited(name, provider, options)?;
        if !VIEWS.iter().any(|view| view.name == name) {
            context.register_table(name.as_str(), Arc::clone(&provider))?;
        }
        stored.register_table(name.clone(), provider)?;
    }
    let catalog = context.catalog(super::CATALOG).ok_or_else(|| QueryError::internal("the catalog is missing"))?;
    catalog.register_schema(STORED, stored)?;
    let has = |name: &&str| tables.iter().any(|(table, _)| table == name);
    for view in VIEWS.iter().filter(|view| view.reads.iter().all(has)) {
        let plan = context.state().create_logical_plan(view.sql).await?;
        context.register_table(view.name, Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))))?;
    }
    Ok(())
}

/// The table, or a view of its rows in the range.
fn limited(
    name: &str,
    provider: &Arc<dyn TableProvider>,
    options: &SessionOptions,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let predicate = options.range.and_then(super::TimeRange::predicate).filter(|_| RANGED.contains(&name));
    let Some(predicate) = predicate else { return Ok(Arc::clone(provider)) };
    let source = provider_as_source(Arc::clone(provider));
    let plan =
        LogicalPlanBuilder::scan(TableReference::partial(STORED, name), source, None)?.filter(predicate)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
