//! The columns of `RIGHT` and `FULL JOIN … USING (k)`, and of every `USING` in a subquery.
//!
//! In SQL, `k` is then the column of whichever table has a row. DataFusion takes the left column, which is NULL where
//! only the right table has a row (apache/datafusion 22881). In a subquery it may take `k` for a column of the outer
//! query. Here such a join is rewritten with `ON`, and `k` is rewritten as `coalesce(a.k, b.k)`, also where `*` stands
//! for it. The columns of `NATURAL` joins are not known yet, so outer `NATURAL` joins that would be wrong are rejected.

use std::ops::ControlFlow;

use cayenne_format::Error;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::external;
use crate::text::exponents::each_part;
use crate::text::idents::name_of as name_of_ident;

/// Rewrites the joins with `USING` that DataFusion would misinterpret.
///
/// # Errors
///
/// `Unsupported` for a `NATURAL RIGHT` or `FULL JOIN`, and for a `RIGHT` or `FULL JOIN` with `USING` in parentheses.
pub(crate) fn write_out(statement: &mut Statement) -> Result<()> {
    let mut joins = UsingColumns::default();
    each_part(statement, &mut joins);
    if joins.is_refused {
        return Err(external(
            Error::unsupported("the common columns of this join cannot be determined")
                .code("unsupported-sql")
                .with("clause", "NATURAL, or USING in parentheses, of a RIGHT or FULL JOIN")
                .help("write USING with the names of the columns, and no parentheses around the join"),
        ));
    }
    Ok(())
}

#[derive(Default)]
struct UsingColumns {
    /// Number of subqueries around the query that is being visited.
    subqueries: usize,
    is_refused: bool,
}

impl VisitorMut for UsingColumns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.subqueries += usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.subqueries -= usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.subqueries += usize::from(is_lateral(factor));
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.is_refused |= table_with_joins.joins.iter().any(|join| is_natural(join) || is_using(join, false));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.subqueries -= usize::from(is_lateral(factor));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Query { body, order_by, .. } = query;
        let SetExpr::Select(select) = body.as_mut() else {
            self.each_side(body);
            return ControlFlow::Continue(());
        };
        let Some(joined) = self.written_out(select) else { return ControlFlow::Continue(()) };
        // A name in ORDER BY refers to an output column first.
        let is_output = |name: &Ident| {
            select.projection.iter().any(|item| output_name(item).is_some_and(|output| is_same(output, name)))
        };
        if let Some(order) = order_by
            && let OrderByKind::Expressions(keys) = &mut order.kind
        {
            for key in keys {
                if !matches!(&key.expr, Expr::Identifier(name) if is_output(name)) {
                    joined.resolve(&mut key.expr);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl UsingColumns {
    /// Rewrites the joins in both sides of a set operation.
    fn each_side(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => drop(self.written_out(select)),
            SetExpr::SetOperation { left, right, .. } => {
                self.each_side(left);
                self.each_side(right);
            }
            // A nested query is visited by itself.
            _ => {}
        }
    }

    fn written_out(&mut self, select: &mut Select) -> Option<Joined> {
        self.is_refused |= select.from.iter().flat_map(|from| &from.joins).any(is_natural);
        written_out(select, self.subqueries > 0)
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: true, .. })
}

fn is_natural(join: &Join) -> bool {
    matches!(
        join.join_operator,
        JoinOperator::Right(JoinConstraint::Natural)
            | JoinOperator::RightOuter(JoinConstraint::Natural)
            | JoinOperator::FullOuter(JoinConstraint::Natural)
    )
}

/// Says whether a join has `USING` and keeps rows of the right side without a left row, or just has `USING` if `any`.
fn is_using(join: &Join, any: bool) -> bool {
    match &join.join_operator {
        JoinOperator::Right(JoinConstraint::Using(_))
        | JoinOperator::RightOuter(JoinConstraint::Using(_))
        | JoinOperator::FullOuter(JoinConstraint::Using(_)) => true,
        JoinOperator::Join(JoinConstraint::Using(_))
        | JoinOperator::Inner(JoinConstraint::Using(_))
        | JoinOperator::Left(JoinConstraint::Using(_))
        | JoinOperator::LeftOuter(JoinConstraint::Using(_)) => any,
        _ => false,
    }
}

fn output_name(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias),
        _ => None,
    }
}

/// The relations of a `FROM`, and the expressions of their common columns.
#[derive(Default)]
struct Joined {
    relations: Vec<Relation>,
    columns: Vec<(Ident, Expr)>,
}

struct Relation {
    name: Vec<Ident>,
    common: Vec<Ident>,
}

/// Rewrites the `FROM` of a `SELECT` if it has an outer join with `USING` that keeps the right side, or, with `all`,
/// any join with `USING`. Returns `None` if there is no such join, or if a table has no name.
fn written_out(select: &mut Select, all: bool) -> Option<Joined> {
    let [from] = select.from.as_mut_slice() else { return None };
    let has_options = |item: &SelectItem| match item {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            *options != WildcardAdditionalOptions::default()
        }
        _ => false,
    };
    let all = all && !select.projection.iter().any(has_options);
    let is_wanted = |join: &Join| is_using(join, all);
    if !from.joins.iter().any(is_wanted) {
        return None;
    }
    let mut rewritten = from.clone();
    let joined = Joined::of(&mut rewritten)?;
    *from = rewritten;
    joined.resolve_in(select);
    Some(joined)
}

