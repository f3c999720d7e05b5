//! Row maps of rewrites, compared with writing the rows out one by one.

use std::collections::{BTreeMap, BTreeSet};

use cayenne_deletes::{DeletionVector, RowMap};
use cayenne_format::{ErrorKind, FileId};
use proptest::prelude::*;

fn file(number: usize) -> FileId {
    FileId::from_bytes([u8::try_from(number).unwrap(); 16])
}

type Inputs = Vec<(FileId, u64, DeletionVector)>;

fn inputs() -> impl Strategy<Value = Inputs> {
    let one = (0_u64..30, prop::collection::btree_set(0_u64..30, 0..20));
    prop::collection::vec(one, 1..5).prop_map(|inputs| {
        let input = |(number, (rows, left_out)): (usize, (u64, BTreeSet<u64>))| {
            (file(number), rows, left_out.into_iter().filter(|position| *position < rows).collect())
        };
        inputs.into_iter().enumerate().map(input).collect()
    })
}

/// Cuts the rows that were kept into outputs, some of which may be empty.
fn outputs(inputs: &Inputs, cuts: &[u64]) -> Vec<(FileId, u64)> {
    let mut left: u64 = inputs.iter().map(|(_, rows, left_out)| rows - left_out.len()).sum();
    let mut outputs = Vec::new();
    for (number, cut) in cuts.iter().enumerate() {
        outputs.push((file(100 + number), left.min(*cut)));
        left -= left.min(*cut);
    }
    outputs.push((file(200), left));
    outputs
}

proptest! {
    #[test]
    fn rows_are_where_writing_them_one_by_one_puts_them(
        inputs in inputs(),
        cuts in prop::collection::vec(0_u64..20, 0..5),
        hidden in prop::collection::btree_set(0_u64..40, 0..30),
    ) {
        let outputs = outputs(&inputs, &cuts);
        let map = RowMap::new(inputs.clone(), outputs.clone()).unwrap();
        let mut places = outputs.iter().flat_map(|(file, rows)| (0..*rows).map(move |position| (*file, position)));
        for (input, rows, left_out) in &inputs {
            let mut carried: BTreeMap<FileId, BTreeSet<u64>> = BTreeMap::new();
            for position in 0..*rows {
                let place = if left_out.hides(position) { None } else { places.next() };
                prop_assert_eq!(map.place(*input, position), place);
                if let Some((file, place)) = place.filter(|_| hidden.contains(&position)) {
                    carried.entry(file).or_default().insert(place);
                }
            }
            prop_assert_eq!(map.place(*input, *rows), None);
            let found = map.carry(*input, &hidden.iter().copied().collect());
            let found: BTreeMap<FileId, BTreeSet<u64>> =
                found.into_iter().map(|(file, vector)| (file, vector.positions().collect())).collect();
            prop_assert_eq!(found, carried);
        }
        prop_assert_eq!(places.next(), None);
    }
}

#[test]
fn a_rewrite_that_lost_or_made_up_rows_is_refused() {
    let none = DeletionVector::default;
    let wrong = [
        RowMap::new(vec![(file(1), 5, none())], vec![(file(2), 4)]),
        RowMap::new(vec![(file(1), 5, none())], vec![]),
        RowMap::new(vec![(file(1), 5, DeletionVector::from_iter([5]))], vec![(file(2), 4)]),
        RowMap::new(vec![(file(1), 1, none()), (file(1), 1, none())], vec![(file(2), 2)]),
        RowMap::new(vec![(file(1), 2, none())], vec![(file(2), 1), (file(2), 1)]),
        RowMap::new(vec![(file(1), 2, none())], vec![(file(1), 2)]),
        RowMap::new(vec![(file(1), u64::MAX, none()), (file(3), 1, none())], vec![(file(2), 0)]),
    ];
    for result in wrong {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Internal);
    }
}

#[test]
fn a_file_that_was_not_rewritten_carries_nothing() {
    let map = RowMap::new(vec![(file(1), 1, DeletionVector::default())], vec![(file(2), 1)]).unwrap();
    assert_eq!(map.place(file(9), 0), None);
    assert!(map.carry(file(9), &DeletionVector::from_iter([0])).is_empty());
}
