//! Deciding which files are compacted next and why, or why none are.

use std::collections::BTreeSet;

use crate::pick::{groups, pick_of_group};
use crate::{CompactionLimits, File, Pick, Reason, Tier};

/// How near a reason is to apply, in the group of files that is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The reason.
    pub reason: Reason,
    /// The measured value: percent of hidden rows, incomplete files, small files, bytes of files of the middle tier,
    /// layers, or seconds.
    pub found: u64,
    /// The value at which the reason applies; `None` if it is switched off.
    pub limit: Option<u64>,
    /// Whether the reason applies.
    pub applies: bool,
    /// Number of files in the pass that it begins. 0 if it begins none: either it does not apply, or it applies but
    /// each of its files is more than 1.5 times as large as the next smaller one, so that a pass would mostly rewrite
    /// what is large already.
    pub takes: usize,
}

/// The files to compact next, and the findings that led to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<Id> {
    /// How near each reason is to apply, and whether it begins a pass, in the order in which the reasons are examined.
    pub findings: Vec<Finding>,
    /// The files to compact next: those of the first reason that begins a pass. `None` if none does.
    pub next: Option<Pick<Id>>,
}

/// Reports for each reason how near it is to apply, and which reason begins a pass.
///
/// # Examples
///
/// ```
/// use cayenne_compaction::{CompactionLimits, File, Reason, decide};
/// use std::time::Duration;
///
/// let file = |id, bytes| File { id, bytes, rows: 10, hidden_rows: 0, layer: 1, age: Duration::ZERO, group: 0, is_incomplete: false };
/// let limits = CompactionLimits { small_files: 2, ..CompactionLimits::default() };
/// let of = |second| {
///     let findings = decide(&[file("a", 100), file("b", second)], &limits).findings;
///     findings.into_iter().find(|finding| finding.reason == Reason::Files).map(|files| (files.applies, files.takes))
/// };
/// assert_eq!(of(150), Some((true, 2)));
/// assert_eq!(of(200), Some((true, 0)));
/// ```
#[must_use]
pub fn decide<Id: Clone + Ord>(files: &[File<Id>], limits: &CompactionLimits) -> Decision<Id> {
    let limits = limits.clamped();
    let groups = groups(files);
    let (mut findings, mut next) = (Vec::new(), None);
    for reason in Reason::OF_THEMSELVES {
        let judged = groups.values().map(|group| judge(reason, group, &limits));
        let (mut nearest, mut picked) = judge(reason, &[], &limits);
        for (finding, pick) in judged {
            let nearness = |finding: &Finding| (finding.takes > 0, finding.applies, finding.found);
            if nearness(&finding) > nearness(&nearest) {
                nearest = finding;
            }
            picked = picked.or(pick);
        }
        findings.push(nearest);
        next = next.or(picked);
    }
    Decision { findings, next }
}

/// Reports for each reason how near it is to apply, as [`decide`] does.
#[must_use]
pub fn why<Id: Clone + Ord>(files: &[File<Id>], limits: &CompactionLimits) -> Vec<Finding> {
    decide(files, limits).findings
}

/// Returns the files to compact next, as [`decide`] does; `None` if there is nothing to do, or nothing worth rewriting.
#[must_use]
pub fn next<Id: Clone + Ord>(files: &[File<Id>], limits: &CompactionLimits) -> Option<Pick<Id>> {
    decide(files, limits).next
}

/// Returns the finding for a reason in a group of files, and the pass that it begins.
fn judge<Id: Clone + Ord>(
    reason: Reason,
    group: &[&File<Id>],
    limits: &CompactionLimits,
) -> (Finding, Option<Pick<Id>>) {
    let (found, limit, applies) = measure(reason, group, limits);
    let picked = if applies { pick_of_group(group, reason, limits) } else { None };
    let takes = picked.as_ref().map_or(0, |pick| pick.files.len());
    (Finding { reason, found, limit, applies, takes }, picked)
}

/// Returns the measured value for a reason, the value at which it applies, and whether it applies.
fn measure<Id>(reason: Reason, group: &[&File<Id>], limits: &CompactionLimits) -> (u64, Option<u64>, bool) {
    let of_tier = |tier| group.iter().filter(move |file| limits.tier(file.bytes) == tier);
    let unsettled = || group.iter().filter(|file| limits.tier(file.bytes) != Tier::Settled);
    let layers = || unsettled().map(|file| file.layer).collect::<BTreeSet<_>>().len();
    let (found, limit, also) = match reason {
        Reason::Deletes => {
            let percent = |file: &&File<Id>| u128::from(file.hidden_rows) * 100 / u128::from(file.rows.max(1));
            let most = group.iter().map(percent).max().unwrap_or_default();
            (u64::try_from(most).unwrap_or(u64::MAX), Some(limits.hidden_percent), true)
        }
        Reason::Incomplete => (count(group.iter().filter(|file| file.is_incomplete).count()), Some(1), true),
        Reason::Files => (count(of_tier(Tier::Small).count()), Some(count(limits.small_files)), true),
        Reason::MidBytes => {
            let bytes = of_tier(Tier::Mid).fold(0_u64, |sum, file| sum.saturating_add(file.live_bytes()));
            (bytes, Some(limits.target_bytes), of_tier(Tier::Mid).count() >= 2)
        }
        Reason::Layers => (count(layers()), Some(count(limits.layers)), true),
        Reason::LayerAge => {
            let oldest = unsettled().map(|file| file.age).max().unwrap_or_default();
            let limit = Some(limits.layer_age.as_secs().max(1)).filter(|_| !limits.layer_age.is_zero());
            (oldest.as_secs(), limit, layers() >= 2)
        }
        Reason::Manual => (0, Some(0), true),
    };
    (found, limit, also && limit.is_some_and(|limit| found >= limit))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
