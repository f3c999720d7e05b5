//! Prunes data files by their statistics.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::builder::UInt64Builder;
use arrow_array::{ArrayRef, BooleanArray, UInt64Array};
use arrow_schema::SchemaRef;
use cayenne_format::{ColumnStats, DataFile, Value, ValueArrayBuilder};
use cayenne_table::View;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use crate::error::external;
use crate::scan::statistics::on_the_safe_side;

/// Returns the files that may have a row for which all `filters` are true.
///
/// A file is kept if its statistics do not rule it out.
pub(crate) fn prune(
    view: &View,
    schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> Result<Vec<Arc<DataFile>>> {
    let filter = conjunction(filters.iter().cloned()).filter(|_| view.files().len() > 0);
    let predicate = filter.map(|filter| predicate(filter, schema, state)).transpose()?.flatten();
    // A predicate that cannot be evaluated on statistics keeps every file.
    let Some(predicate) = predicate else {
        return Ok(view.files().cloned().collect());
    };
    let files: Vec<&Arc<DataFile>> = view.files().collect();
    let statistics = StatsOfFiles::read(&files, schema, &predicate)?;
    let keep = predicate.prune(&statistics)?;
    Ok(files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect())
}

fn predicate(filter: Expr, schema: &SchemaRef, state: &dyn Session) -> Result<Option<Arc<PruningPredicate>>> {
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
    Ok(PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(filter))
}

/// The statistics of the columns that a predicate needs.
struct StatsOfFiles<'a> {
    schema: &'a SchemaRef,
    rows: ArrayRef,
    columns: HashMap<usize, StatsOfColumn>,
}

/// The statistics of one column in all files.
///
/// A table may have a hundred thousand files, whose statistics are scattered in memory. Each file is visited once, and
/// only what pruning needs is extracted.
struct StatsOfColumn {
    bounds: Option<Bounds>,
    nulls: ArrayRef,
}

/// The minimum and maximum in each file, where they are known.
struct Bounds {
    min: ArrayRef,
    max: ArrayRef,
}

/// Builds a [`StatsOfColumn`] file by file.
struct ColumnBuilder {
    index: usize,
    bounds: Option<(ValueArrayBuilder, ValueArrayBuilder)>,
    nulls: UInt64Builder,
}

impl ColumnBuilder {
    fn new(index: usize, schema: &SchemaRef, files: usize) -> Self {
        let data_type = schema.field(index).data_type();
        let bounds = || ValueArrayBuilder::new(data_type, files);
        let bounds = Value::has_order(data_type).then(|| (bounds(), bounds()));
        Self { index, bounds, nulls: UInt64Builder::with_capacity(files) }
    }

    fn append(&mut self, file: &DataFile) -> Result<()> {
        let ColumnStats { min, max, null_count, nan_count } = file.stats.column(self.index).map_err(external)?;
        self.nulls.append_option(null_count);
        if let Some((mins, maxs)) = &mut self.bounds {
            mins.append(min.map(|min| on_the_safe_side(min.value, -0.0)).as_ref());
            // NaN is above every number but is not part of the bounds: a file that may contain NaN has no known
            // maximum.
            let max = max.filter(|_| nan_count == Some(0));
            maxs.append(max.map(|max| on_the_safe_side(max.value, 0.0)).as_ref());
        }
        Ok(())
    }

    fn finish(mut self) -> (usize, StatsOfColumn) {
        let bounds = self.bounds.map(|(min, max)| Bounds { min: min.finish(), max: max.finish() });
        (self.index, StatsOfColumn { bounds, nulls: Arc::new(self.nulls.finish()) })
    }
}

impl<'a> StatsOfFiles<'a> {
    /// Decodes the statistics of the needed columns of all files, once.
    fn read(files: &[&Arc<DataFile>], schema: &'a SchemaRef, predicate: &PruningPredicate) -> Result<Self> {
        let needed: HashSet<usize> = datafusion::physical_expr::utils::collect_columns(predicate.orig_expr())
            .iter()
            .map(datafusion::physical_expr::expressions::Column::index)
            .collect();
        let mut rows = Vec::with_capacity(files.len());
        let mut columns: Vec<_> =
            needed.into_iter().map(|index| ColumnBuilder::new(index, schema, files.len())).collect();
        for file in files {
            rows.push(file.rows);
            columns.iter_mut().try_for_each(|column| column.append(file))?;
        }
        let columns = columns.into_iter().map(ColumnBuilder::finish).collect();
        Ok(Self { schema, rows: Arc::new(UInt64Array::from(rows)), columns })
    }

    fn column(&self, column: &Column) -> Option<&StatsOfColumn> {
        self.columns.get(&self.schema.index_of(column.name()).ok()?)
    }
}

impl PruningStatistics for StatsOfFiles<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::clone(&self.column(column)?.bounds.as_ref()?.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::clone(&self.column(column)?.bounds.as_ref()?.max))
    }

    fn num_containers(&self) -> usize {
        self.rows.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::clone(&self.column(column)?.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::clone(&self.rows))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
