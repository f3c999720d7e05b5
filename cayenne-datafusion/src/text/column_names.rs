//! Names columns that would otherwise have the name of another column.
//!
//! DataFusion rejects a `SELECT` with two columns of one name, and gives `v::INT` the name of `v`. If both occur, the
//! cast is named by its text. If the same text occurs several times, as in `SELECT a, a` and `SELECT 1, 1`, all but the
//! first are numbered, as in DuckDB: `a_1`. If there are several conditions with subqueries, they are named by their
//! texts.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, VisitorMut, visit_expressions};

use crate::text::exponents::each_part;
use crate::text::idents::name_of;

/// Names the columns of a statement that would otherwise have the name of another column.
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
            // The columns of a set operation have the names of its left side.
            name_in(right, false);
        }
        // A nested query is visited by itself.
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

/// Names conditions with subqueries by their texts if there are several, because DataFusion names each `EXISTS
/// (<subquery>)`.
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

/// Numbers columns with the same text. Columns whose names are not visible get a name that no other column has.
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

/// Returns the name of a column without its table.
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
