//! The answers of a filter for all integers of a range, computed once instead of row by row.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{Array as _, ArrayRef, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, Literal};

use super::check;
use super::implied::is_false;

/// Maximum number of integers in a range. The bits of a larger range would not fit into the caches of a processor.
const SPAN_MAX: u64 = 8 * 1024 * 1024;
/// Number of integers that are evaluated at once.
const BATCH: i64 = 32 * 1024;

/// The integers that can pass a filter on one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: i64,
    last: i64,
}

/// The answers for all integers of a range. Integers outside the range do not pass, and neither does null.
#[derive(Debug)]
pub(super) struct Domain {
    first: i64,
    passes: BooleanBuffer,
}

impl Range {
    /// Returns the range that a filter allows; `None` unless `columns` is a single integer column and the range is not
    /// too long.
    pub(super) fn of(filter: &Arc<dyn PhysicalExpr>, columns: &SchemaRef) -> Option<Self> {
        let [field] = columns.fields().as_ref() else { return None };
        let range = allowed(filter).filter(|_| is_integer(field.data_type()))?;
        (range.first <= range.last && range.rows() <= SPAN_MAX).then_some(range)
    }

    /// Returns the number of integers in the range.
    pub(super) fn rows(self) -> u64 {
        self.last.abs_diff(self.first).saturating_add(1)
    }

    const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    fn or(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_signed_integer()
        || matches!(data_type, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::Date32)
}

/// Returns a range outside of which no value passes.
fn allowed(filter: &Arc<dyn PhysicalExpr>) -> Option<Range> {
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        let branches = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        let ranges = branches.filter(|branch| !is_false(branch)).map(allowed);
        return ranges.reduce(|a, b| Some(a?.or(b?))).flatten();
    }
    let binary = filter.downcast_ref::<BinaryExpr>()?;
    match binary.op() {
        Operator::And => match (allowed(binary.left()), allowed(binary.right())) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (left, right) => left.or(right),
        },
        Operator::Or => Some(allowed(binary.left())?.or(allowed(binary.right())?)),
        op => compared(binary.left(), *op, binary.right()),
    }
}

fn compared(left: &Arc<dyn PhysicalExpr>, op: Operator, right: &Arc<dyn PhysicalExpr>) -> Option<Range> {
    left.downcast_ref::<Column>()?;
    let value = integer(right.downcast_ref::<Literal>()?.value())?;
    match op {
        Operator::GtEq => Some(Range { first: value, ..Range::ALL }),
        Operator::LtEq => Some(Range { last: value, ..Range::ALL }),
        Operator::Eq => Some(Range { first: value, last: value }),
        _ => None,
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) | ScalarValue::Date32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        _ => None,
    }
}

impl Domain {
    /// Evaluates `filter` for every integer of the range. Returns `None` if null passes, which a domain cannot
    /// represent.
    pub(super) fn ask(filter: &Arc<dyn PhysicalExpr>, columns: &SchemaRef, range: Range) -> Result<Option<Self>> {
        let ask = |values: ArrayRef| {
            let values = cast(&values, columns.field(0).data_type())?;
            let batch = RecordBatch::try_new(nullable(columns), vec![values])?;
            check::passing(filter, &batch)
        };
        if ask(new_null_array(&DataType::Int64, 1))?.value(0) {
            return Ok(None);
        }
        let mut passes = BooleanBufferBuilder::new(0);
        let mut first = range.first;
        loop {
            let last = range.last.min(first.saturating_add(BATCH - 1));
            passes.append_buffer(ask(Arc::new(Int64Array::from_iter_values(first..=last)))?.values());
            if last == range.last {
                break;
            }
            first = last + 1;
        }
        Ok(Some(Self { first: range.first, passes: passes.finish() }))
    }

