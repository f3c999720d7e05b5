//! The domain of a correlated subquery, and the subquery joined with it.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullEquality, not_impl_err};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, ExprSchemable, FetchType, Filter, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, Projection, SkipType, Sort, SubqueryAlias, Union, Window, binary_expr, lit, when,
};

use super::apply::join;
use super::simple::is_correlated;
use crate::project::project;

/// The distinct values of the outer columns that a subquery names. The module `apply` explains it.
pub(super) struct Domain {
    plan: LogicalPlan,
    columns: Vec<OuterColumn>,
}

#[derive(Clone)]
struct OuterColumn {
    /// The column as the subquery names it.
    reference: Expr,
    /// The column as the outer plan names it.
    column: Column,
    /// The name of the column in the domain. It is unique in the plan.
    name: String,
}

impl Domain {
    /// Returns the domain of a subquery in a plan; `None` if the subquery names columns that the plan does not have.
    pub(super) fn of(outer: &LogicalPlan, subquery: &LogicalPlan, names: &AliasGenerator) -> Result<Option<Self>> {
        let mut columns = Vec::new();
        for reference in subquery.all_out_ref_exprs() {
            let Expr::OuterReferenceColumn(_, column) = &reference else { continue };
            if !outer.schema().has_column(column) {
                return Ok(None);
            }
            let column = column.clone();
            columns.push(OuterColumn { reference, column, name: names.next("__cayenne_outer") });
        }
        let values = columns.iter().map(|outer| Expr::Column(outer.column.clone()).alias(&outer.name));
        let plan = LogicalPlanBuilder::from(outer.clone()).project(values)?.distinct()?.build()?;
        Ok(Some(Self { plan, columns }))
    }

