//! Which data files can hold a row that a predicate wants.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt64Array};
use arrow_schema::SchemaRef;
use cayenne_format::{ColumnStats, DataFile, Value};
use cayenne_table::View;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use crate::error::external;
use crate::statistics::on_the_safe_side;

/// Returns the files that may hold a row for which all `filters` are true.
///
/// A file whose statistics cannot tell is kept.
pub(crate) fn prune(
    view: &View,
    schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> Result<Vec<Arc<DataFile>>> {
    let filter = conjunction(filters.iter().cloned()).filter(|_| view.files().len() > 0);
    let predicate = filter.map(|filter| predicate(filter, schema, state)).transpose()?.flatten();
    // A predicate that statistics can say nothing about keeps every file.
    let Some(predicate) = predicate else {
        return Ok(view.files().cloned().collect());
    };
    let files: Vec<&DataFile> = view.files().map(AsRef::as_ref).collect();
    let statistics = StatsOfFiles::read(&files, schema, &predicate)?;
    let keep = predicate.prune(&statistics)?;
    Ok(view.files().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect())
}

fn predicate(filter: Expr, schema: &SchemaRef, state: &dyn Session) -> Result<Option<Arc<PruningPredicate>>> {
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
    Ok(PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(filter))
}

/// The statistics of the columns that one predicate asks for.
struct StatsOfFiles<'a> {
    files: &'a [&'a DataFile],
    schema: &'a SchemaRef,
    columns: HashMap<usize, Vec<ColumnStats>>,
}

impl<'a> StatsOfFiles<'a> {
    /// Decodes the needed columns of all files, once.
    fn read(files: &'a [&'a DataFile], schema: &'a SchemaRef, predicate: &PruningPredicate) -> Result<Self> {
        let needed: HashSet<usize> = datafusion::physical_expr::utils::collect_columns(predicate.orig_expr())
            .iter()
            .map(datafusion::physical_expr::expressions::Column::index)
            .collect();
        let decode = |index: usize| -> Result<(usize, Vec<ColumnStats>)> {
            let stats = files.iter().map(|file| file.stats.column(index).map_err(external));
            Ok((index, stats.collect::<Result<_>>()?))
        };
        Ok(Self { files, schema, columns: needed.into_iter().map(decode).collect::<Result<_>>()? })
    }

    fn stats(&self, column: &Column) -> Option<(usize, &[ColumnStats])> {
        let index = self.schema.index_of(column.name()).ok()?;
        Some((index, self.columns.get(&index)?))
    }

    fn bounds(&self, column: &Column, bound: impl Fn(&ColumnStats) -> Option<Value>) -> Option<ArrayRef> {
        let (index, stats) = self.stats(column)?;
        let data_type = self.schema.field(index).data_type();
        if !Value::has_order(data_type) {
            return None;
        }
        Some(Value::to_array(&stats.iter().map(bound).collect::<Vec<_>>(), data_type))
    }
}

impl PruningStatistics for StatsOfFiles<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| Some(on_the_safe_side(&stats.min.as_ref()?.value, -0.0)))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        // NaN is above every number, and no bound: a file that may hold one has no known maximum.
        self.bounds(column, |stats| match stats.nan_count {
            Some(0) => Some(on_the_safe_side(&stats.max.as_ref()?.value, 0.0)),
            _ => None,
        })
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (_, stats) = self.stats(column)?;
        Some(Arc::new(stats.iter().map(|stats| stats.null_count).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
