//! Times that Vortex cannot represent: years beyond 9999, times of day beyond the day, time zones that the machine does
//! not know.
//!
//! Vortex fails on such a value as soon as it becomes a bound, a constant or a filter, although it could store it. A
//! file that has one stores the whole column as Arrow's underlying integers, and the reader of the column restores its
//! declared type. Other files of the table are not affected.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, TimeUnit};
use vortex::arrow::ArrowSessionExt as _;
use vortex::dtype::{DType, Nullability};
use vortex::scalar::{PValue, Scalar, ScalarValue};
use vortex::session::VortexSession;

/// The first and the last second, counted from 1970, that Vortex represents: the years -9999 to 9999, less a day for
/// time zones.
const FIRST_SECOND: i64 = -377_705_023_201;
const LAST_SECOND: i64 = 253_402_207_200;

/// Returns the type with integers in place of timestamps and times, at every depth.
pub(crate) fn wide_type(data_type: &DataType) -> DataType {
    let wide = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(wide_type(field.data_type())))
    };
    match data_type {
        DataType::Timestamp(..) | DataType::Time64(_) => DataType::Int64,
        DataType::Time32(_) => DataType::Int32,
        DataType::List(field) => DataType::List(wide(field)),
        DataType::LargeList(field) => DataType::LargeList(wide(field)),
        DataType::ListView(field) => DataType::ListView(wide(field)),
        DataType::LargeListView(field) => DataType::LargeListView(wide(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(wide(field), *size),
        DataType::Map(field, sorted) => DataType::Map(wide(field), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wide).collect()),
        other => other.clone(),
    }
}

/// Casts times to their underlying integers, or back.
///
/// # Errors
///
/// If the types do not correspond.
pub(crate) fn retype(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Says for each column whether the values of `rows` require it to be wide.
pub(crate) fn wide_columns(rows: &RecordBatch) -> impl Iterator<Item = bool> + '_ {
    rows.columns().iter().map(|column| !fits(column.as_ref()))
}

/// Says for each column of a schema whether it is always wide, because Vortex does not know its time zones.
pub(crate) fn always_wide(session: &VortexSession, schema: &Schema) -> Vec<bool> {
    schema.fields().iter().map(|field| !knows_zones(session, field.data_type())).collect()
}

fn knows_zones(session: &VortexSession, data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, Some(_)) => {
            let zero = Some(ScalarValue::Primitive(PValue::I64(0)));
            let made = session.arrow().from_arrow_datatype(data_type, Nullability::Nullable);
            made.and_then(|dtype: DType| Scalar::try_new(dtype, zero)).is_ok()
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => knows_zones(session, field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| knows_zones(session, field.data_type())),
        _ => true,
    }
}

/// Says whether Vortex can represent all values. Values under nulls are checked too: at worst a column is wide
/// unnecessarily.
fn fits(array: &dyn Array) -> bool {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        DataType::Timestamp(Second, _) => is_moment(array.as_primitive::<TimestampSecondType>().values(), 1),
        DataType::Timestamp(Millisecond, _) => {
            is_moment(array.as_primitive::<TimestampMillisecondType>().values(), 1_000)
        }
        DataType::Timestamp(Microsecond, _) => {
            is_moment(array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000)
        }
        DataType::Time32(Second) => within(array.as_primitive::<Time32SecondType>().values(), 0, 86_399),
        DataType::Time32(_) => within(array.as_primitive::<Time32MillisecondType>().values(), 0, 86_399_999),
        DataType::Time64(Nanosecond) => {
            within(array.as_primitive::<Time64NanosecondType>().values(), 0, 86_399_999_999_999)
        }
        DataType::Time64(_) => within(array.as_primitive::<Time64MicrosecondType>().values(), 0, 86_399_999_999),
        DataType::List(_) => fits(array.as_list::<i32>().values()),
        DataType::LargeList(_) => fits(array.as_list::<i64>().values()),
        DataType::ListView(_) => fits(array.as_list_view::<i32>().values()),
        DataType::LargeListView(_) => fits(array.as_list_view::<i64>().values()),
        DataType::FixedSizeList(..) => fits(array.as_fixed_size_list().values()),
        DataType::Map(..) => fits(array.as_map().entries()),
        DataType::Struct(_) => array.as_struct().columns().iter().all(|column| fits(column.as_ref())),
        // In nanoseconds 64 bits do not reach that far, but Vortex takes the absolute value, which `i64::MIN` does not
        // have.
        DataType::Timestamp(Nanosecond, _) => {
            within(array.as_primitive::<TimestampNanosecondType>().values(), -i64::MAX, i64::MAX)
        }
        _ => true,
    }
}

fn is_moment(values: &[i64], per_second: i64) -> bool {
    within(values, FIRST_SECOND * per_second, LAST_SECOND * per_second + (per_second - 1))
}

/// Counts instead of ending early, so that the whole loop is a few instructions for many values at once.
fn within<N: Copy + PartialOrd>(values: &[N], first: N, last: N) -> bool {
    values.iter().filter(|value| **value < first || **value > last).count() == 0
}

#[cfg(test)]
mod tests {
    use arrow_array::{ListArray, StructArray, Time32SecondArray, TimestampMicrosecondArray, TimestampNanosecondArray};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn only_what_vortex_cannot_say_is_wide() {
        let last = 253_402_207_200_999_999;
        assert!(fits(&TimestampMicrosecondArray::from(vec![last, -377_705_023_201_000_000])));
        assert!(!fits(&TimestampMicrosecondArray::from(vec![last + 1])));
        assert!(fits(&TimestampNanosecondArray::from(vec![-i64::MAX, i64::MAX])));
        assert!(!fits(&TimestampNanosecondArray::from(vec![i64::MIN])));
        assert!(!fits(&Time32SecondArray::from(vec![86_400])));
    }

    #[test]
    fn a_nested_type_is_changed_and_changed_back() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, 1]).with_timezone("+05:30"));
        let item = Arc::new(Field::new("item", times.data_type().clone(), true));
        let list: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), times, None));
        let array: ArrayRef =
            Arc::new(StructArray::from(vec![(Arc::new(Field::new("list", list.data_type().clone(), true)), list)]));
        assert!(!fits(array.as_ref()));
        let wide = retype(&array, &wide_type(array.data_type())).unwrap();
        assert_ne!(wide.data_type(), array.data_type());
        assert_eq!(&retype(&wide, array.data_type()).unwrap(), &array);
    }
}
