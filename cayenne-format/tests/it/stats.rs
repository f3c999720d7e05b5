//! Statistics and partition values: every kind of value comes back, damaged bytes do not.

use cayenne_format::{Bound, ColumnStats, FileStats, PartitionValue, Value};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        any::<f64>().prop_map(Value::Float),
        any::<i128>().prop_map(|value| Value::Decimal(arrow_buffer::i256::from_i128(value))),
        any::<String>().prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Value::Binary),
    ]
}

fn column() -> impl Strategy<Value = ColumnStats> {
    let bound = || prop::option::of((value(), any::<bool>()).prop_map(|(value, exact)| Bound { value, exact }));
    (bound(), bound(), any::<Option<u64>>(), any::<Option<u64>>())
        .prop_map(|(min, max, null_count, nan_count)| ColumnStats { min, max, null_count, nan_count })
}

proptest! {
    #[test]
    fn statistics_come_back_column_by_column(columns in prop::collection::vec(column(), 0..12)) {
        let stats = FileStats::from_bytes(FileStats::new(&columns).as_bytes().clone()).unwrap();
        prop_assert_eq!(stats.column_count(), columns.len());
        for (index, column) in columns.iter().enumerate() {
            prop_assert_eq!(&stats.column(index).unwrap(), column);
        }
        prop_assert_eq!(stats.column(columns.len()).unwrap(), ColumnStats::default());
    }

    #[test]
    fn damaged_statistics_are_refused(columns in prop::collection::vec(column(), 1..4), at in any::<prop::sample::Index>()) {
        let mut bytes = FileStats::new(&columns).as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 0x10;
        prop_assert!(FileStats::from_bytes(bytes.into()).is_err());
    }

    /// A forged payload with a valid checksum does not panic.
    #[test]
    fn a_forged_payload_is_an_error_and_no_panic(payload in prop::collection::vec(any::<u8>(), 4..200)) {
        let sealed = cayenne_format::seal(cayenne_format::FrameKind::FileStats, &payload);
        let stats = FileStats::from_bytes(sealed).unwrap();
        for index in [0, 1, 7, stats.column_count().saturating_sub(1)] {
            let _may_fail = stats.column(index);
        }
        let sealed = cayenne_format::seal(cayenne_format::FrameKind::PartitionValues, &payload);
        let _may_fail = PartitionValue::decode_all(&sealed);
    }

    #[test]
    fn partition_values_come_back(values in prop::collection::vec((any::<String>(), prop::option::of(value())), 0..5)) {
        let values: Vec<_> = values.into_iter().map(|(key, value)| PartitionValue { key, value }).collect();
        prop_assert_eq!(PartitionValue::decode_all(&PartitionValue::encode_all(&values)).unwrap(), values);
    }

    /// The order is total within a kind: reflexive, antisymmetric, transitive.
    #[test]
    fn values_have_one_order(a in value(), b in value(), c in value()) {
        prop_assert_eq!(a.compare(&a), Some(std::cmp::Ordering::Equal));
        prop_assert_eq!(a.compare(&b), b.compare(&a).map(std::cmp::Ordering::reverse));
        if let (Some(ab), Some(bc)) = (a.compare(&b), b.compare(&c))
            && ab == bc
        {
            prop_assert_eq!(a.compare(&c), Some(ab));
        }
    }
}
