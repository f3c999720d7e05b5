//! The index of a few rows in memory, compared with a map.

use std::collections::BTreeMap;

use cayenne_deletes::{KeepRule, Keys, SmallIndex, SortedKeys};
use proptest::prelude::*;

proptest! {
    #[test]
    fn finds_what_a_map_finds(
        rows in prop::collection::vec(0_u64..60, 0..60),
        probes in prop::collection::vec(0_u64..70, 0..60),
        last in any::<bool>(),
        wide in any::<bool>(),
    ) {
        let as_keys = |keys: &[u64]| if wide {
            Keys::Wide(keys.iter().map(|key| u128::from(*key) << 64).collect())
        } else {
            Keys::Narrow(keys.to_vec())
        };
        let mut map = BTreeMap::new();
        let mut superseded = Vec::new();
        for (position, key) in (0_u64..).zip(&rows) {
            if last {
                superseded.extend(map.insert(*key, position));
            } else if *map.entry(*key).or_insert(position) != position {
                superseded.push(position);
            }
        }
        superseded.sort_unstable();
        let keep = if last { KeepRule::Last } else { KeepRule::First };
        let (index, hidden) = SmallIndex::new(&as_keys(&rows), keep);
        prop_assert_eq!(index.len(), map.len());
        prop_assert!(hidden.positions().eq(superseded));
        let sorted = SortedKeys::new(as_keys(&probes));
        let mut found = BTreeMap::new();
        index.find(&sorted, 0..sorted.len(), &mut |place, position| {
            found.insert(sorted.row(place).unwrap(), position);
        });
        let expected: BTreeMap<_, _> =
            probes.iter().enumerate().filter_map(|(row, key)| Some((row, *map.get(key)?))).collect();
        prop_assert_eq!(found, expected);
    }
}
