//! Names for columns that would have the name of another one.
//!
//! DataFusion refuses a `SELECT` with two columns of one name, and names `v::INT` as it names `v`. Where both are there, the
//! cast is named by its text; where one text stands twice, as in `SELECT a, a` and `SELECT 1, 1`, all but the first have
//! numbers, as in DuckDB: `a_1`.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, VisitorMut};

use crate::exponents::each_part;
use crate::on_conflict::name_of;

/// Names the columns of a statement that would have the name of another one.
pub(crate) fn give(statement: &mut Statement) {
    each_part(statement, &mut ColumnNames);
}

struct ColumnNames;

impl VisitorMut for ColumnNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_in(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn name_in(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            name_casts(select);
            number_repeated(select);
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_in(left);
            name_in(right);
        }
        // A query of its own, which is visited.
        _ => {}
    }
}

fn name_casts(select: &mut Select) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    let mut has_all = false;
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => *uses.entry(below_casts(expr).to_string()).or_default() += 1,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => has_all = true,
            _ => {}
        }
    }
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr @ Expr::Cast { .. }) = item else { continue };
        let cast = below_casts(expr);
        let is_column = matches!(cast, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if uses.get(&cast.to_string()).is_some_and(|uses| *uses > 1) || (has_all && is_column) {
            let alias = Ident::with_quote('"', expr.to_string());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

fn number_repeated(select: &mut Select) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let text = expr.to_string();
        let before = uses.entry(text.clone()).or_default();
        *before += 1;
        if *before > 1 {
            let name = last_name(expr).unwrap_or(text);
            let alias = Ident::with_quote('"', format!("{name}_{}", *before - 1));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Returns the name of a column without that of its table.
fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name_of(name)),
        Expr::CompoundIdentifier(names) => names.last().map(name_of),
        _ => None,
    }
}

fn below_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => below_casts(expr),
        expr => expr,
    }
}
