//! Arrow arrays from scalars, for code that compares many values at once.

use std::fmt;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, LargeBinaryBuilder, LargeStringBuilder,
    PrimitiveBuilder, StringBuilder, StringViewBuilder,
};
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, new_null_array};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};

use crate::Value;
use crate::value::primitive_types;

/// Builds an array of one type from values.
pub struct ValueArrayBuilder(Box<dyn AppendValue>);

impl fmt::Debug for ValueArrayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueArrayBuilder").finish_non_exhaustive()
    }
}

impl ValueArrayBuilder {
    /// Begins an array of `data_type` for about `capacity` values.
    #[must_use]
    pub fn new(data_type: &DataType, capacity: usize) -> Self {
        macro_rules! begin {
            ($type:ty, $variant:ident) => {
                Self(Box::new(Typed {
                    builder: PrimitiveBuilder::<$type>::with_capacity(capacity).with_data_type(data_type.clone()),
                    append: |builder, value| {
                        builder.append_option(match value {
                            Some(Value::$variant(value)) => {
                                Narrow::<<$type as ArrowPrimitiveType>::Native>::narrow(*value)
                            }
                            _ => None,
                        });
                    },
                }))
            };
        }
        primitive_types!(data_type, begin, Self::wordy(data_type))
    }

    fn wordy(data_type: &DataType) -> Self {
        macro_rules! begin {
            ($builder:ty, $variant:ident, $project:expr) => {
                Self(Box::new(Typed {
                    builder: <$builder>::new(),
                    append: |builder, value| match value {
                        Some(Value::$variant(value)) => builder.append_value($project(value)),
                        _ => builder.append_null(),
                    },
                }))
            };
        }
        match data_type {
            DataType::Boolean => begin!(BooleanBuilder, Boolean, |value: &bool| *value),
            DataType::Utf8 => begin!(StringBuilder, Text, String::as_str),
            DataType::LargeUtf8 => begin!(LargeStringBuilder, Text, String::as_str),
            DataType::Utf8View => begin!(StringViewBuilder, Text, String::as_str),
            DataType::Binary => begin!(BinaryBuilder, Binary, Vec::as_slice),
            DataType::LargeBinary => begin!(LargeBinaryBuilder, Binary, Vec::as_slice),
            DataType::BinaryView => begin!(BinaryViewBuilder, Binary, Vec::as_slice),
            _ => Self(Box::new(Nulls { data_type: data_type.clone(), count: 0 })),
        }
    }

    /// Appends a value; one that does not fit the type becomes null.
    pub fn append(&mut self, value: Option<&Value>) {
        self.0.append(value);
    }

    /// Returns the array.
    #[must_use]
    pub fn finish(mut self) -> ArrayRef {
        self.0.finish()
    }
}

trait AppendValue: Send {
    fn append(&mut self, value: Option<&Value>);

    fn finish(&mut self) -> ArrayRef;
}

/// An Arrow builder, and the function that appends a value to it.
struct Typed<B> {
    builder: B,
    append: fn(&mut B, Option<&Value>),
}

impl<B: ArrayBuilder> AppendValue for Typed<B> {
    fn append(&mut self, value: Option<&Value>) {
        (self.append)(&mut self.builder, value);
    }

    fn finish(&mut self) -> ArrayRef {
        self.builder.finish()
    }
}

/// Nulls of a type that [`Value`] does not represent.
struct Nulls {
    data_type: DataType,
    count: usize,
}

impl AppendValue for Nulls {
    fn append(&mut self, _: Option<&Value>) {
        self.count += 1;
    }

    fn finish(&mut self) -> ArrayRef {
        new_null_array(&self.data_type, self.count)
    }
}

/// Narrows a stored scalar to the width of its column; `None` if it does not fit.
trait Narrow<N> {
    fn narrow(self) -> Option<N>;
}

macro_rules! narrow_by_try {
    ($from:ty => $($to:ty),*) => {
        $(impl Narrow<$to> for $from {
            fn narrow(self) -> Option<$to> { <$to>::try_from(self).ok() }
        })*
    };
}

narrow_by_try!(i64 => i8, i16, i32, i64);
narrow_by_try!(u64 => u8, u16, u32, u64);

impl Narrow<f64> for f64 {
    fn narrow(self) -> Option<f64> {
        Some(self)
    }
}

impl Narrow<f32> for f64 {
    fn narrow(self) -> Option<f32> {
        // The value came from a 32-bit float column, so this cast restores it exactly.
        #[expect(clippy::cast_possible_truncation, reason = "the value was a 32-bit float before it was widened")]
        Some(self as f32)
    }
}

impl Narrow<half::f16> for f64 {
    fn narrow(self) -> Option<half::f16> {
        Some(half::f16::from_f64(self))
    }
}

impl Narrow<i256> for i256 {
    fn narrow(self) -> Option<i256> {
        Some(self)
    }
}

impl Narrow<i128> for i256 {
    fn narrow(self) -> Option<i128> {
        self.to_i128()
    }
}

impl Narrow<i64> for i256 {
    fn narrow(self) -> Option<i64> {
        self.to_i128().and_then(|value| value.try_into().ok())
    }
}

impl Narrow<i32> for i256 {
    fn narrow(self) -> Option<i32> {
        self.to_i128().and_then(|value| value.try_into().ok())
    }
}
