//! Choosing the files that are rewritten together.

use std::collections::BTreeMap;

use crate::{CompactionLimits, File, Reason, Tier};

/// Files that are to be rewritten together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick<Id> {
    /// The reason for rewriting them.
    pub reason: Reason,
    /// The files, never more than [`files_per_pick`](CompactionLimits::files_per_pick), smallest first.
    pub files: Vec<Id>,
    /// The bytes of the files: what a pass reads.
    pub bytes: u64,
    /// The visible rows of the files: what a pass writes.
    pub live_rows: u64,
}

/// Chooses files of one group for a reason; `None` if no files are worth rewriting.
///
/// Files are taken smallest first, until they make a file of the target size; for the layer reasons, they come from the
/// oldest layers. For those and for [`Reason::Files`], a file is taken only if all smaller files together are two
/// thirds as large: otherwise every byte would be rewritten again and again. A pick has at least two files, but a file
/// with many hidden rows, or an incomplete one, is rewritten alone if need be. [`Reason::Manual`] takes every file that
/// is below the target size, has hidden rows, or is incomplete.
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

/// Says whether a file is rewritten for a defect of its own, however large it is.
fn mends(reason: Reason) -> bool {
    matches!(reason, Reason::Deletes | Reason::Incomplete | Reason::Manual)
}

fn is_better_alone<Id>(file: &File<Id>, reason: Reason) -> bool {
    mends(reason) && (file.hidden_rows > 0 || file.is_incomplete)
}

/// Returns how many files the first of several picks takes, if all candidates are to become one file: as many as make
/// every later pick, which includes the output of the one before, full. This writes the fewest bytes twice (Knuth, The
/// Art of Computer Programming, volume 3, 5.4.9: optimal merge patterns).
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
        // More than 1.5 times as large as all files taken before.
        let is_too_large = !taken.is_empty() && file.bytes / 3 > live / 2;
        if is_too_large && !takes_any_size {
            if taken.len() >= 2 {
                break;
            }
            // The one file taken before is not worth rewriting. The search starts again here: files of this size may
            // follow.
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
