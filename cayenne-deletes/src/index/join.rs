//! Finding which of many ascending keys are among many others, in time that depends mainly on the smaller side.

use std::ops::Range;

use crate::SortedKeys;

/// Returns the first place of `places` for which `before` is false; `before` must be false for all places after it too.
///
/// This is a galloping search: it doubles its stride before it bisects. A place near the start is found in a few steps,
/// so that visiting all places in turn costs as little as a merge.
pub(super) fn gallop(places: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let mut low = places.start;
    let mut stride = 1;
    let mut high = loop {
        let next = low.saturating_add(stride - 1);
        if next >= places.end {
            break places.end;
        }
        if !before(next) {
            break next;
        }
        low = next + 1;
        stride *= 2;
    };
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Calls `found` with the place of each key of `run` that is among `count` ascending, unique entries, and with its
/// entry.
pub(super) fn join(
    keys: &SortedKeys,
    run: &Range<usize>,
    count: usize,
    entry: impl Fn(usize) -> u128,
    mut found: impl FnMut(usize, usize),
) {
    let run = keys.clamp(run);
    let mut place = run.start;
    let mut at = 0;
    while place < run.end {
        let key = keys.at(place);
        at = gallop(at..count, |at| entry(at) < key);
        if at == count {
            return;
        }
        let next = entry(at);
        if next == key {
            found(place, at);
            place += 1;
        } else {
            place = gallop(place..run.end, |place| keys.at(place) < next);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn galloping_finds_what_a_look_at_each_place_finds(start in 0_usize..50, length in 0_usize..200, limit in 0_usize..300) {
            let end = start + length;
            prop_assert_eq!(gallop(start..end, |place| place < limit), limit.clamp(start, end));
        }
    }
}
