//! Which files become one.

use std::collections::BTreeMap;

use crate::{CompactionLimits, File, Reason, Tier};

/// Files that are to be rewritten together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick<Id> {
    /// Why.
    pub reason: Reason,
    /// The files, never more than [`files_per_pick`](CompactionLimits::files_per_pick), smallest first.
    pub files: Vec<Id>,
    /// Their bytes: what is read.
    pub bytes: u64,
    /// Their visible rows: what is written.
    pub live_rows: u64,
}

/// Chooses files for a reason, of one group; `None` if there are none that are worth it.
///
/// A file is taken only if those that are smaller are, all together, two thirds as large: else every byte would be written
/// over and over. They are taken smallest first, and for the sake of layers out of the oldest, until they make a file of
/// the size that files are to have. At least two files become one; a file of which much is hidden, or that is incomplete,
/// is rewritten alone if need be. When somebody asks, every file is taken that is not settled, has hidden rows, or is
/// incomplete.
#[must_use]
pub fn pick<Id: Clone + Ord>(files: &[File<Id>], reason: Reason, limits: &CompactionLimits) -> Option<Pick<Id>> {
    let limits = limits.clamped();
    groups(files).values().find_map(|group| pick_of_group(group, reason, &limits))
}

pub(crate) fn pick_of_group<Id: Clone + Ord>(
    group: &[&File<Id>],
    reason: Reason,
    limits: &CompactionLimits,
) -> Option<Pick<Id>> {
    let is_candidate = |file: &&File<Id>| match (reason, limits.tier(file.bytes)) {
        (Reason::Deletes, _) => limits.is_mostly_hidden(file),
        (Reason::Incomplete, _) => file.is_incomplete,
        (Reason::Files, tier) => tier == Tier::Small,
        (Reason::MidBytes, tier) => tier == Tier::Mid,
        (Reason::Layers | Reason::LayerAge, tier) => tier != Tier::Settled,
        (Reason::Manual, tier) => tier != Tier::Settled || file.hidden_rows > 0 || file.is_incomplete,
    };
    let mut candidates: Vec<&File<Id>> = group.iter().copied().filter(is_candidate).collect();
    if matches!(reason, Reason::Layers | Reason::LayerAge) {
        candidates.sort_by(|a, b| (a.layer, a.bytes, &a.id).cmp(&(b.layer, b.bytes, &b.id)));
        candidates.truncate(limits.files_per_pick);
    }
    candidates.sort_by(|a, b| (a.bytes, &a.id).cmp(&(b.bytes, &b.id)));
    let taken = taken(&candidates, reason, limits);
    let is_enough = taken.len() >= 2 || taken.iter().any(|file| is_better_alone(file, reason));
    is_enough.then(|| Pick {
        reason,
        files: taken.iter().map(|file| file.id.clone()).collect(),
        bytes: taken.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
        live_rows: taken.iter().fold(0, |sum, file| sum.saturating_add(file.rows.saturating_sub(file.hidden_rows))),
    })
}

/// Says whether a file is rewritten for what is wrong with it, however large it is.
fn mends(reason: Reason) -> bool {
    matches!(reason, Reason::Deletes | Reason::Incomplete | Reason::Manual)
}

fn is_better_alone<Id>(file: &File<Id>, reason: Reason) -> bool {
    mends(reason) && (file.hidden_rows > 0 || file.is_incomplete)
}

/// Returns how many files the first of several picks takes, where all of them are to become one: so many that every later
/// one, which has the outcome of this one among its files, is full. So the fewest bytes are written twice (Knuth, The Art
/// of Computer Programming, volume 3, 5.4.9: optimal merge patterns).
fn first_of_several<Id>(candidates: &[&File<Id>], limits: &CompactionLimits) -> usize {
    let live = candidates.iter().fold(0_u64, |sum, file| sum.saturating_add(file.live_bytes()));
    let later = limits.files_per_pick - 1;
    if candidates.len() <= limits.files_per_pick || live >= limits.target_bytes {
        return limits.files_per_pick;
    }
    match (candidates.len() - 1) % later {
        0 => limits.files_per_pick,
        rest => rest + 1,
    }
}

/// Takes candidates, smallest first.
fn taken<'a, Id>(candidates: &[&'a File<Id>], reason: Reason, limits: &CompactionLimits) -> Vec<&'a File<Id>> {
    let takes_any_size = mends(reason) || reason == Reason::MidBytes;
    let at_most = if reason == Reason::Manual { first_of_several(candidates, limits) } else { limits.files_per_pick };
    let (mut taken, mut live): (Vec<&File<Id>>, _) = (Vec::new(), 0_u64);
    for file in candidates {
        // Half as large again as all before.
        let is_too_large = !taken.is_empty() && file.bytes / 3 > live / 2;
        if is_too_large && !takes_any_size {
            if taken.len() >= 2 {
                break;
            }
            // The one before is not worth it. From this on there may be others like it.
            (taken, live) = (Vec::new(), 0);
        }
        taken.push(*file);
        live = live.saturating_add(file.live_bytes());
        if taken.len() >= at_most || (live >= limits.target_bytes && taken.len() >= 2) {
            break;
        }
    }
    taken
}

/// Returns the files of each group.
pub(crate) fn groups<Id>(files: &[File<Id>]) -> BTreeMap<usize, Vec<&File<Id>>> {
    let mut groups: BTreeMap<usize, Vec<&File<Id>>> = BTreeMap::new();
    for file in files {
        groups.entry(file.group).or_default().push(file);
    }
    groups
}
