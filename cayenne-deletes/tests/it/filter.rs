//! Hiding rows of batches, by position and by key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use cayenne_deletes::{
    DeletionVector, KeyCodec, RowSequences, RowState, TombstoneSet, Tombstones, hide_keys, hide_positions, is_hidden,
};
use cayenne_format::{ErrorKind, Sequence};
use proptest::prelude::*;

fn batch(ids: &[i64]) -> RecordBatch {
    let names = ids.iter().map(|id| format!("name {id}"));
    RecordBatch::try_from_iter(vec![
        ("name", Arc::new(StringArray::from_iter_values(names)) as ArrayRef),
        ("id", Arc::new(Int64Array::from(ids.to_vec()))),
    ])
    .unwrap()
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    batch.column(1).as_primitive::<Int64Type>().values().to_vec()
}

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

fn hidden(codec: &KeyCodec, commits: &[(u64, Vec<i64>)]) -> TombstoneSet {
    let mut set = TombstoneSet::new(codec);
    for (number, keys) in commits {
        let batch = batch(keys);
        let keys: Vec<ArrayRef> = codec.columns().iter().map(|column| Arc::clone(batch.column(*column))).collect();
        set.add(&Tombstones::new(codec, &keys).unwrap(), sequence(*number)).unwrap();
    }
    set
}

proptest! {
    #[test]
    fn positions_hide_their_rows_and_no_others(
        rows in 0_i64..50,
        first in 0_u64..100,
        positions in prop::collection::btree_set(0_u64..160, 0..60),
        // Roaring keeps positions with different upper halves in different bitmaps.
        offset in prop_oneof![Just(0), (1_u64 << 32) - 150..(1_u64 << 32) + 10],
    ) {
        let all: Vec<i64> = (0..rows).collect();
        let first = first + offset;
        let positions: BTreeSet<u64> = positions.into_iter().map(|position| position + offset).collect();
        let vector: DeletionVector = positions.iter().copied().collect();
        let shown = hide_positions(&batch(&all), first, &vector).unwrap();
        let expected: Vec<i64> =
            (first..).zip(all).filter(|(position, _)| !positions.contains(position)).map(|(_, id)| id).collect();
        prop_assert_eq!(ids(&shown), expected);
    }

    #[test]
    fn keys_hide_rows_of_earlier_commits_and_no_others(
        rows in prop::collection::vec((0_i64..10, 0_u64..10), 0..40),
        commits in prop::collection::vec((0_u64..10, prop::collection::vec(0_i64..10, 1..4)), 0..5),
        by_name in any::<bool>(),
    ) {
        let (keys, sequences): (Vec<i64>, Vec<Sequence>) = rows.iter().map(|(key, number)| (*key, sequence(*number))).unzip();
        let batch = batch(&keys);
        let codec = KeyCodec::new(&batch.schema(), &[if by_name { "name" } else { "id" }]).unwrap();
        let set = hidden(&codec, &commits);
        let is_shown = |key: i64, row: Sequence| {
            !commits.iter().any(|(number, keys)| keys.contains(&key) && sequence(*number) > row)
        };
        let expected: Vec<i64> =
            keys.iter().zip(&sequences).filter(|(key, row)| is_shown(**key, **row)).map(|(key, _)| *key).collect();
        let shown = hide_keys(&batch, &codec, RowSequences::Each(&sequences), &set).unwrap();
        prop_assert_eq!(ids(&shown), expected);
        let expected: Vec<i64> = keys.iter().copied().filter(|key| is_shown(*key, sequence(5))).collect();
        let shown = hide_keys(&batch, &codec, RowSequences::One(sequence(5)), &set).unwrap();
        prop_assert_eq!(ids(&shown), expected);
    }
}

#[test]
fn a_tombstone_never_hides_rows_of_its_own_commit() {
    let row = RowState { sequence: sequence(5), position: 3 };
    assert!(!is_hidden(row, None, None));
    assert!(!is_hidden(row, None, Some(sequence(4))));
    assert!(!is_hidden(row, None, Some(sequence(5))));
    assert!(is_hidden(row, None, Some(sequence(6))));
}

#[test]
fn a_vector_hides_whatever_the_sequence() {
    let row = RowState { sequence: sequence(5), position: 3 };
    assert!(is_hidden(row, Some(&DeletionVector::from_iter([3])), None));
    assert!(!is_hidden(row, Some(&DeletionVector::from_iter([2])), None));
    assert!(is_hidden(row, Some(&DeletionVector::from_iter([2])), Some(sequence(6))));
}

#[test]
fn an_upsert_shows_the_new_row_and_not_the_old_one() {
    let rows = batch(&[7, 8, 7]);
    let codec = KeyCodec::new(&rows.schema(), &["id"]).unwrap();
    let sequences = [sequence(1), sequence(1), sequence(2)];
    let shown = hide_keys(&rows, &codec, RowSequences::Each(&sequences), &hidden(&codec, &[(2, vec![7])])).unwrap();
    assert_eq!(ids(&shown), [8, 7]);
}

#[test]
fn sequences_that_are_not_as_many_as_the_rows_are_refused() {
    let rows = batch(&[7, 8]);
    let codec = KeyCodec::new(&rows.schema(), &["id"]).unwrap();
    let set = hidden(&codec, &[(2, vec![7])]);
    let error = hide_keys(&rows, &codec, RowSequences::Each(&[sequence(1)]), &set).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn a_batch_that_nothing_hides_is_returned_as_it_is() {
    let rows = batch(&[7, 8]);
    let codec = KeyCodec::new(&rows.schema(), &["id"]).unwrap();
    let same = hide_keys(&rows, &codec, RowSequences::One(sequence(2)), &hidden(&codec, &[(2, vec![7])])).unwrap();
    assert_eq!(same, rows);
    assert_eq!(hide_positions(&rows, 10, &DeletionVector::from_iter([9, 12])).unwrap(), rows);
}
