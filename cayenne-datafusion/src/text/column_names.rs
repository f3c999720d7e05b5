//! Names for columns that would have the name of another one.
//!
//! DataFusion refuses a `SELECT` with two columns of one name, and names `v::INT` as it names `v`. Where both are there, the
//! cast is named by its text; where one text stands twice, as in `SELECT a, a` and `SELECT 1, 1`, all but the first have
//! numbers, as in DuckDB: `a_1`. Conditions with subqueries are named by their texts where there are several.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, VisitorMut, visit_expressions};

use crate::text::exponents::each_part;
use crate::text::idents::name_of;

/// Names the columns of a statement that would have the name of another one.
pub(crate) fn give(statement: &mut Statement) {
    each_part(statement, &mut ColumnNames);
}

struct ColumnNames;

impl VisitorMut for ColumnNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_in(&mut query.body, true);
        ControlFlow::Continue(())
    }
}

fn name_in(body: &mut SetExpr, is_seen: bool) {
    match body {
        SetExpr::Select(select) => {
            number_repeated(select, is_seen);
            name_conditions(select);
            name_casts(select);
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_in(left, is_seen);
            // Its columns have the names of those on the left.
            name_in(right, false);
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

/// Names the conditions with subqueries by their texts, if there are several: each has the name `EXISTS (<subquery>)`.
fn name_conditions(select: &mut Select) {
    let conditions =
        select.projection.iter_mut().filter(|item| matches!(item, SelectItem::UnnamedExpr(expr) if has_subquery(expr)));
    for item in conditions.skip(1) {
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = Ident::with_quote('"', expr.to_string());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Numbers the columns of one text. Names that nobody sees are such that no other column has them.
fn number_repeated(select: &mut Select, is_seen: bool) {
    let mut names: HashSet<String> = select.projection.iter().filter_map(name_of_item).collect();
    let mut texts = HashSet::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let text = expr.to_string();
        if texts.insert(text.clone()) {
            continue;
        }
        let name = if is_seen { last_name(expr).unwrap_or(text) } else { "__cayenne_repeated".to_owned() };
        let numbered = (1..).map(|number: usize| format!("{name}_{number}"));
        let Some(name) = numbered.into_iter().find(|name| names.insert(name.clone())) else { continue };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
    }
}

fn name_of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => last_name(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some(name_of(alias)),
        _ => None,
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
