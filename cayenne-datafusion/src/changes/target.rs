//! The table that a statement changes, and how the statement identifies the rows to change.

use crate::project::project;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::Error;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource};

use crate::changes::identity_table::IdentityTable;
use crate::changes::plan::Statement;
use crate::columns::defaults::Defaults;
use crate::error::external;
use crate::keys::lookup;
use crate::provider::{CayenneTable, cayenne_table};
use crate::scan::identity::Identity;

/// The table that a statement changes.
pub(crate) struct Target {
    pub(crate) statement: Statement,
    pub(crate) identity: Identity,
    pub(crate) defaults: Defaults,
    source: Arc<dyn TableSource>,
}

impl Target {
    pub(crate) fn of(table: &CayenneTable) -> Self {
        let statement = Statement::about(table.table());
        let identity = Identity::of(table.table().schema());
        let source = provider_as_source(Arc::new(IdentityTable::new(statement.clone(), identity.clone())));
        Self { statement, identity, defaults: table.defaults().clone(), source }
    }

    /// Returns a builder for a scan of the table with its identity columns.
    pub(crate) fn scan(&self, name: TableReference) -> TableScanBuilder {
        TableScanBuilder::new(name, Arc::clone(&self.source))
    }

    fn is_scanned_by(&self, scan: &TableScan) -> bool {
        cayenne_table(&scan.source)
            .is_some_and(|table| table.table().id() == self.statement.table.id() && !table.is_fixed())
    }

    /// Says whether a plan returns all rows of the table.
    pub(crate) fn is_whole(&self, plan: &LogicalPlan) -> bool {
        matches!(plan, LogicalPlan::TableScan(scan)
            if self.is_scanned_by(scan) && scan.filters.is_empty() && scan.fetch.is_none())
    }

    /// Adds the identity columns to a plan that reads the table.
    pub(crate) fn identified(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::TableScan(scan) if self.is_scanned_by(&scan) => {
                let columns = self.statement.table.schema().fields().len();
                let projection = scan.projection.map(|mut projection| {
                    projection.extend([columns, columns + 1]);
                    projection
                });
                let identified = self.scan(scan.table_name).with_projection(projection);
                Ok(LogicalPlan::TableScan(identified.with_filters(scan.filters).with_fetch(scan.fetch).build()?))
            }
            LogicalPlan::Projection(projection) => {
                let input = self.identified(Arc::unwrap_or_clone(projection.input))?;
                let mut columns = projection.expr;
                columns.extend(self.identity_of(&input)?);
                project(columns, input)
            }
            LogicalPlan::Filter(_) | LogicalPlan::Limit(_) | LogicalPlan::Sort(_) | LogicalPlan::SubqueryAlias(_) => {
                let inputs: Result<Vec<_>> =
                    plan.inputs().into_iter().map(|input| self.identified(input.clone())).collect();
                plan.with_new_exprs(plan.expressions(), inputs?)
            }
            plan => Err(external(
                Error::unsupported(
                    "the plan of the statement does not identify the rows to change; nothing was changed",
                )
                .code("unsupported-sql")
                .with("table", self.statement.table.name())
                .with("node", plan.display()),
            )),
        }
    }

    /// Returns the condition of a plan that is only a filter over a whole scan of the table.
    fn condition<'p>(&self, plan: &'p LogicalPlan) -> Option<&'p Expr> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return None };
        let LogicalPlan::TableScan(scan) = input.as_ref() else { return None };
        (self.is_whole(input) && scan.projection.is_none()).then_some(predicate)
    }

    /// Returns a plan of the keys to delete if the condition is a very long list of keys. The keys become rows, because
    /// as expressions each of them would be visited by every rule of the planner.
    pub(crate) fn listed_keys(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let table = &self.statement.table;
        let Some(condition) = self.condition(plan) else { return Ok(None) };
        let Some(keys) = lookup::long_list(table, condition)? else { return Ok(None) };
        let names = table.options().primary_key.iter();
        let rows = RecordBatch::try_from_iter(names.zip(keys))?;
        let listed = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
        LogicalPlanBuilder::scan("listed_keys", provider_as_source(Arc::new(listed)), None)?.build().map(Some)
    }

    /// Returns the query for the keys to delete if the condition is only `key IN (query)`.
    pub(crate) fn deleted_keys(&self, plan: &LogicalPlan) -> Option<LogicalPlan> {
        let predicate = self.condition(plan)?;
        let Expr::InSubquery(InSubquery { expr, subquery, negated: false }) = predicate else { return None };
        let Expr::Column(column) = expr.as_ref() else { return None };
        let data_type = lookup::only_key(&self.statement.table).filter(|(name, _)| *name == column.name)?.1;
        let keys = subquery.subquery.schema().fields();
        let is_key = keys.len() == 1 && keys.iter().all(|field| field.data_type() == data_type);
        (is_key && subquery.outer_ref_columns.is_empty()).then(|| subquery.subquery.as_ref().clone())
    }

    /// Returns the identity columns of a plan.
    pub(crate) fn identity_of(&self, plan: &LogicalPlan) -> Result<Vec<Expr>> {
        let column = |name: &String| {
            let (qualifier, field) = plan.schema().qualified_field_with_unqualified_name(name)?;
            Ok(Expr::Column(Column::from((qualifier, field))))
        };
        [&self.identity.position, &self.identity.file].into_iter().map(column).collect()
    }

    /// Makes all scans of the table in the plan read the view in which the rows are found: a statement sees the table
    /// as it was before the statement.
    pub(crate) fn reading_one_view(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let Statement { table, view } = &self.statement;
        let shared = provider_as_source(Arc::new(CayenneTable::sharing(Arc::clone(table), Arc::clone(view))));
        let shared = plan.transform_down_with_subqueries(|plan| match plan {
            LogicalPlan::TableScan(mut scan) if self.is_scanned_by(&scan) => {
                scan.source = Arc::clone(&shared);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(shared.data)
    }

    /// Returns an error if the plan of an update does not return all columns of the table and the identity columns.
    pub(crate) fn updates(&self, plan: &LogicalPlan) -> Result<()> {
        let expected = self.identity.schema().fields().iter().map(|field| field.name());
        if plan.schema().fields().iter().map(|field| field.name()).eq(expected) {
            return Ok(());
        }
        Err(external(Error::internal("an update does not give all columns").with("table", self.statement.table.name())))
    }
}
