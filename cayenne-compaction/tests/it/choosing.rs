//! Which files are chosen, and what is reported about them.

use std::time::Duration;

use cayenne_compaction::{CompactionLimits, File, Reason, Tier, decide, next, pick, why};
use proptest::prelude::*;

pub(crate) const TARGET: u64 = 1_000;

pub(crate) fn limits() -> CompactionLimits {
    CompactionLimits { target_bytes: TARGET, ..CompactionLimits::default() }
}

pub(crate) fn file(id: u32, bytes: u64) -> File<u32> {
    File { id, bytes, rows: bytes, hidden_rows: 0, layer: 1, age: Duration::ZERO, group: 0, is_incomplete: false }
}

fn files(bytes: &[u64]) -> Vec<File<u32>> {
    bytes.iter().zip(0..).map(|(bytes, id)| file(id, *bytes)).collect()
}

fn chosen(files: &[File<u32>]) -> Option<(Reason, Vec<u32>)> {
    next(files, &limits()).map(|pick| (pick.reason, pick.files))
}

#[test]
fn tiers_are_quarters_of_the_target() {
    let tiers = [0, 249, 250, 999, 1_000, u64::MAX].map(|bytes| limits().tier(bytes));
    assert_eq!(tiers, [Tier::Small, Tier::Small, Tier::Mid, Tier::Mid, Tier::Settled, Tier::Settled]);
}

#[test]
fn eight_small_files_become_one_and_seven_do_not() {
    assert_eq!(chosen(&files(&[10; 7])), None);
    assert_eq!(chosen(&files(&[10; 8])), Some((Reason::Files, (0..8).collect())));
    assert_eq!(chosen(&files(&[])), None);
}

#[test]
fn a_pick_ends_when_it_makes_a_file_of_the_target_size() {
    let pick = next(&files(&[200; 20]), &limits()).unwrap();
    assert_eq!((pick.files.len(), pick.bytes, pick.live_rows), (5, 1_000, 1_000));
}

#[test]
fn a_pick_has_no_more_files_than_allowed() {
    let pick = next(&files(&[1; 500]), &limits()).unwrap();
    assert_eq!(pick.files.len(), 32);
    let two = CompactionLimits { files_per_pick: 0, ..limits() };
    assert_eq!(next(&files(&[1; 500]), &two).unwrap().files.len(), 2);
}

#[test]
fn a_large_file_is_not_written_again_for_the_sake_of_small_ones() {
    assert_eq!(chosen(&files(&[5, 5, 5, 5, 5, 5, 5, 240])), Some((Reason::Files, (0..7).collect())));
    assert_eq!(chosen(&files(&[5, 5, 5, 5, 5, 5, 5, 35])), Some((Reason::Files, (0..8).collect())));
    // Each file is much larger than all smaller ones.
    assert_eq!(chosen(&files(&[1, 3, 9, 27, 81, 243])), None);
    // Only the first file is too small for those after it.
    assert_eq!(chosen(&files(&[1, 50, 50, 50, 50, 50, 50, 50])), Some((Reason::Files, (1..8).collect())));
}

#[test]
fn a_reason_that_applies_and_begins_no_pass_says_so() {
    // Small files, layers and age: all limits are passed.
    let limits = CompactionLimits { small_files: 4, layers: 4, ..limits() };
    let old = |(file, layer)| File { layer, age: Duration::from_hours(1), ..file };
    let of = |bytes: &[u64]| {
        let decided = decide(&files(bytes).into_iter().zip(0..).map(old).collect::<Vec<_>>(), &limits);
        let applying = decided.findings.into_iter().filter(|finding| finding.applies);
        let applying: Vec<_> = applying.map(|finding| (finding.reason, finding.takes)).collect();
        (applying, decided.next.map(|pick| (pick.reason, pick.files.len())))
    };
    let all = |takes| vec![(Reason::Files, takes), (Reason::Layers, takes), (Reason::LayerAge, takes)];
    assert_eq!(of(&[1, 3, 9, 27, 81]), (all(0), None));
    assert_eq!(of(&[1, 3, 4, 27, 81]), (all(2), Some((Reason::Files, 2))));
    assert_eq!(of(&[10, 10, 10, 10, 90]), (all(4), Some((Reason::Files, 4))));
}

#[test]
fn files_of_middling_size_become_one_of_the_target_size() {
    assert_eq!(chosen(&files(&[600, 390])), None);
    assert_eq!(chosen(&files(&[600, 400])), Some((Reason::MidBytes, vec![1, 0])));
    assert_eq!(chosen(&files(&[999])), None);
}

#[test]
fn old_layers_become_one() {
    let layer = |id, layer, age| File { layer, age: Duration::from_secs(age), ..file(id, 300) };
    let mut layers: Vec<_> = (0..3).map(|id| layer(id, u64::from(id), 299)).collect();
    layers.push(file(9, TARGET));
    let few = CompactionLimits { small_files: 100, target_bytes: TARGET, ..limits() };
    let mid = |files: &[File<u32>]| next(files, &few).map(|pick| (pick.reason, pick.files));
    assert_eq!(mid(&layers[..2]), None);
    layers[0].age = Duration::from_mins(5);
    assert_eq!(mid(&layers[..2]), Some((Reason::LayerAge, vec![0, 1])));
    let never = CompactionLimits { layer_age: Duration::ZERO, ..few };
    assert_eq!(next(&layers[..2], &never), None);
    let small: Vec<_> = (0..8).map(|id| File { layer: u64::from(id), ..file(id, 20) }).collect();
    assert_eq!(mid(&small), Some((Reason::Layers, (0..8).collect())));
    let two = CompactionLimits { layers: 0, ..few };
    let pick = next(&small[2..4], &two).unwrap();
    assert_eq!((pick.reason, pick.files), (Reason::Layers, vec![2, 3]));
}

