//! The closed set of scalars for column stats and partition values.

use std::cmp::Ordering;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};
use bytes::Buf;

use crate::codec::{Input, put_sized};
use crate::{Error, Result, ValueArrayBuilder};

/// One scalar. The type of its column determines its unit, scale and time zone.
///
/// Floats compare as in SQL: `-0.0` equals `0.0`, all NaN are one value, and NaN is above infinity.
#[derive(Clone, Debug)]
pub enum Value {
    /// A boolean; false is below true.
    Boolean(bool),
    /// A signed integer, or a date, time or timestamp in the unit of its column.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A floating-point number of any width.
    Float(f64),
    /// The unscaled value of a decimal.
    Decimal(i256),
    /// Text, ordered by its bytes.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// Calls `$apply!` with the Arrow type and the [`Value`] variant of a primitive type, and evaluates to `$otherwise` for
/// any other type.
macro_rules! primitive_types {
    ($data_type:expr, $apply:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $apply!(arrow_array::types::Int8Type, Int),
            DataType::Int16 => $apply!(arrow_array::types::Int16Type, Int),
            DataType::Int32 => $apply!(arrow_array::types::Int32Type, Int),
            DataType::Int64 => $apply!(arrow_array::types::Int64Type, Int),
            DataType::Date32 => $apply!(arrow_array::types::Date32Type, Int),
            DataType::Date64 => $apply!(arrow_array::types::Date64Type, Int),
            DataType::Time32(TimeUnit::Second) => $apply!(arrow_array::types::Time32SecondType, Int),
            DataType::Time32(_) => $apply!(arrow_array::types::Time32MillisecondType, Int),
            DataType::Time64(TimeUnit::Microsecond) => $apply!(arrow_array::types::Time64MicrosecondType, Int),
            DataType::Time64(_) => $apply!(arrow_array::types::Time64NanosecondType, Int),
            DataType::Timestamp(TimeUnit::Second, _) => $apply!(arrow_array::types::TimestampSecondType, Int),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $apply!(arrow_array::types::TimestampMillisecondType, Int),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $apply!(arrow_array::types::TimestampMicrosecondType, Int),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $apply!(arrow_array::types::TimestampNanosecondType, Int),
            DataType::UInt8 => $apply!(arrow_array::types::UInt8Type, UInt),
            DataType::UInt16 => $apply!(arrow_array::types::UInt16Type, UInt),
            DataType::UInt32 => $apply!(arrow_array::types::UInt32Type, UInt),
            DataType::UInt64 => $apply!(arrow_array::types::UInt64Type, UInt),
            DataType::Float16 => $apply!(arrow_array::types::Float16Type, Float),
            DataType::Float32 => $apply!(arrow_array::types::Float32Type, Float),
            DataType::Float64 => $apply!(arrow_array::types::Float64Type, Float),
            DataType::Decimal32(..) => $apply!(arrow_array::types::Decimal32Type, Decimal),
            DataType::Decimal64(..) => $apply!(arrow_array::types::Decimal64Type, Decimal),
            DataType::Decimal128(..) => $apply!(arrow_array::types::Decimal128Type, Decimal),
            DataType::Decimal256(..) => $apply!(arrow_array::types::Decimal256Type, Decimal),
            _ => $otherwise,
        }
    };
}

pub(crate) use primitive_types;

impl Value {
    /// Returns the value at `row`, or `None` if it is null or of a type that `Value` does not represent.
    ///
    /// # Panics
    ///
    /// If `row` is not below the length of `array`.
    #[must_use]
    pub fn at(array: &dyn Array, row: usize) -> Option<Self> {
        if array.is_null(row) {
            return None;
        }
        macro_rules! read {
            ($type:ty, $variant:ident) => {
                Some(Self::$variant(array.as_primitive::<$type>().value(row).into()))
            };
        }
        primitive_types!(array.data_type(), read, Self::wordy_at(array, row))
    }

