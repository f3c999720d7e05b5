//! Rejects clauses that DataFusion's planner would silently ignore.

use datafusion::error::Result;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::TableFactor;

use crate::error::external;

/// Rejects `FOR … AS OF` and similar clauses: some dialects parse them, and the planner would read the latest rows
/// instead.
#[derive(Debug)]
pub(crate) struct VersionGuard;

impl RelationPlanner for VersionGuard {
    fn plan_relation(&self, relation: TableFactor, _: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        match &relation {
            TableFactor::Table { name, version: Some(version), .. } => Err(external(
                cayenne_format::Error::unsupported("time travel with this clause is not supported")
                    .code("unsupported-sql")
                    .with("table", name)
                    .with("clause", version)
                    .help("use SELECT … FROM cayenne_at('table', sequence)"),
            )),
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}
