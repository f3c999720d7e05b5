//! `IN` lists that DataFusion must not merge.
//!
//! DataFusion's rule `simplify_expressions` treats two lists for one operand as sets: `a IN (1, 2) AND a IN (3)`
//! becomes `false`, and `a NOT IN (1) OR a NOT IN (2)` becomes `true`, although both are NULL if `a` is. It merges
//! nulls and elements that are not constants as if each were equal to itself only.
//!
//! Merging is correct only for `IN` lists joined by OR and for `NOT IN` lists joined by AND, because it then only
//! unites their elements. Such lists form a group. Where lists of several groups stand side by side for one operand,
//! each of these operands is wrapped in an identity function that differs from group to group. The rule then sees
//! different operands. Afterwards the function is removed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};
use datafusion::optimizer::OptimizerConfig;

use super::around::Rule;

/// Runs a rule while lists that must not be merged have different operands.
pub(super) fn run(rule: &Rule, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let apart = plan.map_expressions(|expr| match Groups::of(&expr).shown() {
        Some(shown) => Ok(Transformed::yes(wrapped(expr, &mut shown.into_iter())?.data)),
        None => Ok(Transformed::no(expr)),
    })?;
    if !apart.transformed {
        return rule.rewrite(apart.data, config);
    }
    rule.rewrite(apart.data, config)?.transform_data(|plan| plan.map_expressions(together))
}

/// Removes the function that keeps lists apart.
fn together(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.inner().is::<Apart>()
                && func.signature().volatility == Volatility::Immutable
                && args.len() == 1 =>
        {
            Ok(Transformed::yes(args.remove(0)))
        }
        expr => Ok(Transformed::no(expr)),
    })
}

/// A group of lists that may be merged, because this unites their elements.
type Group = usize;

/// The operator that joins two conditions once `NOT` is pushed down to the leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    And,
    Or,
}

impl Joint {
    fn of(op: Operator, negated: bool) -> Option<Self> {
        match (op, negated) {
            (Operator::And, false) | (Operator::Or, true) => Some(Self::And),
            (Operator::Or, false) | (Operator::And, true) => Some(Self::Or),
            _ => None,
        }
    }
}

/// An expression to visit.
struct Visit<'e> {
    expr: &'e Expr,
    /// Whether it is below an odd number of `NOT`s.
    negated: bool,
    /// The cluster that it is a child of.
    within: Option<usize>,
}

/// Conditions joined by the same operator, directly or through a chain of it.
struct Cluster<'e> {
    joint: Joint,
    /// The group of the lists that may be merged in this cluster.
    group: Group,
    parent: Option<usize>,
    /// The operands and groups of the children that are lists or may become one.
    lists: Vec<(&'e Expr, Group)>,
    /// Whether it has other children, so that it cannot become a list itself.
    has_others: bool,
}

/// The lists of an expression, in the order in which they are visited.
#[derive(Default)]
struct Groups<'e> {
    members: Vec<(&'e Expr, Group)>,
    /// The clusters; a parent comes before its children.
    clusters: Vec<Cluster<'e>>,
    last: Group,
}

impl<'e> Groups<'e> {
    fn of(expr: &'e Expr) -> Self {
        let mut groups = Self::default();
        // A statement may have thousands of conditions in a chain, each below the next. Recursion could overflow the
        // stack.
        let mut visits = vec![Visit { expr, negated: false, within: None }];
        while let Some(visit) = visits.pop() {
            let children = visits.len();
            groups.visit(&visit, &mut visits);
            if let Some(children) = visits.get_mut(children..) {
                children.reverse();
            }
        }
        groups
    }

    fn next(&mut self) -> Group {
        self.last += 1;
        self.last
    }

    /// Visits an expression, and adds its children to `visits`.
    fn visit(&mut self, &Visit { expr, negated, within }: &Visit<'e>, visits: &mut Vec<Visit<'e>>) {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if let Some(joint) = Joint::of(*op, negated) => {
                let within = Some(self.cluster(joint, within));
                visits.extend([left, right].map(|expr| Visit { expr, negated, within }));
            }
            Expr::Not(expr) => visits.push(Visit { expr, negated: !negated, within }),
            Expr::Literal(..) => {}
            Expr::InList(list) => {
                self.member(below_casts(&list.expr), list.negated != negated, within);
                add_children(expr, visits);
            }
            expr => {
                if let Some(operand) = one_value(expr) {
                    self.member(below_casts(operand), negated, within);
                } else {
                    self.other(within);
                    add_children(expr, visits);
                }
            }
        }
    }

    /// Returns the cluster for the operands of an operator.
    fn cluster(&mut self, joint: Joint, parent: Option<usize>) -> usize {
        match parent.and_then(|parent| Some((parent, self.clusters.get(parent)?))) {
            Some((parent, cluster)) if cluster.joint == joint => parent,
            _ => {
                let group = self.next();
                self.clusters.push(Cluster { joint, group, parent, lists: Vec::new(), has_others: false });
                self.clusters.len() - 1
            }
        }
    }

    fn member(&mut self, operand: &'e Expr, negated: bool, within: Option<usize>) {
        let mergeable = if negated { Joint::And } else { Joint::Or };
        let fresh = self.next();
        let group = match within.and_then(|within| self.clusters.get_mut(within)) {
            Some(cluster) => {
                let group = if cluster.joint == mergeable { cluster.group } else { fresh };
                cluster.lists.push((operand, group));
                group
            }
            None => fresh,
        };
        self.members.push((operand, group));
    }

    fn other(&mut self, within: Option<usize>) {
        if let Some(cluster) = within.and_then(|within| self.clusters.get_mut(within)) {
            cluster.has_others = true;
        }
    }

    /// Returns the operands for which lists of several groups stand side by side.
    fn merged(&mut self) -> HashSet<&'e Expr> {
        let mut merged = HashSet::new();
        // Inner clusters come first, because an outer cluster may get a list from each.
        for index in (0..self.clusters.len()).rev() {
            let Some(cluster) = self.clusters.get(index) else { continue };
            let (parent, group) = (cluster.parent, cluster.group);
            let mut groups: HashMap<&Expr, Group> = HashMap::new();
            for &(operand, group) in &cluster.lists {
                if *groups.entry(operand).or_insert(group) != group {
                    merged.insert(operand);
                }
            }
            let becomes = match (cluster.has_others, cluster.lists.first()) {
                (false, Some(&(operand, _))) if groups.len() == 1 => Some(operand),
                _ => None,
            };
            match (becomes, parent.and_then(|parent| self.clusters.get_mut(parent))) {
                (Some(operand), Some(parent)) => parent.lists.push((operand, group)),
                (None, Some(parent)) => parent.has_others = true,
                (_, None) => {}
            }
        }
        merged
    }

    /// Returns, for each member in order, the group that its operand must show, if any; `None` if no operand must show
    /// one.
    fn shown(mut self) -> Option<Vec<Option<Group>>> {
        if self.members.len() < 2 {
            return None;
        }
        let merged = self.merged();
        let shows = |(operand, group): (&'e Expr, Group)| merged.contains(operand).then_some(group);
        (!merged.is_empty()).then(|| self.members.into_iter().map(shows).collect())
    }
}

