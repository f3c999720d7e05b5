//! Deletion vectors: sets of positions that survive being stored.

use cayenne_deletes::DeletionVector;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_was_stored_comes_back(positions in prop::collection::btree_set(any::<u64>(), 1..100)) {
        let vector: DeletionVector = positions.iter().copied().collect();
        let again = DeletionVector::decode(&vector.encode()).unwrap();
        prop_assert!(again.positions().eq(positions));
    }
}
