//! `IN`, `ANY` and `ALL` of a subquery, in SQL's three-valued logic.
//!
//! DataFusion turns each into a join, which knows only true and false: where `IN` is NULL, because its operand is NULL
//! or because the subquery has a null and no equal value, the join says false. That is correct only where NULL and
//! false have the same effect: in a `WHERE`, below AND and OR. Elsewhere `x IN (S)` with values `y` is written out as:
//!
//! ```sql
//! CASE WHEN EXISTS (S WHERE y = x) THEN true
//!      WHEN EXISTS (S WHERE y IS NULL) OR (x IS NULL AND EXISTS (S)) THEN NULL
//!      ELSE false END
//! ```
//!
//! A part is left out if the schema says that its side has no nulls. If both are left out, the `IN` of a column and an
//! uncorrelated subquery stays as it is.
//!
//! `x = ANY (S)` is `x IN (S)`; other comparisons replace the equality. `x < ALL (S)` is `NOT (x >= ANY (S))`.
//! DataFusion plans these correctly itself, but with conditions that no hash join can use, and not as a column.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr, ident,
    lit, when,
};

use super::node::Node;
use super::simple::is_correlated;
use super::subqueries::is_subquery;

/// Replaces operands that must be computed only once with columns of the input.
pub(super) fn name_operands(
    node: &mut Node,
    names: &AliasGenerator,
    correct: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<()> {
    node.rewrite(|node, expr| {
        let mut operands = Vec::new();
        let rewritten = expr.transform_up(|expr| match expr {
            Expr::InSubquery(mut set) if !may_be_repeated(&set.expr) => {
                operands.push(take(&mut set.expr, names));
                Ok(Transformed::yes(Expr::InSubquery(set)))
            }
            Expr::SetComparison(mut set) if !may_be_repeated(&set.expr) => {
                operands.push(take(&mut set.expr, names));
                Ok(Transformed::yes(Expr::SetComparison(set)))
            }
            expr => Ok(Transformed::no(expr)),
        })?;
        if !operands.is_empty() {
            node.add_columns(operands)?;
            node.set_input(correct(node.input().clone())?);
        }
        Ok(rewritten)
    })
}

/// Replaces an operand with a column, and returns the operand under the column's name.
fn take(operand: &mut Expr, names: &AliasGenerator) -> Expr {
    let name = names.next("__cayenne_operand");
    std::mem::replace(operand, ident(&name)).alias(name)
}

fn may_be_repeated(operand: &Expr) -> bool {
    let simple = operand.apply(|expr| {
        Ok(if is_subquery(expr) || expr.is_volatile_node() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    matches!(simple, Ok(TreeNodeRecursion::Continue))
}

/// Writes out each `IN` whose NULL would be mistaken for false where the two differ.
pub(super) fn write_out(node: &mut Node, names: &AliasGenerator) -> Result<()> {
    let schema = node.schema();
    let place = if node.is_filter() { Place::Conjunct } else { Place::Value };
    node.rewrite(|_, expr| Writer { schema: &schema, names }.visit(expr, place))
}

/// How the value of a condition is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// As a filter condition, or a conjunct of one.
    Conjunct,
    /// Where NULL and false have the same effect.
    Truth,
    /// Where true, false and NULL all differ.
    Value,
}

impl Place {
    fn below(self, op: Operator) -> Self {
        match (op, self) {
            (Operator::And, place) => place,
            (Operator::Or, Self::Conjunct | Self::Truth) => Self::Truth,
            _ => Self::Value,
        }
    }
}

struct Writer<'a> {
    schema: &'a DFSchema,
    names: &'a AliasGenerator,
}

impl Writer<'_> {
    fn visit(&self, expr: Expr, place: Place) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                expr.map_children(|child| self.visit(child, place.below(op)))
            }
            Expr::Not(inner) => match *inner {
                Expr::InSubquery(mut set) => {
                    set.negated = !set.negated;
                    Ok(Transformed::yes(self.membership(set, place)?.data))
                }
                inner => Expr::Not(Box::new(inner)).map_children(|child| self.visit(child, Place::Value)),
            },
            Expr::IsTrue(_) => expr.map_children(|child| self.visit(child, Place::Truth)),
            Expr::InSubquery(set) => self.membership(set, place),
            Expr::SetComparison(set) => self.quantified(set, place),
            expr => expr.map_children(|child| self.visit(child, Place::Value)),
        }
    }

    fn membership(&self, set: InSubquery, place: Place) -> Result<Transformed<Expr>> {
        let comparison =
            Comparison { operator: Operator::Eq, negated: set.negated, operand: &set.expr, set: &set.subquery };
        let has_nulls = comparison.operand_nulls(self.schema)? || comparison.value_nulls();
        // DataFusion's anti join is null-aware if the operand is a column and there is no further condition.
        let is_whole = is_column(&set.expr) && !is_correlated(&set.subquery.subquery);
        let known = match (set.negated, place) {
            (false, Place::Conjunct | Place::Truth) => true,
            (true, Place::Conjunct) => is_whole,
            // Simplifying the expression around it may turn it into an anti join too.
            _ => is_whole && !has_nulls,
        };
        match (known, place) {
            (true, Place::Conjunct) => return Ok(Transformed::no(Expr::InSubquery(set))),
            (true, _) => return self.with_qualifier(set),
            (false, _) => {}
        }
        self.written_out(&comparison, place).map(Transformed::yes)
    }

    /// Gives the column of a subquery a qualifier if it has none, because a mark join would take an unqualified column
    /// for two.
    fn with_qualifier(&self, mut set: InSubquery) -> Result<Transformed<Expr>> {
        let plan = &set.subquery.subquery;
        let is_qualified = |expr: &Expr| expr.column_refs().iter().all(|column| column.relation.is_some());
        let has_qualifier = match plan.as_ref() {
            LogicalPlan::Projection(projection) => projection.expr.iter().all(is_qualified),
            plan => plan.schema().iter().all(|(qualifier, _)| qualifier.is_some()),
        };
        if has_qualifier {
            return Ok(Transformed::no(Expr::InSubquery(set)));
        }
        let name = self.names.next("__cayenne_set");
        let named = LogicalPlanBuilder::from(plan.as_ref().clone()).alias(name)?.build()?;
        set.subquery.subquery = Arc::new(named);
        Ok(Transformed::yes(Expr::InSubquery(set)))
    }

    fn quantified(&self, set: SetComparison, place: Place) -> Result<Transformed<Expr>> {
        let (operator, negated) = match set.quantifier {
            SetQuantifier::Any => (Some(set.op), false),
            SetQuantifier::All => (set.op.negate(), true),
        };
        match operator {
            None => Ok(Transformed::no(Expr::SetComparison(set))),
            Some(Operator::Eq) => {
                let set = InSubquery::new(set.expr, set.subquery, negated);
                Ok(Transformed::yes(self.membership(set, place)?.data))
            }
            Some(operator) => {
                let comparison = Comparison { operator, negated, operand: &set.expr, set: &set.subquery };
                self.written_out(&comparison, place).map(Transformed::yes)
            }
        }
    }

    fn written_out(&self, comparison: &Comparison<'_>, place: Place) -> Result<Expr> {
        let matches = comparison.matches(self.schema, self.names)?;
        let unknown = comparison.unknown(self.schema, self.names)?;
        let is_value = place == Place::Value && !unknown.is_empty();
        match (comparison.negated, is_value) {
            (false, false) => Ok(matches),
            // Separate conjuncts become anti joins.
            (true, false) => Ok(unknown.into_iter().fold(negated(matches), |all, part| all.and(negated(part)))),
            (is_negated, true) => {
                let unknown = unknown.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false));
                when(matches, lit(!is_negated))
                    .when(unknown, Expr::Literal(ScalarValue::Boolean(None), None))
                    .otherwise(lit(is_negated))
            }
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => is_column(expr),
        _ => false,
    }
}

