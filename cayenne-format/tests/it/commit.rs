//! Applying commits: random histories, compared with a plain model of the content of a table.

use std::collections::{BTreeMap, BTreeSet};

use cayenne_format::{
    Change, ColumnStats, CommitId, ContentHash, DataFile, DeletionFile, ErrorKind, FileDigester, FileId, FileStats,
    Location, NewDataFile, Operation, Requirement, Sequence, Snapshot, TableCommit, TableId, Timestamp, TombstoneFile,
    WriterEpoch, path,
};
use proptest::prelude::*;

const TABLE: TableId = TableId::from_bytes([1; 16]);

fn id(number: u8) -> FileId {
    FileId::from_bytes([number; 16])
}

pub(crate) fn file(number: u8, rows: u64) -> Change {
    let file = DataFile {
        id: id(number),
        location: Location::Path(path::data_file(id(number), &[])),
        rows,
        bytes: rows * 3,
        hash: ContentHash::of(&[number]),
        partition: vec![],
        stats: FileStats::new(&[ColumnStats::default()]),
        added_at: Sequence::ZERO,
    };
    Change::AddFile(Box::new(NewDataFile { file, blocks: FileDigester::default().finish().blocks }))
}

pub(crate) fn deletion(number: u8, data_file: u8, rows: u64) -> Change {
    let location = Location::Inline(vec![number].into());
    Change::AddDeletion(DeletionFile {
        id: id(number),
        data_file: id(data_file),
        location,
        rows,
        sequence: Sequence::ZERO,
    })
}

pub(crate) fn fold(number: u8, data_file: u8, rows: u64, of: &[u8]) -> Change {
    let Change::AddDeletion(into) = deletion(number, data_file, rows) else { panic!() };
    Change::FoldDeletions { into, of: of.iter().copied().map(id).collect() }
}

pub(crate) fn tombstones(number: u8, keys: u64) -> Change {
    let location = Location::Inline(vec![number].into());
    Change::AddTombstones(TombstoneFile { id: id(number), location, keys, sequence: Sequence::ZERO })
}

pub(crate) fn commit(requires: Vec<Requirement>, changes: Vec<Change>) -> TableCommit {
    TableCommit {
        id: CommitId::from_bytes([9; 16]),
        table: TABLE,
        epoch: WriterEpoch::NONE,
        operation: Operation::Append,
        made_at: Timestamp(0),
        requires,
        changes,
        source: None,
        expiry: None,
    }
}

/// The content of a table, modelled as plainly as possible.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    files: BTreeMap<u8, (u64, u64)>,
    deletions: BTreeMap<u8, (u8, u64)>,
    tombstones: BTreeSet<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u64),
    Remove(u8),
    Hide(u8, u8, u64),
    Unhide(u8),
    Fold(u8, u8, Vec<u8>),
    Bury(u8),
    Unbury(u8),
}

impl Step {
    fn change(&self) -> Change {
        match *self {
            Self::Add(number, rows) => file(number, rows),
            Self::Remove(number) => Change::RemoveFile(id(number)),
            Self::Hide(number, data_file, rows) => deletion(number, data_file, rows),
            Self::Unhide(number) => Change::RemoveDeletion(id(number)),
            Self::Fold(number, data_file, ref of) => fold(number, data_file, 7, of),
            Self::Bury(number) => tombstones(number, 1),
            Self::Unbury(number) => Change::RemoveTombstones(id(number)),
        }
    }

