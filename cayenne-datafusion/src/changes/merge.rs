//! `MERGE INTO` as a join of the table with its source.
//!
//! An expression of a clause must be evaluated only for the rows to which the clause applies, so that a division by
//! zero in it cannot fail for other rows. The clause is therefore chosen by nested `CASE`s above the join, from where
//! no predicate is pushed down.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind, MergeIntoOp};
use datafusion::logical_expr::{Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::scalar::ScalarValue;

use crate::changes::change::{Change, Verb};
use crate::changes::target::Target;
use crate::project::project;
use crate::values::stored_text::cast;

/// Returns the query that finds the rows that a merge changes, and the kind of change.
pub(crate) fn found(
    target: &Target,
    name: &TableReference,
    source: LogicalPlan,
    merge: &MergeIntoOp,
) -> Result<(LogicalPlan, Change)> {
    let verbs: Arc<[Verb]> = merge.clauses.iter().map(|clause| verb(&clause.action)).collect();
    let writes = verbs.iter().any(|verb| *verb != Verb::Delete);
    let merged = Merged::of(target, name, &source);
    let joined = merged.join(target, source, merge)?;
    let mut columns: Vec<Expr> = joined.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(merged.clause_of(&merge.clauses)?.alias(&merged.clause));
    let chosen = project(columns, joined)?;
    let mut columns = if writes { merged.new_rows(target, &merge.clauses, chosen.schema())? } else { Vec::new() };
    columns.extend(target.identity_of(&chosen)?);
    columns.push(merged.clause());
    Ok((project(columns, chosen)?, Change::Merge { verbs, writes }))
}

fn verb(action: &MergeIntoAction) -> Verb {
    match action {
        MergeIntoAction::Insert { .. } => Verb::Insert,
        MergeIntoAction::Update(_) => Verb::Update,
        MergeIntoAction::Delete => Verb::Delete,
    }
}

/// The names that a merge uses.
struct Merged<'a> {
    /// The name of the table.
    name: &'a TableReference,
    /// The column with the position of the table's row; null in rows of the join without one.
    position: &'a str,
    /// A column that is true in rows of the join with a source row, and null in the others.
    from_source: String,
    /// The column with the number of the clause that applies; null if none applies.
    clause: String,
}

impl<'a> Merged<'a> {
    fn of(target: &'a Target, name: &'a TableReference, source: &LogicalPlan) -> Self {
        let free = |wanted: &str| {
            let is_taken = |name: &str| {
                source.schema().has_column_with_unqualified_name(name)
                    || target.identity.schema().field_with_name(name).is_ok()
            };
            let mut name = wanted.to_owned();
            while is_taken(&name) {
                name.push('_');
            }
            name
        };
        let position = &target.identity.position;
        Self { name, position, from_source: free("__cayenne_source"), clause: free("__cayenne_clause") }
    }

    fn clause(&self) -> Expr {
        Expr::Column(Column::from_name(&self.clause))
    }

    fn join(&self, target: &Target, source: LogicalPlan, merge: &MergeIntoOp) -> Result<LogicalPlan> {
        let mut columns: Vec<Expr> = source.schema().columns().into_iter().map(Expr::Column).collect();
        columns.push(lit(true).alias(&self.from_source));
        let source = project(columns, source)?;
        let table = LogicalPlan::TableScan(target.scan(self.name.clone()).build()?);
        let has = |kinds: &[MergeIntoClauseKind]| merge.clauses.iter().any(|clause| kinds.contains(&clause.kind));
        let without_row = has(&[MergeIntoClauseKind::NotMatched, MergeIntoClauseKind::NotMatchedByTarget]);
        let join_type = match (without_row, has(&[MergeIntoClauseKind::NotMatchedBySource])) {
            (false, false) => JoinType::Inner,
            (true, false) => JoinType::Left,
            (false, true) => JoinType::Right,
            (true, true) => JoinType::Full,
        };
        LogicalPlanBuilder::from(source).join_on(table, join_type, [merge.on.clone()])?.build()
    }

    /// Returns the number of the first clause that applies, or null if none applies.
    fn clause_of(&self, clauses: &[MergeIntoClause]) -> Result<Expr> {
        let numbered: Vec<(&MergeIntoClause, i32)> = clauses.iter().zip(0..).collect();
        let first_of = |kinds: &[MergeIntoClauseKind]| {
            let mut of_kind = numbered.iter().rev().filter(|(clause, _)| kinds.contains(&clause.kind));
            of_kind.try_fold(lit(ScalarValue::Int32(None)), |otherwise, (clause, number)| match &clause.predicate {
                None => Ok(lit(*number)),
                Some(predicate) => when(predicate.clone(), lit(*number)).otherwise(otherwise),
            })
        };
        let position = Expr::Column(Column::new(Some(self.name.clone()), self.position));
        let from_source = Expr::Column(Column::from_name(&self.from_source));
        let without_row = first_of(&[MergeIntoClauseKind::NotMatched, MergeIntoClauseKind::NotMatchedByTarget])?;
        when(position.is_null(), without_row)
            .when(from_source.is_null(), first_of(&[MergeIntoClauseKind::NotMatchedBySource])?)
            .otherwise(first_of(&[MergeIntoClauseKind::Matched])?)
    }

    /// Returns the columns of the rows to add.
    fn new_rows(&self, target: &Target, clauses: &[MergeIntoClause], schema: &DFSchema) -> Result<Vec<Expr>> {
        let table = target.statement.table.schema();
        let mut columns: Vec<Vec<(i32, Expr)>> = vec![Vec::new(); table.fields().len()];
        for (clause, number) in clauses.iter().zip(0..) {
            let mut values: HashMap<&str, &Expr> = match &clause.action {
                MergeIntoAction::Delete => continue,
                MergeIntoAction::Update(assignments) => {
                    assignments.iter().map(|(column, value)| (column.as_str(), value)).collect()
                }
                MergeIntoAction::Insert { columns, values } if columns.is_empty() => {
                    table.fields().iter().map(|field| field.name().as_str()).zip(values).collect()
                }
                MergeIntoAction::Insert { columns, values } => columns.iter().map(String::as_str).zip(values).collect(),
            };
            for (field, column) in table.fields().iter().zip(&mut columns) {
                let value = match (values.remove(field.name().as_str()), verb(&clause.action)) {
                    (Some(value), _) => cast(&target.statement.table, value.clone(), field.data_type(), schema)?,
                    // An update keeps the value of a column that it does not set.
                    (None, Verb::Update) => Expr::Column(Column::new(Some(self.name.clone()), field.name())),
                    (None, _) => match target.defaults.of(&target.statement.table, field.name()) {
                        Some(default) => default.clone().cast_to(field.data_type(), schema)?,
                        None => continue,
                    },
                };
                column.push((number, value));
            }
        }
        let fields = table.fields().iter().zip(columns);
        fields.map(|(field, values)| Ok(self.value(values, field.data_type())?.alias(field.name()))).collect()
    }

    /// Returns the value that the applicable clause gives a column, or null if that clause gives none.
    fn value(&self, values: Vec<(i32, Expr)>, data_type: &DataType) -> Result<Expr> {
        let nothing = lit(ScalarValue::try_from(data_type)?);
        values.into_iter().rev().try_fold(nothing, |otherwise, (number, value)| {
            when(self.clause().eq(lit(number)), value).otherwise(otherwise)
        })
    }
}