    fn wordy_at(array: &dyn Array, row: usize) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().value(row)),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::LargeUtf8 => Self::Text(array.as_string::<i64>().value(row).to_owned()),
            DataType::Utf8View => Self::Text(array.as_string_view().value(row).to_owned()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().value(row).to_owned()),
            DataType::LargeBinary => Self::Binary(array.as_binary::<i64>().value(row).to_owned()),
            DataType::BinaryView => Self::Binary(array.as_binary_view().value(row).to_owned()),
            _ => return None,
        })
    }

    /// Says whether `Value` represents values of this type, so that a column of it can have a minimum and a maximum.
    #[must_use]
    pub fn has_order(data_type: &DataType) -> bool {
        macro_rules! yes {
            ($type:ty, $variant:ident) => {
                true
            };
        }
        let wordy = matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        );
        primitive_types!(data_type, yes, wordy)
    }

    /// Returns an array of `data_type` with these values. A value that does not fit the type becomes null.
    ///
    /// Null means "unknown" here, which is how pruning by column stats reads it.
    #[must_use]
    pub fn to_array(values: &[Option<Self>], data_type: &DataType) -> ArrayRef {
        let mut builder = ValueArrayBuilder::new(data_type, values.len());
        for value in values {
            builder.append(value.as_ref());
        }
        builder.finish()
    }

    /// Says whether this is a NaN.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        matches!(self, Self::Float(value) if value.is_nan())
    }

    /// Compares two values of one column; `None` for values of different variants, which have no order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::UInt(a), Self::UInt(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => Some(plain(*a).total_cmp(&plain(*b))),
            (Self::Decimal(a), Self::Decimal(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Binary(a), Self::Binary(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Appends the stored form: a one-byte tag, then the value in little-endian order.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(value) => out.extend([0, u8::from(*value)]),
            Self::Int(value) => put_tagged(out, 1, &value.to_le_bytes()),
            Self::UInt(value) => put_tagged(out, 2, &value.to_le_bytes()),
            Self::Float(value) => put_tagged(out, 3, &value.to_bits().to_le_bytes()),
            Self::Decimal(value) => put_tagged(out, 4, &value.to_le_bytes()),
            Self::Text(value) => {
                out.push(5);
                put_sized(out, value.as_bytes());
            }
            Self::Binary(value) => {
                out.push(6);
                put_sized(out, value);
            }
        }
    }

    #[inline]
    pub(crate) fn decode(input: &mut Input<impl Buf>) -> Result<Self> {
        Ok(match input.u8()? {
            0 => Self::Boolean(input.u8()? != 0),
            1 => Self::Int(i64::from_le_bytes(input.array()?)),
            2 => Self::UInt(u64::from_le_bytes(input.array()?)),
            3 => Self::Float(f64::from_bits(u64::from_le_bytes(input.array()?))),
            4 => Self::Decimal(i256::from_le_bytes(input.array()?)),
            5 => Self::Text(input.text()?),
            6 => Self::Binary(input.sized()?.into()),
            tag => return Err(Error::corrupt("stored value has an unknown tag").with("tag", tag)),
        })
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

/// Normalises a float: `-0.0` becomes `0.0`, and every NaN the positive one, which `total_cmp` puts above infinity.
fn plain(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN.copysign(1.0)
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::UInt(value) => value.fmt(f),
            Self::Float(value) => plain(*value).fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Binary(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int32Array, StringArray};

    use super::*;

    #[test]
    fn floats_compare_as_sql_compares_them() {
        assert_eq!(Value::Float(-0.0), Value::Float(0.0));
        assert_eq!(Value::Float(f64::NAN), Value::Float(-f64::NAN));
        assert_eq!(Value::Float(f64::NAN).compare(&Value::Float(f64::INFINITY)), Some(Ordering::Greater));
    }

    #[test]
    fn values_survive_the_way_through_an_array() {
        let values = vec![Some(Value::Int(7)), None, Some(Value::Int(-1))];
        let array = Value::to_array(&values, &DataType::Int32);
        assert_eq!(
            array.as_primitive::<arrow_array::types::Int32Type>(),
            &Int32Array::from(vec![Some(7), None, Some(-1)])
        );
        assert_eq!(Value::at(&array, 2), Some(Value::Int(-1)));
    }

    #[test]
    fn a_value_too_wide_for_its_column_is_unknown_and_not_wrong() {
        let array = Value::to_array(&[Some(Value::Int(300))], &DataType::Int8);
        assert!(array.is_null(0));
        let array = Value::to_array(&[Some(Value::Text("x".into()))], &DataType::Int8);
        assert!(array.is_null(0));
    }

    #[test]
    fn every_kind_is_read_from_its_array() {
        assert_eq!(Value::at(&StringArray::from(vec!["é"]), 0), Some(Value::Text("é".into())));
        assert!(Value::at(&Float64Array::from(vec![f64::NAN]), 0).is_some_and(|value| value.is_nan()));
    }
}
