//! The text forms of values whose type cannot be stored: ISO 8601 durations, hexadecimal bytes, members of unions, and
//! runs.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Int16Type, Int32Type,
    Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, RunEndIndexType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RunArray, StringArray, UInt32Array, UnionArray};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, IntervalUnit, TimeUnit};
use arrow_select::take::take;
use cayenne_format::{Error, Result};

const NANOS_SECOND: u128 = 1_000_000_000;

/// Returns values whose type cannot be stored as the text that replaces them; nulls stay nulls.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](cayenne_format::ErrorKind::Invalid) if a value has no text form.
pub fn to_text(array: &ArrayRef) -> Result<ArrayRef> {
    let text = match array.data_type() {
        DataType::Interval(_) | DataType::Duration(_) => Ok(durations(array)),
        DataType::FixedSizeBinary(_) => {
            let hex = array.as_fixed_size_binary().iter().map(|bytes| bytes.map(hex));
            Ok(Arc::new(hex.collect::<StringArray>()) as ArrayRef)
        }
        DataType::Union(..) => return members(array.as_union()),
        DataType::RunEndEncoded(ends, _) => return runs(array, ends.data_type()),
        DataType::Dictionary(_, values) => {
            return cast(array, values).map_err(no_text).and_then(|values| to_text(&values));
        }
        other if other.is_nested() => nested(array),
        _ => cast(array, &DataType::Utf8),
    };
    text.map_err(no_text)
}

fn no_text(error: ArrowError) -> Error {
    Error::invalid("a value has no text form").because(error)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn durations(array: &ArrayRef) -> ArrayRef {
    let text: StringArray = match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            let months = array.as_primitive::<IntervalYearMonthType>();
            months.iter().map(|months| months.map(|months| iso8601(months.into(), 0, 0))).collect()
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let values = array.as_primitive::<IntervalDayTimeType>().iter();
            values
                .map(|value| {
                    value.map(|value| iso8601(0, value.days.into(), i128::from(value.milliseconds) * 1_000_000))
                })
                .collect()
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().iter();
            values
                .map(|value| {
                    value.map(|value| iso8601(value.months.into(), value.days.into(), value.nanoseconds.into()))
                })
                .collect()
        }
        DataType::Duration(TimeUnit::Second) => spans(array.as_primitive::<DurationSecondType>(), 1_000_000_000),
        DataType::Duration(TimeUnit::Millisecond) => spans(array.as_primitive::<DurationMillisecondType>(), 1_000_000),
        DataType::Duration(TimeUnit::Microsecond) => spans(array.as_primitive::<DurationMicrosecondType>(), 1_000),
        _ => spans(array.as_primitive::<DurationNanosecondType>(), 1),
    };
    Arc::new(text)
}

fn spans<T: arrow_array::ArrowPrimitiveType<Native = i64>>(array: &PrimitiveArray<T>, nanos: i128) -> StringArray {
    array.iter().map(|span| span.map(|span| iso8601(0, 0, i128::from(span) * nanos))).collect()
}

/// Writes `P1M2DT3.000000004S`. The sign is in front if all parts share it, else at each part.
fn iso8601(months: i64, days: i64, nanos: i128) -> String {
    let is_negative = months <= 0 && days <= 0 && nanos <= 0 && (months, days, nanos) != (0, 0, 0);
    let sign = |part_is_negative: bool| if part_is_negative && !is_negative { "-" } else { "" };
    let mut text = String::from(if is_negative { "-P" } else { "P" });
    if months != 0 {
        // Writing to a String cannot fail, here and below.
        let _infallible = write!(text, "{}{}M", sign(months < 0), months.unsigned_abs());
    }
    if days != 0 {
        let _infallible = write!(text, "{}{}D", sign(days < 0), days.unsigned_abs());
    }
    if nanos != 0 || (months, days) == (0, 0) {
        let (seconds, rest) = (nanos.unsigned_abs() / NANOS_SECOND, nanos.unsigned_abs() % NANOS_SECOND);
        let _infallible = write!(text, "T{}{seconds}", sign(nanos < 0));
        if rest != 0 {
            let fraction = format!("{rest:09}");
            let _infallible = write!(text, ".{}", fraction.trim_end_matches('0'));
        }
        text.push('S');
    }
    text
}

