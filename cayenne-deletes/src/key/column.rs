//! The order-preserving encoding of the values of one key column. Its bytes are stored: a change needs a new
//! [`KEY_ENCODING_VERSION`](super::KEY_ENCODING_VERSION).

use arrow_array::cast::AsArray;
use arrow_array::{Array, types};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};

/// A value of at most 16 bytes that maps to an unsigned number of the same width and order.
trait Ordered: Copy {
    /// The unsigned number.
    type Number: Into<u128>;
    /// Its width in bits.
    const BITS: u32;

    fn ordered(self) -> Self::Number;
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! ordered {
    ($($type:ty => $number:ty, $ordered:expr;)*) => {
        $(impl Ordered for $type {
            type Number = $number;
            const BITS: u32 = <$number>::BITS;

            #[inline]
            fn ordered(self) -> $number {
                $ordered(self)
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.ordered().to_be_bytes());
            }
        })*
    };
}

ordered! {
    u8 => u8, |value| value;
    u16 => u16, |value| value;
    u32 => u32, |value| value;
    u64 => u64, |value| value;
    // Flipping the sign bit puts the negative numbers below the others.
    i8 => u8, |value: i8| value.cast_unsigned() ^ (1 << 7);
    i16 => u16, |value: i16| value.cast_unsigned() ^ (1 << 15);
    i32 => u32, |value: i32| value.cast_unsigned() ^ (1 << 31);
    i64 => u64, |value: i64| value.cast_unsigned() ^ (1 << 63);
    i128 => u128, |value: i128| value.cast_unsigned() ^ (1 << 127);
    // There is one zero, and one NaN, which is above infinity. The bits of a negative float fall as its value rises.
    f32 => u32, |value: f32| {
        let plain = if value.is_nan() { f32::NAN.abs() } else if value == 0.0 { 0.0 } else { value };
        let bits = plain.to_bits();
        if plain.is_sign_negative() { !bits } else { bits | 1 << 31 }
    };
    f64 => u64, |value: f64| {
        let plain = if value.is_nan() { f64::NAN.abs() } else if value == 0.0 { 0.0 } else { value };
        let bits = plain.to_bits();
        if plain.is_sign_negative() { !bits } else { bits | 1 << 63 }
    };
}