/// Adds the children of an expression. Conditions inside other expressions are separate trees.
fn add_children<'e>(expr: &'e Expr, visits: &mut Vec<Visit<'e>>) {
    let added = expr.apply_children(|expr| {
        visits.push(Visit { expr, negated: false, within: None });
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(added.is_ok(), "nothing can fail");
}

/// Returns the column of `column = constant`, possibly cast. DataFusion treats it as a list of one element.
fn one_value(expr: &Expr) -> Option<&Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    let is_column = |expr: &Expr| matches!(below_casts(expr), Expr::Column(_));
    let is_constant = |expr: &Expr| !expr.any_column_refs() && !expr.contains_outer();
    match (left.as_ref(), right.as_ref()) {
        (column, constant) if is_column(column) && is_constant(constant) => Some(column),
        (constant, column) if is_column(column) && is_constant(constant) => Some(column),
        _ => None,
    }
}

/// Returns an expression without its casts. DataFusion removes a cast from a column by casting the constants instead.
fn below_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => below_casts(expr),
        expr => expr,
    }
}

/// Wraps the operands of an expression, in the order in which [`Groups::of`] visits them.
fn wrapped(expr: Expr, shown: &mut impl Iterator<Item = Option<Group>>) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| match expr {
        Expr::InList(InList { expr, list, negated }) => {
            let operand = below_casts(&expr).clone();
            let expr = Box::new(showing(*expr, &operand, shown.next().flatten())?);
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        expr => match one_value(&expr).map(|column| below_casts(column).clone()) {
            Some(column) => {
                let expr = showing(expr, &column, shown.next().flatten())?;
                Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
            }
            None => Ok(Transformed::no(expr)),
        },
    })
}

/// Wraps every occurrence of an operand in an expression.
fn showing(expr: Expr, operand: &Expr, group: Option<Group>) -> Result<Expr> {
    let Some(group) = group else { return Ok(expr) };
    let wrapped = expr.transform_down(|expr| {
        if expr != *operand {
            return Ok(Transformed::no(expr));
        }
        Ok(Transformed::new(Apart::call(expr, group), true, TreeNodeRecursion::Jump))
    })?;
    Ok(wrapped.data)
}

/// A function that returns its first argument, or NULL if it has none.
///
/// In a plan it is displayed as its argument, so that a column keeps its name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Apart {
    group: Group,
    signature: Signature,
}

impl Apart {
    fn call(operand: Expr, group: Group) -> Expr {
        Self::of(vec![operand], group, Volatility::Immutable)
    }

    /// Wraps an expression so that the optimizer knows nothing of its value.
    pub(super) fn hiding(operand: Expr) -> Expr {
        // The optimizer treats a function of constants as a constant even if it is volatile, but not one without
        // arguments.
        let unknown = Self::of(Vec::new(), 0, Volatility::Volatile);
        Self::of(vec![operand, unknown], 0, Volatility::Volatile)
    }

    /// Says whether an expression was wrapped by [`Apart::hiding`].
    pub(super) fn hides(expr: &Expr) -> bool {
        match expr {
            Expr::Alias(alias) => Self::hides(&alias.expr),
            Expr::ScalarFunction(function) => {
                function.func.inner().is::<Self>() && function.func.signature().volatility == Volatility::Volatile
            }
            _ => false,
        }
    }

    fn of(args: Vec<Expr>, group: Group, volatility: Volatility) -> Expr {
        let signature =
            if args.is_empty() { Signature::nullary(volatility) } else { Signature::any(args.len(), volatility) };
        let function = Arc::new(ScalarUDF::new_from_impl(Self { group, signature }));
        Expr::ScalarFunction(ScalarFunction { func: function, args })
    }
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &'static str {
        "cayenne_apart"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(ToString::to_string).unwrap_or_default())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let unknown = || Arc::new(arrow_schema::Field::new(self.name(), DataType::Null, true));
        Ok(args.arg_fields.first().cloned().unwrap_or_else(unknown))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let null = ColumnarValue::Scalar(datafusion::common::ScalarValue::Null);
        Ok(args.args.into_iter().next().unwrap_or(null))
    }
}
