//! Tombstones: keys that survive a round trip, and sets of them that remember the latest commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal256Array, Int64Array, StringArray};
use arrow_buffer::i256;
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use cayenne_deletes::{KeyCodec, TombstoneSet, Tombstones};
use cayenne_format::{ErrorKind, FrameKind, Sequence, open, seal};
use proptest::prelude::*;

/// The same keys in each form: hashed keys once of various lengths, and once of one length.
const SHAPES: usize = 4;

fn columns(shape: usize, keys: &[u8]) -> Vec<ArrayRef> {
    let integers = || Arc::new(keys.iter().map(|key| i64::from(*key) - 100).collect::<Int64Array>()) as ArrayRef;
    let texts = keys.iter().map(|key| "\0".repeat(usize::from(key % 3)) + &key.to_string());
    match shape {
        0 => vec![integers()],
        1 => vec![integers(), integers()],
        2 => vec![Arc::new(StringArray::from_iter_values(texts)), integers()],
        _ => vec![Arc::new(Decimal256Array::from_iter_values(keys.iter().map(|key| i256::from(i64::from(*key)))))],
    }
}

fn codec(shape: usize) -> KeyCodec {
    let columns = columns(shape, &[]);
    let field = |(index, column): (usize, &ArrayRef)| Field::new(index.to_string(), column.data_type().clone(), false);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    KeyCodec::new(&schema, &names).unwrap()
}

fn tombstones(shape: usize, keys: &[u8]) -> Tombstones {
    Tombstones::new(&codec(shape), &columns(shape, keys)).unwrap()
}

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

proptest! {
    #[test]
    fn what_was_stored_comes_back(shape in 0..SHAPES, keys in prop::collection::vec(any::<u8>(), 1..50)) {
        let stored = tombstones(shape, &keys);
        prop_assert_eq!(&Tombstones::decode(&stored.encode(), &codec(shape)).unwrap(), &stored);
        let mut keys = keys;
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(stored.len(), keys.len());
        prop_assert!(stored.keys().iter().is_sorted());
    }

    #[test]
    fn whole_keys_are_looked_for_as_the_rows_that_have_them(
        shape in 0..SHAPES,
        seed in any::<u64>(),
        keys in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let (codec, rows) = (codec(shape).with_seed(seed), columns(shape, &keys));
        let whole = codec.encode_rows(&rows).unwrap();
        prop_assert_eq!(codec.keys_of_bytes(&whole).unwrap(), codec.keys_of(&rows).unwrap());
    }

    #[test]
    fn a_set_remembers_the_latest_commit_of_each_key(
        shape in 0..SHAPES,
        commits in prop::collection::vec((1_u64..50, prop::collection::vec(0_u8..30, 0..10)), 0..10),
    ) {
        let codec = codec(shape);
        let mut set = TombstoneSet::new(&codec);
        let mut model: BTreeMap<u8, Sequence> = BTreeMap::new();
        for (number, keys) in &commits {
            set.add(&tombstones(shape, keys), sequence(*number)).unwrap();
            for key in keys {
                let latest = model.entry(*key).or_default();
                *latest = sequence(*number).max(*latest);
            }
        }
        prop_assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
        prop_assert_eq!(set.latest(), model.values().max().copied());
        let all: Vec<u8> = (0..40).collect();
        let expected: Vec<_> = all.iter().map(|key| model.get(key).copied()).collect();
        prop_assert_eq!(&set.sequences_of(&codec, &columns(shape, &all)).unwrap(), &expected);
        for (bytes, latest) in codec.encode_rows(&columns(shape, &all)).unwrap().iter().zip(expected) {
            prop_assert_eq!(set.sequence_of(bytes), latest);
            for row in 0..50 {
                prop_assert_eq!(set.hides(bytes, sequence(row)), latest.is_some_and(|latest| latest > sequence(row)));
            }
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused(shape in 0..SHAPES, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Tombstones::decode(&Bytes::from(bytes), &codec(shape)).is_err());
    }

    #[test]
    fn bytes_that_someone_prepared_never_panic(
        shape in 0..SHAPES,
        keys in prop::collection::vec(any::<u8>(), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let codec = codec(shape);
        let mut payload = open(FrameKind::Tombstones, &tombstones(shape, &keys).encode()).unwrap().to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(found) = Tombstones::decode(&seal(FrameKind::Tombstones, &payload), &codec) {
            let mut set = TombstoneSet::new(&codec);
            set.add(&found, sequence(1)).unwrap();
            prop_assert_eq!(set.len(), found.len());
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for shape in 0..SHAPES {
        let stored = tombstones(shape, &[1, 2, 200]).encode();
        for bit in 0..stored.len() * 8 {
            let mut changed = stored.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::decode(&changed.into(), &codec(shape)).is_err(), "bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(Tombstones::decode(&stored.slice(..length), &codec(shape)).is_err(), "length {length}");
        }
    }
}

#[test]
fn tombstones_of_other_keys_are_refused() {
    for shape in 0..SHAPES {
        let stored = tombstones(shape, &[1, 2]);
        for other in (0..SHAPES).filter(|other| *other != shape) {
            let error = Tombstones::decode(&stored.encode(), &codec(other)).unwrap_err();
            assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-deletion"));
        }
    }
    let mut set = TombstoneSet::new(&codec(0));
    assert_eq!(set.add(&tombstones(1, &[1]), sequence(1)).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused() {
    let mut payload = open(FrameKind::Tombstones, &tombstones(0, &[1]).encode()).unwrap().to_vec();
    payload[5..13].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Tombstones::decode(&seal(FrameKind::Tombstones, &payload), &codec(0)).is_err());
}
