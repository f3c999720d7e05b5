//! `(a, b) IN (SELECT x, y …)`: compares a row of values with the rows of a subquery.
//!
//! DataFusion plans `IN` for one column only. Here it is rewritten into SQL with the same three-valued result: `true`
//! if a row is equal, `NULL` if the comparison with a row is `NULL`, else `false`. As a conjunct of a `WHERE`, where
//! `NULL` and `false` have the same effect, the first part is sufficient, and becomes one join.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Query, SetExpr, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use crate::text::exponents::each_part;

/// Rewrites the comparisons of rows of values in a statement.
///
/// # Errors
///
/// None for any statement; a parser error if the generated SQL cannot be parsed.
pub(crate) fn write_out(statement: &mut Statement) -> Result<()> {
    let mut visitor = RowValues::default();
    each_part(statement, &mut visitor);
    match visitor.failed {
        Some(error) => Err(DataFusionError::from(error)),
        None => Ok(()),
    }
}

#[derive(Default)]
struct RowValues {
    failed: Option<ParserError>,
}

impl VisitorMut for RowValues {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(condition) = &mut select.selection
        {
            self.conjuncts(condition);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &mut ast::Statement) -> ControlFlow<()> {
        let selection = match statement {
            ast::Statement::Delete(delete) => delete.selection.as_mut(),
            ast::Statement::Update(update) => update.selection.as_mut(),
            _ => None,
        };
        if let Some(condition) = selection {
            self.conjuncts(condition);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.replace(expr, |comparison| {
            let (equal, unknown) = (exists("{equal}"), exists("({equal}) IS NULL"));
            let (found, missing) = (!comparison.negated, comparison.negated);
            format!("CASE WHEN {equal} THEN {found} WHEN {unknown} THEN NULL ELSE {missing} END")
        });
        ControlFlow::Continue(())
    }
}

fn exists(condition: &str) -> String {
    format!("EXISTS (SELECT 1 FROM ({ROWS}) AS cayenne_rows ({{columns}}) WHERE {condition})")
}

/// The placeholder of the subquery in a template.
const ROWS: &str = "SELECT 0 AS cayenne_rows";
/// The prefix of the placeholders of operands in a template.
const OPERAND: &str = "cayenne_operand_";

/// A row of values, and the subquery with whose rows it is compared.
struct Comparison {
    operands: Vec<Expr>,
    rows: Query,
    negated: bool,
}

impl Comparison {
    fn of(expr: &Expr) -> Option<Self> {
        let Expr::InSubquery { expr, subquery, negated } = expr else { return None };
        let Expr::Tuple(operands) = expr.as_ref() else { return None };
        Some(Self { operands: operands.clone(), rows: subquery.as_ref().clone(), negated: *negated })
    }

    /// Fills a template and returns it as an expression.
    fn expression(self, template: &str) -> std::result::Result<Expr, ParserError> {
        let numbers = 1..=self.operands.len();
        let columns: Vec<_> = numbers.clone().map(|number| format!("c{number}")).collect();
        let equal: Vec<_> = numbers.map(|number| format!("cayenne_rows.c{number} = {OPERAND}{number}")).collect();
        let text = template.replace("{equal}", &equal.join(" AND ")).replace("{columns}", &columns.join(", "));
        let mut expr = Parser::new(&GenericDialect {}).try_with_sql(&text)?.parse_expr()?;
        let _done = expr.visit(&mut Filling(&self));
        Ok(expr)
    }
}

impl RowValues {
    /// Rewrites the conjuncts of a condition.
    fn conjuncts(&mut self, condition: &mut Expr) {
        match condition {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.conjuncts(left);
                self.conjuncts(right);
            }
            Expr::Nested(inner) => self.conjuncts(inner),
            condition => self.replace(condition, |comparison| {
                let equal = exists("{equal}");
                if comparison.negated { format!("NOT {}", exists("({equal}) IS NOT FALSE")) } else { equal }
            }),
        }
    }

    fn replace(&mut self, expr: &mut Expr, template: impl FnOnce(&Comparison) -> String) {
        let Some(comparison) = Comparison::of(expr) else { return };
        let template = template(&comparison);
        match comparison.expression(&template) {
            Ok(written) => *expr = Expr::Nested(Box::new(written)),
            Err(error) => self.failed = Some(error),
        }
    }
}

/// Replaces the placeholders of a template with the operands and the subquery.
struct Filling<'a>(&'a Comparison);

impl VisitorMut for Filling<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some(number) = name.value.strip_prefix(OPERAND).and_then(|number| number.parse::<usize>().ok())
            && let Some(operand) = self.0.operands.get(number.saturating_sub(1))
        {
            *expr = Expr::Nested(Box::new(operand.clone()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.to_string() == ROWS {
            *query = self.0.rows.clone();
        }
        ControlFlow::Continue(())
    }
}
