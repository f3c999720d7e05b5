//! Deletion vectors: sets of positions that survive being stored, and no others do.

use std::collections::BTreeSet;

use bytes::Bytes;
use cayenne_deletes::DeletionVector;
use cayenne_format::{ErrorKind, FileId, FrameKind, open, seal};
use proptest::prelude::*;

const DATA_FILE: FileId = FileId::from_bytes([3; 16]);

fn decode(bytes: &Bytes) -> cayenne_format::Result<DeletionVector> {
    DeletionVector::decode(bytes, DATA_FILE, u64::MAX)
}

/// Single rows and whole ranges, near and far.
fn positions() -> impl Strategy<Value = BTreeSet<u64>> {
    let start = prop_oneof![0_u64..100_000, 0_u64..u64::MAX - 10_000];
    let length = prop_oneof![Just(1_u64), 1_u64..6_000];
    prop::collection::vec((start, length), 1..6)
        .prop_map(|ranges| ranges.into_iter().flat_map(|(start, length)| start..start + length).collect())
}

fn payload_of(positions: &[u8]) -> Bytes {
    seal(FrameKind::DeletionVector, &[DATA_FILE.as_bytes().as_slice(), positions].concat())
}

proptest! {
    #[test]
    fn what_was_stored_comes_back(positions in positions()) {
        let vector: DeletionVector = positions.iter().copied().collect();
        let again = decode(&vector.encode(DATA_FILE)).unwrap();
        prop_assert_eq!(&again, &vector);
        prop_assert_eq!(again.max(), positions.last().copied());
        prop_assert!(again.positions().eq(positions));
    }

    #[test]
    fn stored_vectors_behave_as_sets(left in positions(), right in positions(), probe in 0_u64..110_000) {
        let stored = |set: &BTreeSet<u64>| decode(&set.iter().copied().collect::<DeletionVector>().encode(DATA_FILE)).unwrap();
        let (a, b) = (stored(&left), stored(&right));
        let mut both = a.clone();
        both.add(&b);
        prop_assert!(both.positions().eq(left.union(&right).copied()));
        prop_assert!(a.without(&b).positions().eq(left.difference(&right).copied()));
        prop_assert_eq!(a.intersects(&b), !left.is_disjoint(&right));
        for probe in [probe, *left.first().unwrap(), *left.last().unwrap(), u64::MAX] {
            prop_assert_eq!(a.hides(probe), left.contains(&probe));
            prop_assert_eq!(a.hidden_before(probe), left.range(..probe).count() as u64);
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(decode(&Bytes::from(bytes)).is_err());
    }

    #[test]
    fn bytes_that_someone_prepared_never_panic(
        positions in positions(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let stored = positions.into_iter().collect::<DeletionVector>().encode(DATA_FILE);
        let mut payload = open(FrameKind::DeletionVector, &stored).unwrap().to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(vector) = decode(&seal(FrameKind::DeletionVector, &payload)) {
            let _any_number = (vector.len(), vector.max(), vector.hidden_before(7), vector.memory_bytes());
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let stored = DeletionVector::from_iter([1, 5, 100_000]).encode(DATA_FILE);
    for bit in 0..stored.len() * 8 {
        let mut changed = stored.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&changed.into()).is_err(), "bit {bit}");
    }
    for length in 0..stored.len() {
        assert!(decode(&stored.slice(..length)).is_err(), "length {length}");
    }
}

#[test]
fn a_vector_of_another_file_or_of_rows_that_are_not_there_is_refused() {
    let stored = DeletionVector::from_iter([1, 5]).encode(DATA_FILE);
    assert!(DeletionVector::decode(&stored, DATA_FILE, 6).is_ok());
    let other_file = DeletionVector::decode(&stored, FileId::from_bytes([4; 16]), 6).unwrap_err();
    let no_such_row = DeletionVector::decode(&stored, DATA_FILE, 5).unwrap_err();
    for error in [other_file, no_such_row] {
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-deletion"));
    }
}

#[test]
fn claims_that_the_bytes_cannot_hold_are_refused() {
    let count = |count: u64| count.to_le_bytes().to_vec();
    let bitmap = |cookie: u32, size: u32| [0_u32, cookie, size].map(u32::to_le_bytes).concat();
    let claims = [
        count(0),
        count(u64::MAX),
        [count(1), bitmap(12_346, u32::MAX)].concat(),
        [count(1), bitmap(12_346, 65_536)].concat(),
        [count(1), bitmap(0xffff_303b, 0)].concat(),
        // Bitmaps without a position, and the same high half twice.
        [count(1), bitmap(12_346, 0)].concat(),
        [count(2), bitmap(12_346, 0), bitmap(12_346, 0)].concat(),
    ];
    for claim in claims {
        assert!(decode(&payload_of(&claim)).is_err(), "{claim:?}");
    }
}

#[test]
fn ranges_take_little_room_when_stored_and_when_read() {
    let stored = (0..1_000_000).collect::<DeletionVector>().encode(DATA_FILE);
    assert!(stored.len() < 1_000, "{} bytes", stored.len());
    assert!(decode(&stored).unwrap().memory_bytes() < 2_000);
}
