//! Lakes of older versions: what they lack reads as NULL, and the first writer adds it.
//!
//! Columns are only ever added. Data files stay as they are: Delta reads a column that a file lacks as NULL.

use super::{Identity, Lake, LakeError, Purpose, Transaction, chain, create_table, tables};
use crate::call::SCHEMA_VERSION;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{TableProvider, view::ViewTable};
use datafusion::common::ScalarValue;
use datafusion::datasource::{empty::EmptyTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use datafusion::prelude::ident;
use deltalake::kernel::{StructField, StructType, engine::arrow_conversion::TryIntoKernel as _};
use std::sync::Arc;

/// Brings a lake up to this version's tables and columns. The caller holds the lake's lock and has finished what was begun.
pub(super) async fn upgrade(lake: &Lake) -> Result<(), LakeError> {
    let identity = Identity::read(&lake.store)?;
    if identity.schema_version >= SCHEMA_VERSION {
        return Ok(());
    }
    let purpose = Purpose::Upgrade { from: identity.schema_version, to: SCHEMA_VERSION };
    let mut transaction = Transaction::for_purpose(purpose);
    for table in tables::TABLES {
        create_table(&lake.store, table).await?;
        let known = stored_schema(lake, table.name).await?;
        let wanted: StructType = table.schema().as_ref().try_into_kernel()?;
        for field in wanted.fields().filter(|field| known.field(field.name()).is_none()) {
            // Rows of before cannot have it.
            transaction.add_column(table.name, StructField { nullable: true, ..field.clone() });
        }
    }
    // Also those that a writer made and then died.
    chain::unnamed_tables(&lake.store)?.into_iter().for_each(|table| transaction.made(table));
    tracing::info!(from = identity.schema_version, to = SCHEMA_VERSION, "bringing an older lake up to date");
    transaction.set_identity(Identity { schema_version: SCHEMA_VERSION, ..identity });
    transaction.commit(lake).await
}

/// The columns of a table as its log has them.
async fn stored_schema(lake: &Lake, name: &str) -> Result<StructType, LakeError> {
    let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
    let table = lake.table(name).await?;
    Ok(table.snapshot().map_err(delta)?.schema().as_ref().clone())
}

/// A table that an older lake does not have yet.
pub(super) fn absent(table: &tables::Table) -> Arc<dyn TableProvider> {
    Arc::new(EmptyTable::new(table.schema()))
}

/// The table with all columns of this version: those that it lacks are NULL.
pub(super) fn complete(
    provider: Arc<dyn TableProvider>,
    wanted: &SchemaRef,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let known = provider.schema();
    if wanted.fields().iter().all(|field| known.column_with_name(field.name()).is_some()) {
        return Ok(provider);
    }
    let columns = wanted.fields().iter().map(|field| -> Result<Expr, DataFusionError> {
        match known.column_with_name(field.name()) {
            Some(_) => Ok(ident(field.name())),
            None => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(field.name())),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let plan = LogicalPlanBuilder::scan("stored", provider_as_source(provider), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
