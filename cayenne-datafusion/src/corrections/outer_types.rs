//! The types of outer columns in subqueries: `SELECT … FROM (SELECT i … UNION ALL SELECT count(*) …) AS r (c) WHERE
//! EXISTS (SELECT 1 FROM x WHERE x.i = r.c)`.
//!
//! DataFusion plans a subquery before the inputs of a union outside it are coerced to one type. The outer column in the
//! subquery keeps its old type, so the comparison gets no cast and fails at execution. Here such columns get their
//! final type, and types are coerced once more.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema as _};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Subquery};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

/// Updates the types of outer columns. It runs after type coercion.
#[derive(Debug)]
pub(super) struct OuterTypes;

impl AnalyzerRule for OuterTypes {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let typed = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let typed = plan.map_expressions(|expr| expr.transform_up(|part| in_subquery(part, &schema)))?;
            typed.transform_data(in_lateral)
        })?;
        if typed.transformed { TypeCoercion::new().analyze(typed.data, config) } else { Ok(typed.data) }
    }

    fn name(&self) -> &'static str {
        "cayenne_outer_types"
    }
}

/// `LATERAL` is a subquery on the right side of a join, whose outer columns are those of the left side.
fn in_lateral(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) if join.right.exists(|plan| Ok(matches!(plan, LogicalPlan::Subquery(_))))? => {
            let outer = Arc::clone(join.left.schema());
            let right = join.right.as_ref().clone().transform_up(|plan| match plan {
                LogicalPlan::Subquery(mut subquery) => {
                    let is_changed = retype(&mut subquery, &outer)?;
                    Ok(Transformed::new_transformed(LogicalPlan::Subquery(subquery), is_changed))
                }
                plan => Ok(Transformed::no(plan)),
            })?;
            if !right.transformed {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            }
            let right = right.data.transform_up(|plan| plan.recompute_schema().map(Transformed::yes))?;
            LogicalPlan::Join(Join { right: Arc::new(right.data), ..join }).recompute_schema().map(Transformed::yes)
        }
        plan => Ok(Transformed::no(plan)),
    }
}

fn in_subquery(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let subquery = match &mut expr {
        Expr::Exists(exists) => &mut exists.subquery,
        Expr::InSubquery(set) => &mut set.subquery,
        Expr::SetComparison(set) => &mut set.subquery,
        Expr::ScalarSubquery(subquery) => subquery,
        _ => return Ok(Transformed::no(expr)),
    };
    let is_changed = retype(subquery, schema)?;
    Ok(Transformed::new_transformed(expr, is_changed))
}

fn retype(subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let with_types = |expr: Expr| {
        expr.transform_up(|part| match part {
            Expr::OuterReferenceColumn(field, column) => match schema.field_from_column(&column) {
                Ok(now) if now.data_type() != field.data_type() => {
                    Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(now), column)))
                }
                _ => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
            },
            part => Ok(Transformed::no(part)),
        })
    };
    let plan = subquery.subquery.as_ref().clone();
    let typed = plan.transform_up_with_subqueries(|plan| plan.map_expressions(with_types))?;
    if typed.transformed {
        subquery.outer_ref_columns = typed.data.all_out_ref_exprs();
        subquery.subquery = Arc::new(typed.data);
    }
    Ok(typed.transformed)
}
