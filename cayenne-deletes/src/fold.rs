//! Choosing the deletion files of one data file that are folded into one.

use std::ops::Range;

/// Chooses the deletion files to fold into one, given the number of positions of each, oldest first; `None` if there
/// are none to fold.
///
/// A file is folded with all newer ones as soon as these have at least as many positions together. So each file that
/// stays has more positions than all newer ones together, and *n* positions are never in more than log2(*n*) + 1 files.
/// A position that is folded ends up in a file at least twice as large as its own, unless it has only just been added,
/// so that it is written at most log2(*n*) + 2 times.
///
/// # Examples
///
/// ```
/// use cayenne_deletes::pick_fold;
///
/// assert_eq!(pick_fold(&[100, 10]), None);
/// assert_eq!(pick_fold(&[100, 10, 9, 2]), Some(1..4));
/// ```
#[must_use]
pub fn pick_fold(sizes: &[u64]) -> Option<Range<usize>> {
    let mut newer = 0_u64;
    let mut from = sizes.len();
    for (index, size) in sizes.iter().enumerate().rev() {
        if *size <= newer {
            from = index;
        }
        newer = newer.saturating_add(*size);
    }
    (from + 1 < sizes.len()).then_some(from..sizes.len())
}