/// Returns the text of the member that each row has.
fn members(array: &UnionArray) -> Result<ArrayRef> {
    let DataType::Union(fields, _) = array.data_type() else {
        return Err(Error::internal("a union has the type of a union"));
    };
    let mut text: Vec<Option<String>> = vec![None; array.len()];
    for (member, _) in fields.iter() {
        let as_text = to_text(array.child(member))?;
        let as_text = as_text.as_string::<i32>();
        for (row, text) in text.iter_mut().enumerate() {
            let offset = array.value_offset(row);
            if array.type_id(row) == member && as_text.is_valid(offset) {
                *text = Some(as_text.value(offset).to_owned());
            }
        }
    }
    Ok(Arc::new(StringArray::from(text)))
}

/// Returns the text of the value of each row's run.
fn runs(array: &ArrayRef, ends: &DataType) -> Result<ArrayRef> {
    match ends {
        DataType::Int16 => runs_of::<Int16Type>(array),
        DataType::Int32 => runs_of::<Int32Type>(array),
        _ => runs_of::<Int64Type>(array),
    }
}

fn runs_of<R: RunEndIndexType>(array: &ArrayRef) -> Result<ArrayRef> {
    let Some(runs) = array.as_any().downcast_ref::<RunArray<R>>() else {
        return Err(Error::internal("an array of runs has the type of its ends"));
    };
    let text = to_text(runs.values())?;
    let places = (0..runs.len()).map(|row| u32::try_from(runs.get_physical_index(row)).ok());
    take(&text, &places.collect::<UInt32Array>(), None).map_err(no_text)
}

fn nested(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let text = (0..array.len())
        .map(|row| if array.is_null(row) { Ok(None) } else { formatter.value(row).try_to_string().map(Some) });
    Ok(Arc::new(text.collect::<Result<StringArray, ArrowError>>()?))
}

#[cfg(test)]
mod tests {
    use arrow_array::types::IntervalMonthDayNano;
    use arrow_array::{DurationMillisecondArray, FixedSizeBinaryArray, Int32Array, IntervalMonthDayNanoArray};
    use arrow_buffer::ScalarBuffer;
    use arrow_schema::{Field, UnionFields};

    use super::*;

    fn text(array: impl Array + 'static) -> Vec<Option<String>> {
        let text = to_text(&(Arc::new(array) as ArrayRef)).unwrap();
        text.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(iso8601(1, 2, 3_000_000_004), "P1M2DT3.000000004S");
        assert_eq!(iso8601(0, 0, 0), "PT0S");
        assert_eq!(iso8601(-1, 0, -1_500_000_000), "-P1MT1.5S");
        assert_eq!(iso8601(1, -2, 0), "P1M-2D");
        assert_eq!(iso8601(i64::MIN, 0, i128::from(i64::MIN)), "-P9223372036854775808MT9223372036.854775808S");
        assert_eq!(text(DurationMillisecondArray::from(vec![Some(250), None])), [Some("PT0.25S".into()), None]);
        let interval = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 1, 0)]);
        assert_eq!(text(interval), [Some("P1D".into())]);
    }

    #[test]
    fn fixed_bytes_are_hexadecimal() {
        let bytes = FixedSizeBinaryArray::try_from_iter([[0x0a_u8, 0xff]].into_iter()).unwrap();
        assert_eq!(text(bytes), [Some("0aff".into())]);
    }

    #[test]
    fn a_union_is_the_text_of_its_member() {
        let fields = UnionFields::try_new(
            [0, 1],
            [Field::new("number", DataType::Int32, true), Field::new("text", DataType::Utf8, true)],
        )
        .unwrap();
        let children: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![Some(7), None])), Arc::new(StringArray::from(vec!["x"]))];
        let offsets = ScalarBuffer::from(vec![0, 0, 1]);
        let union = UnionArray::try_new(fields, ScalarBuffer::from(vec![0_i8, 1, 0]), Some(offsets), children).unwrap();
        assert_eq!(text(union), [Some("7".into()), Some("x".into()), None]);
    }

    #[test]
    fn runs_are_the_text_of_their_values() {
        let ends = Int32Array::from(vec![2, 5]);
        let values = StringArray::from(vec![Some("a"), None]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &values).unwrap();
        let sliced = runs.slice(1, 3);
        assert_eq!(text(sliced), [Some("a".into()), None, None]);
    }
}
