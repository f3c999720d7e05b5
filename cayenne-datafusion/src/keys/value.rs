//! Finds the key value that equals a literal of another type.
//!
//! SQL coerces both sides of `key = literal` to one type and compares them there. If the cast of the key to that type
//! is injective, at most one key value equals the literal: the literal cast to the type of the key, if casting it back
//! gives the same literal.

use arrow_schema::{DataType, TimeUnit};
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::scalar::ScalarValue;

/// Below this bound, every integer has a 64-bit float of its own.
const WHOLE_FLOATS_END: f64 = 9_007_199_254_740_992.0;
/// Number of decimal digits that survive a round trip through a 64-bit float.
const FLOAT_DIGITS: u8 = 15;
/// Largest power of ten that a 64-bit float represents exactly, as an exponent.
const FLOAT_SCALE_MAX: i8 = 22;

/// The key values that equal a literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Equals {
    /// No value of the key.
    Nothing,
    /// At most this value.
    Value(ScalarValue),
}

/// Says whether keys of this type can be looked up. For these types, values that SQL considers equal are the same key.
pub(crate) fn is_key(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Float32 | DataType::Float64)
        || matches!(data_type, DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..))
        || data_type.is_integer()
        || data_type.is_decimal()
        || data_type.is_string()
        || is_binary(data_type)
}

/// Says whether SQL considers all values with the same key as this one equal to it, so that nothing is left to compare.
/// This is false for zeros, because both signs are one key, and for NaNs, which are all one key.
pub(crate) fn is_equal_to_its_key(value: &ScalarValue) -> bool {
    float(value).is_none_or(|value| value != 0.0 && !value.is_nan())
}

/// Returns the key values of a type that equal a literal, as the planner would compare them; `None` if that is not
/// known.
pub(crate) fn equal_to(key: &DataType, literal: &ScalarValue) -> Option<Equals> {
    let found = literal.data_type();
    if found == *key {
        return compared_as(key, key, literal);
    }
    let (ours, theirs) = BinaryTypeCoercer::new(key, &Operator::Eq, &found).get_input_types().ok()?;
    if ours != theirs {
        return None;
    }
    // A literal that cannot be cast is an error, which the plan that makes the comparison returns.
    compared_as(key, &ours, &literal.cast_to(&theirs).ok()?)
}

/// Returns the key values of a type that equal `value` once they are cast to `compared`; `None` if that is not known.
pub(crate) fn compared_as(key: &DataType, compared: &DataType, value: &ScalarValue) -> Option<Equals> {
    if value.data_type() != *compared {
        return None;
    }
    if value.is_null() {
        return Some(Equals::Nothing);
    }
    if key == compared {
        return Some(Equals::Value(plain(value)));
    }
    if !each_has_its_own(key, compared, value) {
        return None;
    }
    let Ok(found) = value.cast_to(key) else { return Some(Equals::Nothing) };
    let comes_back = found.cast_to(compared).is_ok_and(|back| back == *value);
    Some(if comes_back && !found.is_null() { Equals::Value(plain(&found)) } else { Equals::Nothing })
}

