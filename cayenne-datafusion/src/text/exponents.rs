//! Makes floats of numbers with an exponent, as in the SQL standard, even if numbers with a decimal point are decimals.
//!
//! With `datafusion.sql_parser.parse_float_as_decimal` DataFusion parses `1e3` as a decimal too, and rejects `1e300`.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Value, VisitMut, VisitorMut};

/// Turns the numbers with an exponent in a statement into floats.
pub(crate) fn as_floats(statement: &mut Statement) {
    each_part(statement, &mut Exponents);
}

/// Visits the parts of a statement that have a syntax tree of SQL.
pub(crate) fn each_part<V: VisitorMut<Break = ()>>(statement: &mut Statement, visitor: &mut V) {
    // The visitors never stop early.
    let _done = match statement {
        Statement::Statement(statement) => statement.visit(visitor),
        Statement::Explain(explain) => {
            each_part(&mut explain.statement, visitor);
            ControlFlow::Continue(())
        }
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
}

struct Exponents;

impl VisitorMut for Exponents {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Number(digits, _) = &value.value
            && digits.contains(['e', 'E'])
        {
            let digits = Expr::Value(Value::SingleQuotedString(digits.replace('_', "")).into());
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(digits),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}