/// Calls `$apply!` with the Arrow type if its values are whole numbers of at most 64 bits, and evaluates to
/// `$otherwise` if not.
macro_rules! integer_types {
    ($data_type:expr, $apply:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $apply!(types::Int8Type),
            DataType::Int16 => $apply!(types::Int16Type),
            DataType::Int32 => $apply!(types::Int32Type),
            DataType::Int64 => $apply!(types::Int64Type),
            DataType::UInt8 => $apply!(types::UInt8Type),
            DataType::UInt16 => $apply!(types::UInt16Type),
            DataType::UInt32 => $apply!(types::UInt32Type),
            DataType::UInt64 => $apply!(types::UInt64Type),
            DataType::Date32 => $apply!(types::Date32Type),
            DataType::Date64 => $apply!(types::Date64Type),
            DataType::Time32(TimeUnit::Second) => $apply!(types::Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => $apply!(types::Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => $apply!(types::Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => $apply!(types::Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $apply!(types::TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $apply!(types::TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $apply!(types::TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $apply!(types::TimestampNanosecondType),
            _ => $otherwise,
        }
    };
}

/// Calls `$apply!` with the Arrow type if its values are numbers of at most 128 bits, and evaluates to `$otherwise` if
/// not.
macro_rules! number_types {
    ($data_type:expr, $apply:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Float32 => $apply!(types::Float32Type),
            DataType::Float64 => $apply!(types::Float64Type),
            DataType::Decimal32(..) => $apply!(types::Decimal32Type),
            DataType::Decimal64(..) => $apply!(types::Decimal64Type),
            DataType::Decimal128(..) => $apply!(types::Decimal128Type),
            data_type => integer_types!(data_type, $apply, $otherwise),
        }
    };
}

/// Returns the one type that represents all types whose equal values are equal keys. The encoding accepts arrays of all
/// of these types except dictionaries.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        other => other.clone(),
    }
}

/// The length of the encoded key of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A whole number of this many bytes, at most 8.
    Integer(usize),
    /// This many bytes, for every value.
    Fixed(usize),
    /// More bytes for a longer value.
    Varying,
}

/// Returns the length of keys of a plain type, or `None` for a type that cannot be a key.
pub(super) fn room(data_type: &DataType) -> Option<Room> {
    macro_rules! integer {
        ($type:ty) => {
            Some(Room::Integer(size_of::<<$type as types::ArrowPrimitiveType>::Native>()))
        };
    }
    match data_type {
        DataType::Boolean => Some(Room::Integer(1)),
        DataType::Float32 | DataType::Decimal32(..) => Some(Room::Fixed(4)),
        DataType::Float64 | DataType::Decimal64(..) => Some(Room::Fixed(8)),
        DataType::Decimal128(..) => Some(Room::Fixed(16)),
        DataType::Decimal256(..) => Some(Room::Fixed(32)),
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).ok().map(Room::Fixed),
        DataType::Utf8 | DataType::Binary => Some(Room::Varying),
        other => integer_types!(other, integer, None),
    }
}

/// Returns the values of a column of [`Room::Integer`].
pub(super) fn integers(array: &dyn Array) -> Vec<u64> {
    macro_rules! integers {
        ($type:ty) => {
            array.as_primitive::<$type>().values().iter().map(|value| u64::from(value.ordered())).collect()
        };
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().values().iter().map(u64::from).collect(),
        other => integer_types!(other, integers, Vec::new()),
    }
}

/// Shifts each number left and puts the value of its row into the low bits. The column has at most 16 bytes.
pub(super) fn shift_in(array: &dyn Array, numbers: &mut [u128]) {
    fn shift(numbers: &mut [u128], bits: u32, values: impl Iterator<Item = u128>) {
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = number.checked_shl(bits).unwrap_or(0) | value;
        }
    }
    fn of<T: Ordered>(numbers: &mut [u128], values: &[T]) {
        shift(numbers, T::BITS, values.iter().map(|value| value.ordered().into()));
    }
    macro_rules! shift_in {
        ($type:ty) => {
            of(numbers, array.as_primitive::<$type>().values())
        };
    }
    match array.data_type() {
        DataType::Boolean => shift(numbers, u8::BITS, array.as_boolean().values().iter().map(u128::from)),
        DataType::FixedSizeBinary(bytes) => {
            let values = array.as_fixed_size_binary();
            let number = |row| values.value(row).iter().fold(0, |number, byte| number << u8::BITS | u128::from(*byte));
            shift(numbers, u8::BITS * bytes.unsigned_abs(), (0..values.len()).map(number));
        }
        other => number_types!(other, shift_in, ()),
    }
}

/// Appends the encoded value of a row.
pub(super) type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// Returns the function that appends the encoded values of a column.
pub(super) fn writer(array: &dyn Array) -> Write<'_> {
    macro_rules! write {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            Box::new(move |row, out| values.value(row).write(out))
        }};
    }
    macro_rules! write_escaped {
        ($values:expr) => {{
            let values = $values;
            Box::new(move |row, out| escape(values.value(row).as_ref(), out))
        }};
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| out.push(u8::from(values.value(row))))
        }
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<types::Decimal256Type>();
            Box::new(move |row, out| out.extend_from_slice(&(values.value(row) ^ i256::MIN).to_be_bytes()))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(move |row, out| out.extend_from_slice(values.value(row)))
        }
        DataType::Utf8 => write_escaped!(array.as_string::<i32>()),
        DataType::LargeUtf8 => write_escaped!(array.as_string::<i64>()),
        DataType::Utf8View => write_escaped!(array.as_string_view()),
        DataType::Binary => write_escaped!(array.as_binary::<i32>()),
        DataType::LargeBinary => write_escaped!(array.as_binary::<i64>()),
        DataType::BinaryView => write_escaped!(array.as_binary_view()),
        other => number_types!(other, write, Box::new(|_, _| ())),
    }
}

/// Escapes bytes so that the next column cannot be mistaken for more of them: a zero becomes `00 FF`, and the end is
/// `00 00`. A value therefore sorts below every longer value that begins with it.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut pieces = bytes.split(|byte| *byte == 0);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.extend_from_slice(&[0x00, 0xff]);
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&[0x00, 0x00]);
}