/// Says whether the cast from the type of the key to the type of the comparison is injective and can be reversed, at
/// least around `value`.
fn each_has_its_own(key: &DataType, compared: &DataType, value: &ScalarValue) -> bool {
    use DataType as T;
    if let Some(float) = float(value)
        && (float == 0.0 || float.is_nan())
    {
        // The comparison itself must decide which zeros and NaNs are equal.
        return false;
    }
    match (key, compared) {
        (T::Float32, T::Float64)
        | (T::Date32, T::Date64)
        | (T::Time32(TimeUnit::Second), T::Time32(TimeUnit::Millisecond))
        | (T::Time32(_), T::Time64(_))
        | (T::Time64(TimeUnit::Microsecond), T::Time64(TimeUnit::Nanosecond)) => true,
        (T::Timestamp(unit, zone), T::Timestamp(other, other_zone)) => {
            // A local time in a time zone may be no instant, or two.
            unit <= other && zone.is_some() == other_zone.is_some()
        }
        (key, compared) if key.is_string() => compared.is_string(),
        (key, compared) if is_binary(key) => is_binary(compared),
        (key, T::Float64) if key.is_integer() => {
            whole(key).is_some_and(|(_, bits)| bits <= 32) || float(value).is_some_and(|v| v.abs() < WHOLE_FLOATS_END)
        }
        (key, T::Float64) => {
            digits(key).is_some_and(|(digits, scale)| digits <= FLOAT_DIGITS && (0..=FLOAT_SCALE_MAX).contains(&scale))
        }
        (key, compared) if compared.is_integer() => match (whole(key), whole(compared)) {
            (Some((signed, bits)), Some((other_signed, other_bits))) => {
                (signed == other_signed && bits <= other_bits) || (other_signed && bits < other_bits)
            }
            _ => false,
        },
        (key, compared) if compared.is_decimal() => match (digits(key), digits(compared)) {
            (Some((digits, scale)), Some((other_digits, other_scale))) => {
                let before_the_point = |digits: u8, scale: i8| i16::from(digits) - i16::from(scale);
                scale <= other_scale && before_the_point(digits, scale) <= before_the_point(other_digits, other_scale)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Returns the representative of all values that have the same key as this one.
fn plain(value: &ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(float)) if *float == 0.0 => ScalarValue::Float32(Some(0.0)),
        ScalarValue::Float64(Some(float)) if *float == 0.0 => ScalarValue::Float64(Some(0.0)),
        ScalarValue::Float32(Some(float)) if float.is_nan() => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float64(Some(float)) if float.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        other => other.clone(),
    }
}

fn float(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float32(Some(value)) => Some(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => Some(*value),
        _ => None,
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// Returns whether the integers of a type are signed, and their number of bits.
fn whole(data_type: &DataType) -> Option<(bool, u32)> {
    match data_type {
        DataType::Int8 => Some((true, 8)),
        DataType::Int16 => Some((true, 16)),
        DataType::Int32 => Some((true, 32)),
        DataType::Int64 => Some((true, 64)),
        DataType::UInt8 => Some((false, 8)),
        DataType::UInt16 => Some((false, 16)),
        DataType::UInt32 => Some((false, 32)),
        DataType::UInt64 => Some((false, 64)),
        _ => None,
    }
}

/// Returns the number of digits of a type's numbers, and how many of them follow the decimal point.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => Some((*digits, *scale)),
        whole_number => match whole(whole_number)? {
            (_, 8) => Some((3, 0)),
            (_, 16) => Some((5, 0)),
            (_, 32) => Some((10, 0)),
            _ => Some((20, 0)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(value: impl Into<ScalarValue>) -> Equals {
        Equals::Value(value.into())
    }

    const NOTHING: Option<Equals> = Some(Equals::Nothing);

    #[test]
    fn whole_numbers_equal_what_they_are_and_no_fraction() {
        let of = |literal: ScalarValue| equal_to(&DataType::Int16, &literal);
        assert_eq!(of(7_i64.into()), Some(only(7_i16)));
        assert_eq!(of(70_000_i64.into()), NOTHING);
        assert_eq!(of(ScalarValue::Int64(None)), NOTHING);
        assert_eq!(of(1.5_f64.into()), NOTHING);
        assert_eq!(of(2.0_f64.into()), Some(only(2_i16)));
        assert_eq!(of((-0.0_f64).into()), None, "those who compare say whether it is 0");
        let long = |literal: f64| equal_to(&DataType::Int64, &literal.into());
        assert_eq!(long(9_007_199_254_740_991.0), Some(only(9_007_199_254_740_991_i64)));
        assert_eq!(long(9_007_199_254_740_992.0), None, "the next number is the same float");
        assert_eq!(equal_to(&DataType::UInt64, &(-1_i64).into()), NOTHING);
    }

    #[test]
    fn decimals_equal_those_of_other_scales() {
        let key = DataType::Decimal128(10, 2);
        let of = |unscaled, digits, scale| equal_to(&key, &ScalarValue::Decimal128(Some(unscaled), digits, scale));
        let found = |unscaled| Some(only(ScalarValue::Decimal128(Some(unscaled), 10, 2)));
        assert_eq!(of(15, 3, 1), found(150));
        assert_eq!(of(1_500, 4, 3), found(150));
        assert_eq!(of(1_501, 4, 3), NOTHING);
        assert_eq!(equal_to(&key, &1.25_f64.into()), found(125));
        assert_eq!(equal_to(&key, &1.255_f64.into()), NOTHING);
        assert_eq!(equal_to(&DataType::Decimal128(30, 2), &1.25_f64.into()), None);
    }

    #[test]
    fn instants_between_two_units_equal_nothing() {
        let key = DataType::Timestamp(TimeUnit::Microsecond, None);
        let of = |nanos| equal_to(&key, &ScalarValue::TimestampNanosecond(Some(nanos), None));
        assert_eq!(of(7_000), Some(only(ScalarValue::TimestampMicrosecond(Some(7), None))));
        assert_eq!([of(7_001), of(-1)], [NOTHING, NOTHING]);
        let zoned = ScalarValue::TimestampMicrosecond(Some(7), Some("Europe/Vienna".into()));
        assert_eq!(equal_to(&key, &zoned), None);
    }

    #[test]
    fn floats_that_are_one_key_are_compared_once_more() {
        let of = |literal: f64| equal_to(&DataType::Float64, &literal.into());
        assert_eq!(of(-0.0), Some(only(0.0_f64)));
        assert_eq!(of(-f64::NAN), Some(only(f64::NAN)));
        assert!(!is_equal_to_its_key(&0.0_f64.into()) && !is_equal_to_its_key(&f32::NAN.into()));
        assert!(is_equal_to_its_key(&1.0_f64.into()) && is_equal_to_its_key(&0_i64.into()));
        assert_eq!(equal_to(&DataType::Float32, &0.1_f64.into()), NOTHING);
        assert_eq!(equal_to(&DataType::Float32, &0.5_f64.into()), Some(only(0.5_f32)));
    }
}
