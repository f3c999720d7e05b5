//! Converts the statistics of data files into DataFusion's.

use arrow_schema::{DataType, SchemaRef};
use cayenne_format::{Bound, ColumnStats, Value};
use cayenne_storage::row_bytes;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::error::Result;

use crate::error::external;
use crate::scan::kept::KeptFile;

/// Returns the merged statistics of the visible rows of files. Columns other than `columns` stay unknown, and so do
/// statistics that no file has.
///
/// The number of rows is exact. If rows are hidden, the bounds and null counts include them, and are therefore inexact.
pub(crate) fn of_files<'a>(
    files: impl IntoIterator<Item = &'a KeptFile>,
    schema: &SchemaRef,
    columns: &[usize],
) -> Result<Statistics> {
    let mut rows = 0_u64;
    let mut merged: Vec<Option<Merged>> = vec![None; columns.len()];
    for kept in files {
        let (file, given) = (&kept.file, kept.given_rows());
        rows = rows.saturating_add(given);
        for (merged, column) in merged.iter_mut().zip(columns) {
            let stats = Merged::of(file.stats.column(*column).map_err(external)?, file.rows);
            let stats = if given == file.rows { stats } else { stats.with_hidden_rows() };
            *merged = Some(match merged.take() {
                None => stats,
                Some(earlier) => earlier.merge(stats),
            });
        }
    }
    let mut statistics = Statistics::new_unknown(schema);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    statistics.num_rows = Precision::Exact(count(rows));
    // An estimate, from which the optimizer chooses the sides of joins.
    statistics.total_byte_size = Precision::Inexact(count(rows.saturating_mul(row_bytes(schema))));
    for (merged, column) in merged.into_iter().zip(columns) {
        let Some(slot) = statistics.column_statistics.get_mut(*column) else { continue };
        let merged = merged.unwrap_or_else(Merged::of_nothing);
        *slot = merged.into_datafusion(schema.field(*column).data_type())?;
    }
    Ok(statistics)
}

/// Column statistics of one or several files.
#[derive(Clone, Debug)]
struct Merged {
    bounds: Option<(Bound, Bound)>,
    /// Whether no row has a value that could be a bound: all are null or NaN.
    empty: bool,
    nulls: Option<u64>,
    /// Whether some of the nulls may be hidden, so that `nulls` is only an upper limit.
    nulls_at_most: bool,
    nans: Option<u64>,
}

impl Merged {
    fn of_nothing() -> Self {
        Self { bounds: None, empty: true, nulls: Some(0), nulls_at_most: false, nans: Some(0) }
    }

    fn of(stats: ColumnStats, rows: u64) -> Self {
        let without_value = stats.null_count.zip(stats.nan_count).map(|(nulls, nans)| nulls.saturating_add(nans));
        Self {
            bounds: stats.min.zip(stats.max),
            empty: without_value == Some(rows),
            nulls: stats.null_count,
            nulls_at_most: false,
            nans: stats.nan_count,
        }
    }

    /// Marks the statistics as inexact: any row may be hidden, including the one with the smallest value.
    fn with_hidden_rows(self) -> Self {
        let bounds = self.bounds.map(|(min, max)| (Bound { exact: false, ..min }, Bound { exact: false, ..max }));
        let nulls_at_most = self.nulls != Some(0);
        Self { bounds, nulls_at_most, ..self }
    }

    fn merge(self, other: Self) -> Self {
        let bounds = match (self.bounds, other.bounds) {
            (Some(a), Some(b)) => lower(a.0, b.0).zip(upper(a.1, b.1)),
            (Some(bounds), None) if other.empty => Some(bounds),
            (None, Some(bounds)) if self.empty => Some(bounds),
            _ => None,
        };
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        Self {
            bounds,
            empty: self.empty && other.empty,
            nulls: sum(self.nulls, other.nulls),
            nulls_at_most: self.nulls_at_most || other.nulls_at_most,
            nans: sum(self.nans, other.nans),
        }
    }

    fn into_datafusion(self, data_type: &DataType) -> Result<ColumnStatistics> {
        let mut statistics = ColumnStatistics::new_unknown();
        if let Some(nulls) = self.nulls {
            let nulls = usize::try_from(nulls).unwrap_or(usize::MAX);
            statistics.null_count =
                if self.nulls_at_most { Precision::Inexact(nulls) } else { Precision::Exact(nulls) };
        }
        if let Some((min, max)) = self.bounds {
            statistics.min_value = precision(&min, -0.0, data_type)?;
            // NaN is above all numbers: unless there is no NaN for certain, the largest number may not be the maximum.
            if self.nans == Some(0) {
                statistics.max_value = precision(&max, 0.0, data_type)?;
            }
        }
        Ok(statistics)
    }
}

fn lower(a: Bound, b: Bound) -> Option<Bound> {
    match a.value.compare(&b.value)? {
        std::cmp::Ordering::Greater => Some(b),
        std::cmp::Ordering::Less => Some(a),
        // Of two equal bounds, the exact one is more useful.
        std::cmp::Ordering::Equal => Some(if a.exact { a } else { b }),
    }
}

fn upper(a: Bound, b: Bound) -> Option<Bound> {
    match a.value.compare(&b.value)? {
        std::cmp::Ordering::Less => Some(b),
        std::cmp::Ordering::Greater => Some(a),
        std::cmp::Ordering::Equal => Some(if a.exact { a } else { b }),
    }
}

/// Converts a bound. Zeros of both signs are equal: a zero bound gets the sign of `zero`, so that both are within the
/// bounds, and is inexact.
fn precision(bound: &Bound, zero: f64, data_type: &DataType) -> Result<Precision<ScalarValue>> {
    let value = on_the_safe_side(bound.value.clone(), zero);
    let array = Value::to_array(&[Some(value)], data_type);
    let scalar = ScalarValue::try_from_array(&array, 0)?;
    if scalar.is_null() {
        return Ok(Precision::Absent);
    }
    let is_zero = matches!(bound.value, Value::Float(value) if value == 0.0);
    Ok(if bound.exact && !is_zero { Precision::Exact(scalar) } else { Precision::Inexact(scalar) })
}

/// Gives a zero bound the sign of `zero`. Arrow orders −0.0 before 0.0 and SQL does not, so the sign must keep both
/// zeros within the bounds.
pub(crate) fn on_the_safe_side(value: Value, zero: f64) -> Value {
    match value {
        // The pattern matches both zeros.
        Value::Float(0.0) => Value::Float(zero),
        value => value,
    }
}