impl Joined {
    /// Rewrites all joins with `ON`.
    fn of(from: &mut TableWithJoins) -> Option<Self> {
        let mut joined = Self::default();
        joined.relations.push(Relation { name: name_of(&from.relation)?, common: Vec::new() });
        for join in &mut from.joins {
            let right = name_of(&join.relation)?;
            let (constraint, keeps_right, keeps_left) = match &mut join.join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::CrossJoin(constraint) => (constraint, true, true),
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, false, true),
                JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (constraint, true, false),
                JoinOperator::FullOuter(constraint) => (constraint, false, false),
                _ => return None,
            };
            let mut common = Vec::new();
            match constraint {
                JoinConstraint::Using(names) => {
                    let mut conditions = Vec::new();
                    for name in std::mem::take(names) {
                        let name = single(&name)?;
                        let left = joined.left(&name)?;
                        let right = column(&right, &name);
                        conditions.push(equal(left.clone(), right.clone()));
                        let merged = match (keeps_left, keeps_right) {
                            (true, _) => left,
                            (false, true) => right,
                            (false, false) => coalesce(&left, &right)?,
                        };
                        joined.columns.retain(|(known, _)| !is_same(known, &name));
                        joined.columns.push((name.clone(), merged));
                        common.push(name);
                    }
                    *constraint = JoinConstraint::On(conditions.into_iter().reduce(and)?);
                }
                JoinConstraint::Natural => return None,
                JoinConstraint::On(condition) => joined.resolve(condition),
                JoinConstraint::None => {}
            }
            for relation in &mut joined.relations {
                let known = std::mem::take(&mut relation.common);
                let new = common
                    .iter()
                    .filter(|name| !known.iter().any(|known| is_same(known, name)))
                    .cloned()
                    .collect::<Vec<_>>();
                relation.common = known.into_iter().chain(new).collect();
            }
            joined.relations.push(Relation { name: right, common });
        }
        Some(joined)
    }

    /// Returns the expression of a column in the tables so far; `None` if several tables may have it.
    fn left(&self, name: &Ident) -> Option<Expr> {
        match (self.columns.iter().find(|(known, _)| is_same(known, name)), self.relations.as_slice()) {
            (Some((_, merged)), _) => Some(merged.clone()),
            (None, [only]) => Some(column(&only.name, name)),
            (None, _) => None,
        }
    }

    fn resolve_in(&self, select: &mut Select) {
        let items = std::mem::take(&mut select.projection);
        select.projection = items.into_iter().flat_map(|item| self.resolved_item(item)).collect();
        let mut resolver = Resolver { joined: self, depth: 0 };
        let _done = select.distinct.visit(&mut resolver);
        let _done = select.selection.visit(&mut resolver);
        let _done = select.group_by.visit(&mut resolver);
        let _done = select.having.visit(&mut resolver);
        let _done = select.qualify.visit(&mut resolver);
        let _done = select.named_window.visit(&mut resolver);
    }

    fn resolved_item(&self, item: SelectItem) -> Vec<SelectItem> {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                match self.columns.iter().find(|(known, _)| is_same(known, &name)) {
                    Some((_, merged)) => vec![SelectItem::ExprWithAlias { expr: merged.clone(), alias: name }],
                    None => vec![SelectItem::UnnamedExpr(Expr::Identifier(name))],
                }
            }
            SelectItem::Wildcard(options) if options == WildcardAdditionalOptions::default() => self.all(),
            mut item => {
                let _done = item.visit(&mut Resolver { joined: self, depth: 0 });
                vec![item]
            }
        }
    }

    /// Expands `*`: the common columns once, and the other columns of each table.
    fn all(&self) -> Vec<SelectItem> {
        let merged =
            |(name, expr): &(Ident, Expr)| SelectItem::ExprWithAlias { expr: expr.clone(), alias: name.clone() };
        let rest = |relation: &Relation| {
            let mut options = WildcardAdditionalOptions::default();
            let excluded = |name: &Ident| ObjectName::from(vec![Ident::with_quote('"', name_of_ident(name))]);
            let common: Vec<_> = relation.common.iter().map(excluded).collect();
            options.opt_exclude = (!common.is_empty()).then_some(ExcludeSelectItem::Multiple(common));
            let name = ObjectName::from(relation.name.clone());
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
        };
        self.columns.iter().map(merged).chain(self.relations.iter().map(rest)).collect()
    }

    fn resolve(&self, expr: &mut Expr) {
        let _done = expr.visit(&mut Resolver { joined: self, depth: 0 });
    }
}

/// Replaces the names of common columns with their expressions, except inside queries, which have names of their own.
struct Resolver<'a> {
    joined: &'a Joined,
    depth: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some((_, merged)) = self.joined.columns.iter().find(|(known, _)| is_same(known, name))
        {
            *expr = merged.clone();
        }
        ControlFlow::Continue(())
    }
}

fn name_of(factor: &TableFactor) -> Option<Vec<Ident>> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(vec![alias.name.clone()])
        }
        TableFactor::Table { name, alias: None, args: None, .. } => {
            name.0.iter().map(|part| part.as_ident().cloned()).collect()
        }
        _ => None,
    }
}

/// Says whether two names are equal to the planner.
fn is_same(name: &Ident, other: &Ident) -> bool {
    name_of_ident(name) == name_of_ident(other)
}

fn single(name: &ObjectName) -> Option<Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned(),
        _ => None,
    }
}

fn column(relation: &[Ident], name: &Ident) -> Expr {
    Expr::CompoundIdentifier(relation.iter().chain([name]).cloned().collect())
}

fn equal(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right: Box::new(right) }
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

fn coalesce(left: &Expr, right: &Expr) -> Option<Expr> {
    let text = format!("coalesce({left}, {right})");
    Parser::new(&GenericDialect {}).try_with_sql(&text).ok()?.parse_expr().ok()
}