    /// Returns the columns of the domain as the subquery names them.
    pub(super) fn outer_columns(&self) -> impl Iterator<Item = Expr> + '_ {
        self.columns.iter().map(|outer| outer.reference.clone())
    }

    /// Returns the columns of the domain in a plan that carries them.
    pub(super) fn values(&self, plan: &LogicalPlan) -> Result<Vec<Expr>> {
        self.columns.iter().map(|outer| named(plan.schema(), &outer.name)).collect()
    }

    /// Pairs the outer columns with the domain's columns in a plan that carries them.
    pub(super) fn keys(&self, plan: &LogicalPlan) -> Result<Vec<(Expr, Expr)>> {
        let outer = self.columns.iter().map(|outer| Expr::Column(outer.column.clone()));
        Ok(outer.zip(self.values(plan)?).collect())
    }

    /// Joins a subquery with the domain: returns its rows for each value of the domain, with the domain's columns last.
    ///
    /// # Errors
    ///
    /// `NotImplemented` if the subquery has a node that is not supported.
    pub(super) fn joined(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if !is_correlated(plan) {
            return LogicalPlanBuilder::from(plan.clone()).cross_join(self.plan.clone())?.build();
        }
        match plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let input = self.joined(&filter.input)?;
                let predicate = self.resolved(filter.predicate.clone(), &input)?;
                Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Arc::new(self.joined(&alias.input)?);
                Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias.clone())?))
            }
            LogicalPlan::Subquery(subquery) => self.joined(&subquery.subquery),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                LogicalPlanBuilder::from(self.joined(input)?).distinct()?.build()
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.joined(&sort.input),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => self.total(aggregate),
            LogicalPlan::Aggregate(aggregate) => self.groups(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            plan => not_impl_err!("a correlated subquery with {}", plan.display()),
        }
    }

    /// Replaces the outer columns of an expression with the domain's columns.
    fn resolved(&self, expr: Expr, input: &LogicalPlan) -> Result<Expr> {
        let resolved = expr.transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => match self.columns.iter().find(|outer| outer.column == *column) {
                Some(outer) => Ok(Transformed::yes(named(input.schema(), &outer.name)?)),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(resolved.data)
    }

    fn resolved_all(&self, exprs: &[Expr], input: &LogicalPlan) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let resolved = |expr: &Expr| Ok(names.save(expr).restore(self.resolved(expr.clone(), input)?));
        exprs.iter().map(resolved).collect()
    }

    /// Projects a plan to the given columns of the original plan, followed by the domain's columns.
    fn with_values(&self, columns: Vec<Expr>, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut columns = columns;
        columns.extend(self.values(&plan)?);
        project(columns, plan)
    }

    fn projection(&self, projection: &Projection) -> Result<LogicalPlan> {
        let input = self.joined(&projection.input)?;
        self.with_values(self.resolved_all(&projection.expr, &input)?, input)
    }

    /// Applies a limit for each value of the domain: numbers the rows of each value, and keeps those within the limit.
    fn limit(&self, limit: &Limit) -> Result<LogicalPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return not_impl_err!("a correlated subquery with a limit that is not a number");
        };
        let (input, order) = match limit.input.as_ref() {
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) => (self.joined(input)?, expr.as_slice()),
            input => (self.joined(input)?, [].as_slice()),
        };
        let resolved = |sort: &SortExpr| Ok(sort.with_expr(self.resolved(sort.expr.clone(), &input)?));
        let order = order.iter().map(resolved).collect::<Result<Vec<_>>>()?;
        let name = format!("{}_row", self.columns.first().map_or("", |outer| outer.name.as_str()));
        let number = row_number().partition_by(self.values(&input)?).order_by(order).build()?.alias(&name);
        let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
        let numbered = LogicalPlanBuilder::from(input).window([number])?.build()?;
        let number = named(numbered.schema(), &name)?;
        let (skip, fetch) = (skip as u64, fetch.map(|fetch| fetch as u64));
        let kept = fetch.map(|fetch| number.clone().lt_eq(lit(skip.saturating_add(fetch))));
        let kept = kept.into_iter().fold(number.gt(lit(skip)), Expr::and);
        project(columns, LogicalPlanBuilder::from(numbered).filter(kept)?.build()?)
    }

    fn groups(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return not_impl_err!("a correlated subquery with grouping sets");
        }
        let input = self.joined(&aggregate.input)?;
        let groups = self.with_domain(self.resolved_all(&aggregate.group_expr, &input)?, &input)?;
        let aggregates = self.resolved_all(&aggregate.aggr_expr, &input)?;
        let plan = LogicalPlanBuilder::from(input).aggregate(groups, aggregates)?.build()?;
        let columns = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
        self.with_values(columns, plan)
    }

    fn with_domain(&self, exprs: Vec<Expr>, input: &LogicalPlan) -> Result<Vec<Expr>> {
        let mut exprs = exprs;
        exprs.extend(self.values(input)?);
        Ok(exprs)
    }

    /// Joins an aggregation without groups. It has one row for each value of the domain, even where no row is
    /// aggregated.
    fn total(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let input = self.joined(&aggregate.input)?;
        let groups = self.values(&input)?;
        let aggregates = self.resolved_all(&aggregate.aggr_expr, &input)?;
        let found = LogicalPlanBuilder::from(input).aggregate(groups, aggregates)?.build()?;
        let all = self.renamed("_all")?;
        let on = all.columns.iter().map(|outer| named(all.plan.schema(), &outer.name));
        let on = on.zip(self.values(&found)?).map(|(left, right)| Ok((left?, right))).collect::<Result<Vec<_>>>()?;
        let marker = format!("{}_found", self.columns.first().map_or("", |outer| outer.name.as_str()));
        let mut columns: Vec<_> = found.schema().columns().into_iter().map(Expr::Column).collect();
        columns.push(lit(true).alias(&marker));
        let found = project(columns, found)?;
        let joined = join(all.plan.clone(), found, on, None, JoinType::Left)?;
        let is_missing = named(joined.schema(), &marker)?.is_null();
        let mut columns = Vec::new();
        for (column, expr) in aggregate.schema.columns().into_iter().zip(&aggregate.aggr_expr) {
            columns.push(or_of_nothing(column, expr, &is_missing, &aggregate.input)?);
        }
        for (ours, all) in self.columns.iter().zip(&all.columns) {
            columns.push(named(joined.schema(), &all.name)?.alias(&ours.name));
        }
        project(columns, joined)
    }

    fn window(&self, window: &Window) -> Result<LogicalPlan> {
        let input = self.joined(&window.input)?;
        let values = self.values(&input)?;
        let by_domain = |expr: Expr| {
            expr.transform_up(|expr| match expr {
                Expr::WindowFunction(mut function) => {
                    function.params.partition_by.extend(values.iter().cloned());
                    Ok(Transformed::yes(Expr::WindowFunction(function)))
                }
                expr => Ok(Transformed::no(expr)),
            })
        };
        let mut functions = Vec::new();
        for expr in self.resolved_all(&window.window_expr, &input)? {
            let saved = NamePreserver::new_for_projection().save(&expr);
            functions.push(saved.restore(by_domain(expr)?.data));
        }
        let plan = LogicalPlanBuilder::from(input).window(functions)?.build()?;
        let columns = window.schema.columns().into_iter().map(Expr::Column).collect();
        self.with_values(columns, plan)
    }

    fn union(&self, union: &Union) -> Result<LogicalPlan> {
        let joined = |input: &Arc<LogicalPlan>| Ok(Arc::new(self.joined(input)?));
        let inputs = union.inputs.iter().map(joined).collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let renamed = plan.schema().columns().into_iter().zip(union.schema.columns());
        let columns =
            renamed.map(|(from, to)| Expr::Column(from).alias_qualified(to.relation, to.name)).collect::<Vec<_>>();
        self.with_values(columns, plan)
    }

    fn join(&self, node: &Join) -> Result<LogicalPlan> {
        if node.join_type == JoinType::Full || node.null_aware {
            return not_impl_err!("a correlated subquery with a full join, or with NOT IN");
        }
        // The preserved side must carry the domain; the other side carries it only if it names outer columns.
        let right_is_kept =
            matches!(node.join_type, JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
                || (node.join_type == JoinType::Inner && !is_correlated(&node.left));
        let other = self.renamed("_other")?;
        let (left_domain, right_domain) = if right_is_kept { (&other, self) } else { (self, &other) };
        let side = |domain: &Self, plan: &Arc<LogicalPlan>, is_kept: bool| {
            if is_kept || is_correlated(plan) { domain.joined(plan) } else { Ok(plan.as_ref().clone()) }
        };
        let left = side(left_domain, &node.left, !right_is_kept)?;
        let right = side(right_domain, &node.right, right_is_kept)?;
        let mut on = Vec::new();
        if is_correlated(if right_is_kept { &node.left } else { &node.right }) {
            on.extend(left_domain.values(&left)?.into_iter().zip(right_domain.values(&right)?));
        }
        let kept = if right_is_kept { &right } else { &left };
        let conditions =
            conditions(node).map(|condition| self.resolved(condition, kept)).collect::<Result<Vec<_>>>()?;
        let joined = join(left, right, on, conjunction(conditions), node.join_type)?;
        self.with_values(node.schema.columns().into_iter().map(Expr::Column).collect(), joined)
    }

    /// Returns the same domain with other column names.
    fn renamed(&self, suffix: &str) -> Result<Self> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|outer| OuterColumn { name: format!("{}{suffix}", outer.name), ..outer.clone() })
            .collect();
        let renamed = self.values(&self.plan)?.into_iter().zip(&columns).map(|(value, to)| value.alias(&to.name));
        let plan = project(renamed.collect(), self.plan.clone())?;
        Ok(Self { plan, columns })
    }
}

/// Returns the conditions of a join, including the equalities of its keys.
fn conditions(node: &Join) -> impl Iterator<Item = Expr> + '_ {
    let operator = match node.null_equality {
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        NullEquality::NullEqualsNothing => Operator::Eq,
    };
    let keys = node.on.iter().map(move |(left, right)| binary_expr(left.clone(), operator, right.clone()));
    keys.chain(node.filter.clone())
}

/// Returns the column with this name, whatever its qualifier.
fn named(schema: &DFSchema, name: &str) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(Column::from((qualifier, field))))
}

/// Returns the value of an aggregate; where its group is missing, the aggregate's value for no rows.
fn or_of_nothing(column: Column, expr: &Expr, is_missing: &Expr, input: &LogicalPlan) -> Result<Expr> {
    let value = Expr::Column(column.clone());
    let Expr::AggregateFunction(function) = expr.clone().unalias() else { return Ok(value) };
    let data_type = expr.get_type(input.schema())?;
    let nothing = function.func.default_value(&data_type)?;
    if nothing.is_null() {
        return Ok(value);
    }
    let filled = when(is_missing.clone(), Expr::Literal(nothing, None)).otherwise(value)?;
    Ok(filled.alias_qualified(column.relation, column.name))
}