/// Negates a condition that is never NULL.
fn negated(condition: Expr) -> Expr {
    match condition {
        Expr::Exists(exists) => Expr::Exists(Exists { negated: !exists.negated, ..exists }),
        condition => !condition,
    }
}

/// A comparison with the values of a subquery. It is true if it holds for one of them or, if `negated`, for none.
struct Comparison<'a> {
    operator: Operator,
    negated: bool,
    operand: &'a Expr,
    set: &'a Subquery,
}

impl Comparison<'_> {
    fn operand_nulls(&self, schema: &DFSchema) -> Result<bool> {
        self.operand.nullable(schema)
    }

    fn value_nulls(&self) -> bool {
        self.set.subquery.schema().fields().iter().any(|field| field.is_nullable())
    }

    /// Returns the condition that the comparison is true for some value.
    fn matches(&self, schema: &DFSchema, names: &AliasGenerator) -> Result<Expr> {
        let operand = outer(self.operand.clone(), schema)?;
        self.exists(names, Limited::No, |value| Some(binary_expr(operand, self.operator, value)))
    }

    /// Returns the conditions under which the comparison may be NULL for a value, because one of the two sides is NULL.
    /// No condition is NULL itself.
    fn unknown(&self, schema: &DFSchema, names: &AliasGenerator) -> Result<Vec<Expr>> {
        let mut parts = Vec::new();
        if self.value_nulls() {
            parts.push(self.exists(names, Limited::ToOne, |value| Some(value.is_null()))?);
        }
        if self.operand_nulls(schema)? {
            let any = self.exists(names, Limited::ToOne, |_| None)?;
            parts.push(self.operand.clone().is_null().and(any));
        }
        Ok(parts)
    }

    /// Returns the condition that the subquery has a value for which `condition` is true, or any value without a
    /// condition.
    fn exists(
        &self,
        names: &AliasGenerator,
        limited: Limited,
        condition: impl FnOnce(Expr) -> Option<Expr>,
    ) -> Result<Expr> {
        let Subquery { subquery, spans, .. } = self.set;
        // The value gets a name of its own, because the subquery may read the table of the operand.
        let name = names.next("__cayenne_value");
        let values = subquery.schema().columns().into_iter().map(|value| Expr::Column(value).alias(&name));
        let mut plan = LogicalPlanBuilder::from(subquery.as_ref().clone()).project(values)?;
        if let Some(condition) = condition(ident(name)) {
            plan = plan.filter(condition)?;
        }
        if limited == Limited::ToOne && !is_correlated(subquery) {
            plan = plan.limit(0, Some(1))?;
        }
        let plan = plan.build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: spans.clone() };
        Ok(Expr::Exists(Exists { subquery, negated: false }))
    }
}

/// Whether to read at most one row of an uncorrelated subquery.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limited {
    ToOne,
    No,
}

/// Turns the columns of an expression into outer columns, for use inside a subquery.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let outer = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    Ok(outer.data)
}
