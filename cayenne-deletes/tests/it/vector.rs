//! Deletion vectors: sets of positions survive a round trip, and nothing else decodes.

use std::collections::BTreeSet;

use bytes::Bytes;
use cayenne_deletes::DeletionVector;
use cayenne_format::{ErrorKind, FileId, FrameKind, open_version, seal_version};
use proptest::prelude::*;

const DATA_FILE: FileId = FileId::from_bytes([3; 16]);

fn decode(bytes: &Bytes) -> cayenne_format::Result<DeletionVector> {
    DeletionVector::decode(bytes, DATA_FILE, u64::MAX)
}

/// Rows whose distances have one order of magnitude. For most such vectors, gaps are the shorter form.
fn scattered() -> impl Strategy<Value = BTreeSet<u64>> {
    let gaps = |bits: u32| prop::collection::vec(0_u64..1 << bits, 1..1_500);
    (0_u32..50).prop_flat_map(gaps).prop_map(|gaps| {
        let mut next = 0_u64;
        gaps.into_iter()
            .map(|gap| {
                let position = next + gap;
                next = position + 1;
                position
            })
            .collect()
    })
}

fn positions() -> impl Strategy<Value = BTreeSet<u64>> {
    prop_oneof![ranges(), scattered()]
}

/// Single rows and whole ranges, near and far.
fn ranges() -> impl Strategy<Value = BTreeSet<u64>> {
    let start = prop_oneof![0_u64..100_000, 0_u64..u64::MAX - 10_000];
    let length = prop_oneof![Just(1_u64), 1_u64..6_000];
    prop::collection::vec((start, length), 1..6)
        .prop_map(|ranges| ranges.into_iter().flat_map(|(start, length)| start..start + length).collect())
}

/// The versions of the stored form.
const AS_ROARING: u16 = 1;
const AS_GAPS: u16 = 2;

fn sealed(version: u16, positions: &[u8]) -> Bytes {
    seal_version(FrameKind::DeletionVector, version, &[DATA_FILE.as_bytes().as_slice(), positions].concat())
}

fn version_of(stored: &Bytes) -> u16 {
    open_version(FrameKind::DeletionVector, stored).unwrap().0
}

/// About one row in `distance` of `rows` rows, each equally likely.
fn at_random(rows: u64, distance: u64) -> DeletionVector {
    let mut state = 7_u64;
    let is_drawn = |_: &u64| {
        // The finalizer of splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)).is_multiple_of(distance)
    };
    (0..rows).filter(is_drawn).collect()
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
    fn positions_in_any_order_make_the_same_vector(positions in prop::collection::vec(0_u64..200_000, 0..500)) {
        let expected: BTreeSet<u64> = positions.iter().copied().collect();
        prop_assert!(DeletionVector::of(positions).positions().eq(expected));
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
        let (version, payload) = open_version(FrameKind::DeletionVector, &stored).unwrap();
        let mut payload = payload.to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(vector) = decode(&seal_version(FrameKind::DeletionVector, version, &payload)) {
            let _any_number = (vector.len(), vector.max(), vector.hidden_before(7), vector.memory_bytes());
        }
    }
}

proptest! {
    #[test]
    fn gaps_that_nobody_wrote_are_positions_or_refused(
        count in prop_oneof![0_u64..2_000, any::<u64>()],
        bits in prop::collection::vec(any::<u8>(), 0..300),
        rows in prop_oneof![1_u64..100_000, any::<u64>()],
    ) {
        let stored = sealed(AS_GAPS, &[count.to_le_bytes().as_slice(), &bits].concat());
        if let Ok(vector) = DeletionVector::decode(&stored, DATA_FILE, rows) {
            prop_assert_eq!(vector.len(), count);
            prop_assert!(vector.positions().is_sorted_by(|before, after| before < after));
            prop_assert!(vector.max().is_some_and(|last| last < rows));
        }
    }

    #[test]
    fn vectors_of_the_first_version_are_still_read(positions in positions()) {
        let mut stored = Vec::new();
        positions.iter().copied().collect::<roaring::RoaringTreemap>().serialize_into(&mut stored).unwrap();
        prop_assert!(decode(&sealed(AS_ROARING, &stored)).unwrap().positions().eq(positions));
    }
}

#[test]
fn one_random_row_in_a_hundred_takes_little_more_than_a_byte() {
    // Tenths of a bit.
    for (distance, most) in [(10, 49), (100, 83), (1_000, 119)] {
        let vector = at_random(1_000_000, distance);
        let stored = vector.encode(DATA_FILE);
        let tenths = 80 * stored.len() as u64 / vector.len();
        assert!(tenths < most, "{tenths} tenths of a bit for each row of {distance}");
        assert_eq!(version_of(&stored), AS_GAPS);
        assert_eq!(decode(&stored).unwrap(), vector);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for vector in [DeletionVector::from_iter([1, 5, 100_000]), (0..100_000).collect()] {
        flip_and_cut(&vector.encode(DATA_FILE));
    }
}

fn flip_and_cut(stored: &Bytes) {
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
fn many_positions_are_not_taken_for_few_bytes() {
    // Each claims more gaps than the bytes can hold.
    for count in [1_u64, 9, 1 << 40, u64::MAX] {
        assert!(decode(&sealed(AS_GAPS, &count.to_le_bytes())).is_err(), "{count}");
        assert!(decode(&sealed(AS_GAPS, &[count.to_le_bytes().as_slice(), &[0]].concat())).is_err(), "{count}");
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
        assert!(decode(&sealed(AS_ROARING, &claim)).is_err(), "{claim:?}");
    }
}

#[test]
fn ranges_take_little_room_when_stored_and_when_read() {
    let stored = (0..1_000_000).collect::<DeletionVector>().encode(DATA_FILE);
    assert!(stored.len() < 1_000, "{} bytes", stored.len());
    assert_eq!(version_of(&stored), AS_ROARING);
    assert!(decode(&stored).unwrap().memory_bytes() < 2_000);
}
