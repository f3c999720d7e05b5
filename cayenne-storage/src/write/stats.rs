//! Column stats of a file, from the statistics that Vortex computes while it writes.

use std::sync::Arc;

use arrow_buffer::i256;
use arrow_schema::{DataType, Schema};
use cayenne_format::{Bound, ColumnStats, FileStats, Value};
use futures::{executor, future, stream};
use vortex::array::ArrayRef as VortexArray;
use vortex::array::expr::stats::{Precision, Stat};
use vortex::array::stats::StatsSet;
use vortex::error::VortexResult;
use vortex::layout::layouts::file_stats::accumulate_stats;
use vortex::layout::sequence::{SequenceId, SequentialStreamAdapter, SequentialStreamExt as _};
use vortex::scalar::{DecimalValue, PValue, ScalarValue};
use vortex::session::VortexSession;

/// The statistics of each column that are kept in the footer, and from there in the manifest.
pub(crate) const STATISTICS: [Stat; 4] = [Stat::Min, Stat::Max, Stat::NullCount, Stat::NaNCount];

/// The maximum length of text or binary that is kept whole as a bound, in bytes: what Vortex keeps of it in a footer.
const BOUND_BYTES_MAX: usize = 64;

/// Returns the stats of all columns of the stored schema, given one set for each column.
pub(crate) fn file_stats(stored: &Schema, rows: u64, found: &[StatsSet]) -> FileStats {
    let columns: Vec<ColumnStats> = stored
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            found.get(index).map(|set| column_stats(field.data_type(), rows, set)).unwrap_or_default()
        })
        .collect();
    FileStats::new(&columns)
}

/// Computes the statistics of an array of rows as Vortex does for a file.
pub(crate) fn compute(session: &VortexSession, rows: VortexArray) -> VortexResult<Vec<StatsSet>> {
    let dtype = rows.dtype().clone();
    let only = stream::once(future::ready(Ok((SequenceId::root().downgrade(), rows))));
    let only = SequentialStreamAdapter::new(dtype, only).sendable();
    let (accumulator, passed) = accumulate_stats(only, Arc::new(STATISTICS), BOUND_BYTES_MAX, session);
    // Nothing in this stream waits.
    executor::block_on_stream(passed).try_for_each(|chunk| chunk.map(drop))?;
    Ok(accumulator.stats_sets())
}

fn column_stats(data_type: &DataType, rows: u64, set: &StatsSet) -> ColumnStats {
    let null_count = if data_type.is_null() { Some(rows) } else { count(set, Stat::NullCount) };
    let nan_count = if data_type.is_floating() { count(set, Stat::NaNCount) } else { Some(0) };
    if !Value::has_order(data_type) {
        return ColumnStats { min: None, max: None, null_count, nan_count };
    }
    ColumnStats { min: bound(set, Stat::Min), max: bound(set, Stat::Max), null_count, nan_count }
}

fn count(set: &StatsSet, stat: Stat) -> Option<u64> {
    match set.get(stat).as_exact()? {
        ScalarValue::Primitive(value) => u64::try_from(value).ok(),
        _ => None,
    }
}

fn bound(set: &StatsSet, stat: Stat) -> Option<Bound> {
    let (value, exact) = match set.get(stat) {
        Precision::Exact(value) => (value, true),
        Precision::Inexact(value) => (value, false),
        Precision::Absent => return None,
    };
    let value = value_of(value)?;
    if value.is_nan() {
        return None;
    }
    Some(Bound { value: widened(value, stat == Stat::Min), exact })
}

/// Zero has two forms, which comparison by total order distinguishes: a bound takes the one that holds for both.
fn widened(value: Value, is_min: bool) -> Value {
    match value {
        Value::Float(0.0) => Value::Float(if is_min { -0.0 } else { 0.0 }),
        other => other,
    }
}

fn value_of(value: ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Bool(value) => Value::Boolean(value),
        ScalarValue::Primitive(value) => number(value),
        ScalarValue::Decimal(value) => Value::Decimal(decimal(value)),
        ScalarValue::Utf8(value) => Value::Text(value.as_str().to_owned()),
        ScalarValue::Binary(value) => Value::Binary(value.as_slice().to_vec()),
        ScalarValue::Tuple(_) | ScalarValue::Union(_) | ScalarValue::Variant(_) => return None,
    })
}

fn number(value: PValue) -> Value {
    match value {
        PValue::I8(value) => Value::Int(value.into()),
        PValue::I16(value) => Value::Int(value.into()),
        PValue::I32(value) => Value::Int(value.into()),
        PValue::I64(value) => Value::Int(value),
        PValue::U8(value) => Value::UInt(value.into()),
        PValue::U16(value) => Value::UInt(value.into()),
        PValue::U32(value) => Value::UInt(value.into()),
        PValue::U64(value) => Value::UInt(value),
        PValue::F16(value) => Value::Float(value.to_f64()),
        PValue::F32(value) => Value::Float(value.into()),
        PValue::F64(value) => Value::Float(value),
    }
}

fn decimal(value: DecimalValue) -> i256 {
    match value {
        DecimalValue::I8(value) => i256::from_i128(value.into()),
        DecimalValue::I16(value) => i256::from_i128(value.into()),
        DecimalValue::I32(value) => i256::from_i128(value.into()),
        DecimalValue::I64(value) => i256::from_i128(value.into()),
        DecimalValue::I128(value) => i256::from_i128(value),
        DecimalValue::I256(value) => value.into(),
    }
}
