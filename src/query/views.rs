//! The names that SQL sees: views in `queries/views/` over stored tables, and the stored tables that need none.
//!
//! Stored tables live in the schema `stored`, views in the default one, so a view can have its table's name. A view
//! whose tables the lake does not have yet is left out.

use super::{QueryError, RANGED, STORED, SessionOptions};
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider, view::ViewTable};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Weak};
use tokio::sync::OnceCell;

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
    View { name: "alerts", sql: include_str!("../../queries/views/alerts.sql"), reads: &["alerts", "deliveries"] },
    View { name: "incidents", sql: include_str!("../../queries/views/incidents.sql"), reads: &["alerts"] },
    View {
        name: "link_signatures",
        sql: include_str!("../../queries/views/link_signatures.sql"),
        reads: &["observables"],
    },
    View { name: "refusals", sql: include_str!("../../queries/views/refusals.sql"), reads: &["calls"] },
    View { name: "sessions", sql: include_str!("../../queries/views/sessions.sql"), reads: &["calls", "observables"] },
];

/// Stored tables with so many columns that a rule is planned without those that it does not name.
pub(super) const WIDE: &[&str] = &["calls", "observables", "flows", "tool_definitions", "connections"];
/// Tables that say nothing of calls and only keep other tables up to date.
const INTERNAL: &[&str] = &["lineage"];

/// The stored tables that a name stands for.
pub(super) fn stored(name: &str) -> Vec<&str> {
    VIEWS.iter().find(|view| view.name == name).map_or_else(|| vec![name], |view| view.reads.to_vec())
}

/// Registers stored tables, limited to the session's range, and everything that SQL sees.
pub(super) fn register(
    context: &SessionContext,
    tables: &[(String, Arc<dyn TableProvider>)],
    options: &SessionOptions,
) -> Result<(), QueryError> {
    let stored = Arc::new(MemorySchemaProvider::new());
    let mut names = Names { tables: HashMap::new(), views: HashMap::new(), state: context.state_weak_ref() };
    for (name, provider) in tables {
        let provider = limited(name, provider, options)?;
        if !VIEWS.iter().any(|view| view.name == name) && !INTERNAL.contains(&name.as_str()) {
            names.tables.insert(name.clone(), Arc::clone(&provider));
        }
        stored.register_table(name.clone(), provider)?;
    }
    let has = |name: &&str| tables.iter().any(|(table, _)| table == name);
    let views = VIEWS.iter().filter(|view| view.reads.iter().all(has));
    names.views.extend(views.map(|view| (view.name, Named { view, planned: OnceCell::new() })));
    let catalog = context.catalog(super::CATALOG).ok_or_else(|| QueryError::internal("the catalog is missing"))?;
    catalog.register_schema(STORED, stored)?;
    catalog.register_schema(super::SCHEMA, Arc::new(names))?;
    Ok(())
}

/// The default schema. A view is planned when a query names it: most queries name one, and planning all of them takes longer than
/// planning the query.
struct Names {
    tables: HashMap<String, Arc<dyn TableProvider>>,
    views: HashMap<&'static str, Named>,
    /// Of the session that this is a schema of.
    state: Weak<RwLock<SessionState>>,
}

/// A view, and its plan once there is one.
struct Named {
    view: &'static View,
    planned: OnceCell<Arc<dyn TableProvider>>,
}

impl Debug for Names {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.table_names()).finish()
    }
}

#[async_trait]
impl SchemaProvider for Names {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().chain(self.views.keys().map(|&name| name.to_owned())).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(table) = self.tables.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(Named { view, planned }) = self.views.get(name) else { return Ok(None) };
        let plan = async || {
            let gone = || DataFusionError::Internal("the session has ended".to_owned());
            let state = self.state.upgrade().ok_or_else(gone)?.read().clone();
            let plan = state.create_logical_plan(view.sql).await?;
            Ok::<_, DataFusionError>(Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))) as Arc<dyn TableProvider>)
        };
        planned.get_or_try_init(plan).await.cloned().map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.views.contains_key(name)
    }
}

/// The table, or a view of its rows in the range.
pub(super) fn limited(
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
