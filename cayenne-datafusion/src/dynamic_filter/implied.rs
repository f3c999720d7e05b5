//! What a filter implies about a single column.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, InListExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;

type Expr = Arc<dyn PhysicalExpr>;

/// Returns a predicate on `column` alone that is true for every row for which `filter` is true, if there is one.
pub(super) fn by(filter: &Expr, column: &str) -> Option<Expr> {
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        return by_case(case, column);
    }
    match filter.downcast_ref::<BinaryExpr>().map(|binary| (binary.op(), binary)) {
        Some((Operator::And, binary)) => both(by(binary.left(), column), by(binary.right(), column)),
        Some((Operator::Or, binary)) => {
            Some(joined(by(binary.left(), column)?, Operator::Or, by(binary.right(), column)?))
        }
        _ => is_about(filter, column).then(|| Arc::clone(filter)),
    }
}

/// Returns the predicate implied by the filter of a partitioned join, which has one branch per partition: a row that
/// passes satisfies the branch of its partition, and so the disjunction of all branches.
fn by_case(case: &CaseExpr, column: &str) -> Option<Expr> {
    let branches = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
    let mut any: Option<Expr> = None;
    for branch in branches.filter(|branch| !is_false(branch)) {
        let implied = by(branch, column)?;
        any = Some(match any {
            Some(any) => joined(any, Operator::Or, implied),
            None => implied,
        });
    }
    any
}

fn both(left: Option<Expr>, right: Option<Expr>) -> Option<Expr> {
    match (left, right) {
        (Some(left), Some(right)) => Some(joined(left, Operator::And, right)),
        (left, right) => left.or(right),
    }
}

fn joined(left: Expr, op: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

/// Says whether an expression compares only this column with values.
fn is_about(expr: &Expr, column: &str) -> bool {
    let compares = expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| {
        matches!(binary.op(), Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
    });
    let lists = expr.downcast_ref::<InListExpr>().is_some_and(|list| !list.negated());
    (compares || lists) && names(expr) == HashSet::from([column.to_owned()])
}

fn names(expr: &Expr) -> HashSet<String> {
    collect_columns(expr).iter().map(Column::name).map(str::to_owned).collect()
}

/// Says whether an expression is the literal false.
pub(super) fn is_false(expr: &Expr) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| *literal.value() == ScalarValue::Boolean(Some(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_expr::expressions::{binary, case, col, in_list, lit};

    fn schema() -> arrow_schema::Schema {
        use arrow_schema::{DataType, Field};
        arrow_schema::Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)])
    }

    fn compare(column: &str, op: Operator, value: i64) -> Expr {
        let schema = schema();
        binary(col(column, &schema).unwrap(), op, lit(value), &schema).unwrap()
    }

    fn and(left: Expr, right: Expr) -> Expr {
        joined(left, Operator::And, right)
    }

    fn text(implied: Option<Expr>) -> String {
        implied.map_or_else(|| "nothing".to_owned(), |expr| expr.to_string())
    }

    #[test]
    fn a_conjunction_implies_each_part_of_it() {
        let range = and(compare("a", Operator::GtEq, 1), compare("a", Operator::LtEq, 9));
        let filter = and(range, compare("b", Operator::Lt, 5));
        assert_eq!(text(by(&filter, "a")), "a@0 >= 1 AND a@0 <= 9");
        assert_eq!(text(by(&filter, "b")), "b@1 < 5");
        assert_eq!(text(by(&filter, "c")), "nothing");
    }

    #[test]
    fn a_disjunction_implies_only_what_both_sides_do() {
        let filter = joined(compare("a", Operator::Lt, 1), Operator::Or, compare("b", Operator::Lt, 5));
        assert_eq!(text(by(&filter, "a")), "nothing");
        let filter = joined(compare("a", Operator::Lt, 1), Operator::Or, compare("a", Operator::Gt, 5));
        assert_eq!(text(by(&filter, "a")), "a@0 < 1 OR a@0 > 5");
    }

    #[test]
    fn a_case_implies_that_a_branch_holds() {
        let schema = schema();
        let keys = in_list(col("a", &schema).unwrap(), vec![lit(7_i64), lit(8_i64)], &false, &schema).unwrap();
        let route = col("b", &schema).unwrap();
        let branches = vec![(lit(0_i64), keys), (lit(1_i64), lit(false))];
        let filter = case(Some(Arc::clone(&route)), branches.clone(), Some(compare("a", Operator::Eq, 3))).unwrap();
        assert_eq!(text(by(&filter, "a")), "a@0 IN (SET) ([7, 8]) OR a@0 = 3");
        let open = case(Some(route), branches, Some(lit(true))).unwrap();
        assert_eq!(text(by(&open, "a")), "nothing");
    }

    #[test]
    fn a_comparison_of_two_columns_implies_nothing() {
        let schema = schema();
        let filter = binary(col("a", &schema).unwrap(), Operator::Lt, col("b", &schema).unwrap(), &schema).unwrap();
        assert_eq!(text(by(&filter, "a")), "nothing");
    }
}