    /// Looks up the values of a column; `None` if its type is not supported.
    pub(super) fn passing(&self, column: &ArrayRef) -> Option<BooleanArray> {
        Some(match column.data_type() {
            DataType::Int8 => self.look_up::<Int8Type>(column.as_primitive()),
            DataType::Int16 => self.look_up::<Int16Type>(column.as_primitive()),
            DataType::Int32 => self.look_up::<Int32Type>(column.as_primitive()),
            DataType::Int64 => self.look_up::<Int64Type>(column.as_primitive()),
            DataType::UInt8 => self.look_up::<UInt8Type>(column.as_primitive()),
            DataType::UInt16 => self.look_up::<UInt16Type>(column.as_primitive()),
            DataType::UInt32 => self.look_up::<UInt32Type>(column.as_primitive()),
            DataType::Date32 => self.look_up::<Date32Type>(column.as_primitive()),
            _ => return None,
        })
    }

    fn look_up<T: ArrowPrimitiveType<Native: Into<i64>>>(&self, column: &PrimitiveArray<T>) -> BooleanArray {
        let values = column.values();
        let answer = |row: usize| {
            let at = values.get(row).map_or(0, |value| (*value).into().wrapping_sub(self.first).cast_unsigned());
            usize::try_from(at).is_ok_and(|at| at < self.passes.len() && self.passes.value(at))
        };
        let passes = BooleanBuffer::collect_bool(values.len(), answer);
        match column.nulls() {
            Some(nulls) => BooleanArray::new(&passes & nulls.inner(), None),
            None => BooleanArray::new(passes, None),
        }
    }
}

fn nullable(columns: &SchemaRef) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field, Schema};
    use datafusion::physical_expr::expressions::{binary, col, in_list, is_null, lit};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]))
    }

    fn and(left: Arc<dyn PhysicalExpr>, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        binary(left, Operator::And, right, &schema()).unwrap()
    }

    fn between(first: i32, last: i32) -> Arc<dyn PhysicalExpr> {
        let a = || col("a", &schema()).unwrap();
        let from = binary(a(), Operator::GtEq, lit(first), &schema()).unwrap();
        and(from, binary(a(), Operator::LtEq, lit(last), &schema()).unwrap())
    }

    fn one_of(values: &[i32]) -> Arc<dyn PhysicalExpr> {
        let values = values.iter().map(|value| lit(*value)).collect();
        in_list(col("a", &schema()).unwrap(), values, &false, &schema()).unwrap()
    }

    /// Invariant: the answers are those of the filter, for values inside and outside of the range and for null.
    #[test]
    fn answers_are_those_of_the_filter() {
        let filter = and(between(-3, 70_000), one_of(&[-3, 5, 32_765, 32_766, 69_999, 70_000]));
        let range = Range::of(&filter, &schema()).unwrap();
        assert_eq!(range, Range { first: -3, last: 70_000 });
        let domain = Domain::ask(&filter, &schema(), range).unwrap().unwrap();
        let values = [-4, -3, 0, 5, 32_765, 32_766, 32_767, 69_999, 70_000, 70_001, i32::MIN, i32::MAX].map(Some);
        let column: ArrayRef = Arc::new(values.into_iter().chain([None]).collect::<arrow_array::Int32Array>());
        let batch = RecordBatch::try_new(schema(), vec![Arc::clone(&column)]).unwrap();
        assert_eq!(domain.passing(&column).unwrap(), check::passing(&filter, &batch).unwrap());
    }

    #[test]
    fn a_filter_that_null_passes_is_left_alone() {
        let null = is_null(col("a", &schema()).unwrap()).unwrap();
        let filter = binary(null, Operator::Or, between(1, 9), &schema()).unwrap();
        assert!(Range::of(&filter, &schema()).is_none());
        assert!(Domain::ask(&filter, &schema(), Range { first: 1, last: 9 }).unwrap().is_none());
    }

    #[test]
    fn a_range_that_is_open_or_long_is_left_alone() {
        let open = binary(col("a", &schema()).unwrap(), Operator::GtEq, lit(1), &schema()).unwrap();
        assert!(Range::of(&open, &schema()).is_none());
        assert!(Range::of(&between(i32::MIN, i32::MAX), &schema()).is_none());
        assert!(Range::of(&between(9, 1), &schema()).is_none());
        let two =
            Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)]));
        assert!(Range::of(&between(1, 9), &two).is_none());
    }
}
