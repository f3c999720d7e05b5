//! Folding deletion files: few files are kept, and few positions are rewritten.

use cayenne_deletes::pick_fold;
use proptest::prelude::*;

/// Adds files of these sizes one after another, folding after each. Returns the maximum number of files and the number
/// of positions that were written, by additions and by folds.
fn add_and_fold(added: &[u64]) -> (usize, u64) {
    let mut sizes: Vec<u64> = Vec::new();
    let mut files_max = 0;
    let mut written = 0;
    for size in added {
        sizes.push(*size);
        written += size;
        if let Some(range) = pick_fold(&sizes) {
            assert!(range.end == sizes.len() && range.len() >= 2);
            let folded = sizes.drain(range).sum();
            written += folded;
            sizes.push(folded);
        }
        assert_eq!(pick_fold(&sizes), None, "one fold is enough");
        files_max = files_max.max(sizes.len());
    }
    assert_eq!(sizes.iter().sum::<u64>(), added.iter().sum::<u64>());
    (files_max, written)
}

fn check(added: &[u64]) {
    let total: u64 = added.iter().sum();
    let (files_max, written) = add_and_fold(added);
    let levels = u64::from(total.max(1).ilog2());
    assert!(files_max as u64 <= levels + 1, "{files_max} files of {total} positions");
    assert!(written <= total * (levels + 2), "{written} written of {total}");
}

proptest! {
    #[test]
    fn few_files_are_kept_and_little_is_written_again(added in prop::collection::vec(1_u64..100_000, 1..300)) {
        check(&added);
    }

    #[test]
    fn sizes_of_any_magnitude_keep_the_bounds(bits in prop::collection::vec(0_u32..30, 1..300)) {
        check(&bits.into_iter().map(|bits| 1 << bits).collect::<Vec<_>>());
    }
}

#[test]
fn a_hundred_thousand_single_deletes_keep_the_bounds() {
    check(&vec![1; 100_000]);
}

#[test]
fn one_file_or_none_is_left_alone() {
    assert_eq!(pick_fold(&[]), None);
    assert_eq!(pick_fold(&[0]), None);
    assert_eq!(pick_fold(&[5]), None);
    assert_eq!(pick_fold(&[u64::MAX, u64::MAX, u64::MAX]), Some(0..3));
}