    /// Returns whether the step is valid, and takes it if so.
    fn on_model(&self, model: &mut Model, sequence: u64) -> bool {
        match *self {
            Self::Add(number, rows) => {
                !model.files.contains_key(&number) && {
                    model.files.insert(number, (rows, sequence));
                    true
                }
            }
            Self::Remove(number) => {
                model.files.remove(&number).is_some() && {
                    model.deletions.retain(|_, (data_file, _)| *data_file != number);
                    true
                }
            }
            Self::Hide(number, data_file, rows) => {
                model.files.contains_key(&data_file) && !model.deletions.contains_key(&number) && {
                    model.deletions.insert(number, (data_file, rows));
                    true
                }
            }
            Self::Unhide(number) => model.deletions.remove(&number).is_some(),
            Self::Fold(number, data_file, ref of) => {
                of.iter().all(|gone| model.deletions.remove(gone).is_some())
                    && Self::Hide(number, data_file, 7).on_model(model, sequence)
            }
            Self::Bury(number) => model.tombstones.insert(number),
            Self::Unbury(number) => model.tombstones.remove(&number),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_u8..6;
    prop_oneof![
        (number.clone(), 1_u64..50).prop_map(|(number, rows)| Step::Add(number, rows)),
        number.clone().prop_map(Step::Remove),
        (number.clone(), 0_u8..6, 1_u64..3).prop_map(|(number, file, rows)| Step::Hide(number, file, rows)),
        number.clone().prop_map(Step::Unhide),
        (number.clone(), 0_u8..6, prop::collection::vec(0_u8..6, 0..3))
            .prop_map(|(number, file, of)| Step::Fold(number, file, of)),
        number.clone().prop_map(Step::Bury),
        number.prop_map(Step::Unbury),
    ]
}

fn agree(snapshot: &Snapshot, model: &Model) {
    let files: BTreeMap<u8, (u64, u64)> =
        snapshot.files().map(|file| (file.id.as_bytes()[0], (file.rows, file.added_at.number()))).collect();
    assert_eq!(files, model.files);
    let deletions: BTreeMap<u8, (u8, u64)> = snapshot
        .deletions()
        .map(|deletion| (deletion.id.as_bytes()[0], (deletion.data_file.as_bytes()[0], deletion.rows)))
        .collect();
    assert_eq!(deletions, model.deletions);
    let stored: u64 = model.files.values().map(|(rows, _)| rows).sum();
    assert_eq!(snapshot.stored_rows(), stored);
    assert_eq!(snapshot.stored_bytes(), stored * 3);
    for number in 0..6 {
        let of_file = model.deletions.iter().filter(|(_, (data_file, _))| *data_file == number);
        let of_file: Vec<_> = of_file.map(|(deletion, (_, rows))| (*deletion, *rows)).collect();
        let found = snapshot.deletions_of(id(number)).map(|deletion| (deletion.id.as_bytes()[0], deletion.rows));
        assert_eq!(found.collect::<Vec<_>>(), of_file);
        assert_eq!(snapshot.hidden_rows_of(id(number)), of_file.iter().map(|(_, rows)| rows).sum::<u64>());
    }
    let hidden: u64 = model.deletions.values().map(|(_, rows)| rows).sum();
    let visible = model.tombstones.is_empty().then(|| stored.saturating_sub(hidden));
    assert_eq!(snapshot.visible_rows(), visible);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The pure function and the model accept the same commits and then have the same content. A refused commit changes
    /// nothing, and no commit changes the snapshot that it starts from.
    #[test]
    fn random_histories_equal_the_model(commits in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..30)) {
        let mut snapshot = Snapshot::empty(TABLE);
        let mut model = Model::default();
        for steps in commits {
            let before = snapshot.clone();
            let sequence = snapshot.sequence().number() + 1;
            let mut next_model = model.clone();
            let makes_sense = steps.iter().all(|step| step.on_model(&mut next_model, sequence));
            match commit(vec![], steps.iter().map(Step::change).collect()).apply(&snapshot) {
                Ok(next) => {
                    prop_assert!(makes_sense, "accepted {steps:?}");
                    prop_assert_eq!(&snapshot, &before);
                    (snapshot, model) = (next, next_model);
                }
                Err(error) => {
                    prop_assert!(!makes_sense, "refused {steps:?}: {error:?}");
                    prop_assert_eq!(error.kind(), ErrorKind::Invalid);
                }
            }
            agree(&snapshot, &model);
        }
    }
}

#[test]
fn a_stale_snapshot_requirement_is_a_conflict() {
    let base = commit(vec![], vec![file(1, 5)]).apply(&Snapshot::empty(TABLE)).unwrap();
    let stale = commit(vec![Requirement::SnapshotIs(Sequence::ZERO)], vec![file(2, 5)]);
    assert_eq!(stale.apply(&base).unwrap_err().kind(), ErrorKind::Conflict);
    let fresh = commit(vec![Requirement::SnapshotIs(base.sequence())], vec![file(2, 5)]);
    assert_eq!(fresh.apply(&base).unwrap().stored_rows(), 10);
}

#[test]
fn a_rewrite_of_a_file_that_is_gone_is_a_conflict_and_races_with_no_append() {
    let base = commit(vec![], vec![file(1, 5)]).apply(&Snapshot::empty(TABLE)).unwrap();
    let rewrite = commit(vec![Requirement::FilesLive(vec![id(1)])], vec![Change::RemoveFile(id(1)), file(3, 5)]);
    let appended = commit(vec![], vec![file(2, 1)]).apply(&base).unwrap();
    assert_eq!(rewrite.apply(&appended).unwrap().stored_rows(), 6);
    let gone = commit(vec![], vec![Change::RemoveFile(id(1))]).apply(&base).unwrap();
    assert_eq!(rewrite.apply(&gone).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn the_log_counts_what_a_commit_did() {
    let changes = vec![file(1, 5), file(2, 7), deletion(3, 1, 2), fold(5, 1, 4, &[6]), Change::RemoveFile(id(4))];
    let commit = commit(vec![], changes);
    let record = commit.record(Sequence::new(8).unwrap());
    assert_eq!((record.files_added, record.files_removed), (2, 1));
    assert_eq!((record.rows_added, record.rows_hidden), (12, 2));
}