#[test]
fn a_file_with_many_hidden_rows_is_rewritten_alone() {
    let hidden = |rows| File { hidden_rows: rows, ..file(0, 5_000) };
    assert_eq!(chosen(&[hidden(1_499)]), None);
    assert_eq!(chosen(&[hidden(1_500)]), Some((Reason::Deletes, vec![0])));
    assert_eq!(chosen(&[hidden(5_000)]), Some((Reason::Deletes, vec![0])));
    assert_eq!(next(&[hidden(5_000)], &limits()).unwrap().live_rows, 0);
    let empty = File { rows: 0, ..file(0, 10) };
    assert_eq!(chosen(&[empty]), None);
}

#[test]
fn a_file_that_lacks_something_is_rewritten_alone_whatever_its_size() {
    for bytes in [10, 5_000] {
        let lacking = File { is_incomplete: true, ..file(0, bytes) };
        assert_eq!(chosen(std::slice::from_ref(&lacking)), Some((Reason::Incomplete, vec![0])));
        assert_eq!(pick(&[lacking], Reason::Manual, &limits()).map(|pick| pick.files), Some(vec![0]));
    }
}

#[test]
fn files_of_different_groups_stay_apart() {
    let mut grouped = files(&[10; 14]);
    for file in &mut grouped[7..] {
        file.group = 1;
    }
    assert_eq!(chosen(&grouped), None);
    grouped.push(File { group: 1, ..file(14, 10) });
    assert_eq!(chosen(&grouped), Some((Reason::Files, (7..15).collect())));
}

#[test]
fn whoever_asks_gets_everything_that_can_be_better() {
    let asked = |files: &[File<u32>]| pick(files, Reason::Manual, &limits()).map(|pick| pick.files);
    assert_eq!(asked(&files(&[5, 900])), Some(vec![0, 1]));
    assert_eq!(asked(&files(&[900])), None);
    assert_eq!(asked(&files(&[5, 2_000])), None);
    let hidden = File { hidden_rows: 1, ..file(7, 2_000) };
    assert_eq!(asked(&[hidden]), Some(vec![7]));
}

#[test]
fn whoever_asks_has_few_rows_written_twice() {
    // Nine of forty files become one, and then that one and the 31 others.
    let asked = |count| pick(&files(&vec![1; count]), Reason::Manual, &limits()).unwrap().files.len();
    assert_eq!([2, 31, 32, 33, 40, 62, 63, 64].map(asked), [2, 31, 32, 2, 9, 31, 32, 2]);
    // Files that make one of the target size are not rewritten again anyway.
    assert_eq!(pick(&files(&[200; 40]), Reason::Manual, &limits()).unwrap().files.len(), 5);
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words = Reason::OF_THEMSELVES.map(Reason::as_str);
    assert_eq!(words, ["deletes", "incomplete", "files", "mid_bytes", "layers", "layer_age"]);
    assert_eq!(Reason::Manual.to_string(), "manual");
}

pub(crate) fn any_file() -> impl Strategy<Value = File<u32>> {
    let bytes = prop_oneof![0..300_u64, 0..3_000_u64, any::<u64>()];
    (bytes, 0..2_000_u64, 0..2_000_u64, 0..12_u64, 0..1_000_u64, (0..3_usize, any::<bool>())).prop_map(
        |(bytes, rows, hidden, layer, age, (group, is_incomplete))| File {
            id: 0,
            bytes,
            rows,
            hidden_rows: hidden.min(rows),
            layer,
            age: Duration::from_secs(age),
            group,
            is_incomplete,
        },
    )
}

proptest! {
    /// A pick has existing files, each once, of one group, and no more than allowed. It does not depend on the order of
    /// the files, and there is one only if its reason applies.
    #[test]
    fn picks_are_bounded_and_repeatable(
        files in prop::collection::vec(any_file(), 0..60),
        files_per_pick in 0..40_usize,
        target_bytes in 0..2_000_u64,
    ) {
        let files: Vec<_> = files.into_iter().zip(0..).map(|(file, id)| File { id, ..file }).collect();
        let limits = CompactionLimits { files_per_pick, target_bytes, ..limits() };
        let mut turned = files.clone();
        turned.reverse();
        prop_assert_eq!(next(&files, &limits), next(&turned, &limits));
        prop_assert_eq!(pick(&files, Reason::Manual, &limits), pick(&turned, Reason::Manual, &limits));
        let takes = |finding: &cayenne_compaction::Finding| (finding.takes > 0).then_some((finding.reason, finding.takes));
        let first = why(&files, &limits).iter().find_map(takes);
        prop_assert_eq!(first.map(|(reason, _)| reason), next(&files, &limits).map(|pick| pick.reason));
        prop_assert!(why(&files, &limits).iter().all(|finding| finding.applies || finding.takes == 0));
        for picked in [next(&files, &limits), pick(&files, Reason::Manual, &limits)].into_iter().flatten() {
            prop_assert!(picked.files.len() <= files_per_pick.max(2));
            let mut ids = picked.files.clone();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), picked.files.len());
            let of: Vec<_> = files.iter().filter(|file| ids.contains(&file.id)).collect();
            prop_assert_eq!(of.len(), ids.len());
            prop_assert!(of.iter().all(|file| file.group == of[0].group));
            let applies = why(&files, &limits).iter().any(|found| found.reason == picked.reason && found.applies);
            prop_assert!(picked.reason == Reason::Manual || applies);
        }
    }
}
