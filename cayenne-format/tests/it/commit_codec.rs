//! Stored commits and manifests: what was encoded comes back, and any other bytes are refused.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use cayenne_format::{
    BlockChecksums, Change, DeletionFile, ErrorKind, Expiry, FileId, FrameKind, Manifest, NewDataFile, PartitionValue,
    Requirement, Sequence, Snapshot, SnapshotChanges, SourcePosition, TableCommit, TableId, TableName, TableOptions,
    TableState, Timestamp, Value, seal,
};
use proptest::prelude::*;

use crate::commit::{commit, deletion, file, fold, tombstones};

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

/// A commit with every kind of part.
fn whole() -> TableCommit {
    let id = |number| FileId::from_bytes([number; 16]);
    let mut partitioned = file(2, 5);
    if let Change::AddFile(new) = &mut partitioned {
        let key = |value| PartitionValue { key: "region".into(), value };
        new.file.partition = vec![key(None), key(Some(Value::Text("north".into())))];
    }
    let changes = vec![
        file(1, 7),
        partitioned,
        Change::RemoveFile(id(3)),
        deletion(4, 1, 2),
        Change::RemoveDeletion(id(5)),
        tombstones(6, 3),
        Change::RemoveTombstones(id(7)),
        fold(9, 1, 4, &[4, 5]),
    ];
    let requires = vec![Requirement::SnapshotIs(sequence(9)), Requirement::FilesLive(vec![id(3), id(8)])];
    TableCommit {
        source: Some(SourcePosition { stream: "orders/0".into(), position: u64::MAX }),
        expiry: Some(Expiry { keep_from: sequence(4), forget_before: sequence(2) }),
        made_at: Timestamp(-1),
        ..commit(requires, changes)
    }
}

fn manifest() -> Manifest {
    let added = |change: Change, at: u64| match change {
        Change::AddFile(mut new) => {
            new.file.added_at = sequence(at);
            *new
        }
        other => panic!("{other:?} adds no file"),
    };
    let Change::AddDeletion(mut hidden) = deletion(3, 1, 2) else { panic!() };
    hidden.sequence = sequence(8);
    let Change::AddTombstones(mut keys) = tombstones(4, 2) else { panic!() };
    keys.sequence = sequence(5);
    Manifest {
        table: TableId::from_bytes([1; 16]),
        name: TableName::try_from("naïve").unwrap(),
        schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)])),
        options: TableOptions::default(),
        made_at: Timestamp(1),
        written_at: Timestamp(2),
        since: Sequence::ZERO,
        removed: vec![FileId::from_bytes([7; 16])],
        state: TableState {
            sequence: sequence(9),
            files: vec![added(file(1, 10), 5), added(file(2, 5), 2)],
            deletions: vec![hidden],
            tombstones: vec![keys],
            sources: vec![SourcePosition { stream: "orders".into(), position: 7 }],
        },
    }
}

#[test]
fn commits_and_manifests_come_back() {
    assert_eq!(TableCommit::decode(&whole().encode()).unwrap(), whole());
    let plain = commit(Vec::new(), Vec::new());
    assert_eq!(TableCommit::decode(&plain.encode()).unwrap(), plain);
    assert_eq!(Manifest::decode(&manifest().encode()).unwrap(), manifest());
}

/// Invariant I7: every changed bit and every truncation is detected.
#[test]
fn damage_is_refused() {
    type Refuses = fn(&Bytes) -> bool;
    let commits: Refuses = |bytes| TableCommit::decode(bytes).is_err();
    let manifests: Refuses = |bytes| Manifest::decode(bytes).is_err();
    for (bytes, is_refused) in [(whole().encode(), commits), (manifest().encode(), manifests)] {
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert!(is_refused(&flipped.into()), "a flipped bit at {at}");
            assert!(is_refused(&bytes.slice(..at)), "cut at {at}");
        }
    }
}

proptest! {
    /// A forged frame with a valid checksum is an error. It neither panics nor allocates the memory that it claims.
    #[test]
    fn a_frame_with_any_content_is_an_error_and_no_panic(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let error = TableCommit::decode(&seal(FrameKind::Commit, &payload)).unwrap_err();
        prop_assert_ne!(error.kind(), ErrorKind::Internal);
        prop_assert!(Manifest::decode(&seal(FrameKind::Manifest, &payload)).is_err());
    }

    #[test]
    fn a_changed_payload_is_an_error_or_another_commit(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let sealed = whole().encode();
        let mut payload = sealed[16..sealed.len() - 8].to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        if let Ok(other) = TableCommit::decode(&seal(FrameKind::Commit, &payload)) {
            prop_assert_eq!(TableCommit::decode(&other.encode()).unwrap(), other);
        }
    }
}

#[test]
fn a_manifest_has_the_snapshot_of_its_table() {
    let Manifest { table, state, .. } = manifest();
    state.check().unwrap();
    let snapshot = state.snapshot(table);
    assert_eq!(snapshot.sequence(), sequence(9));
    assert_eq!((snapshot.stored_rows(), snapshot.deletions().len(), snapshot.visible_rows()), (15, 1, None));
    assert_eq!(snapshot.changes_since(&Snapshot::empty(table)).files.len(), 2);
}

#[test]
fn states_that_no_commits_lead_to_are_refused() {
    let changed = |change: fn(&mut TableState)| {
        let mut state = manifest().state;
        change(&mut state);
        state.check().map_err(|error| error.stable_code())
    };
    assert_eq!(changed(|_| {}), Ok(()));
    let wrong: [fn(&mut TableState); 10] = [
        |state| state.files.push(state.files[0].clone()),
        |state| state.deletions.push(state.deletions[0].clone()),
        |state| state.tombstones.push(state.tombstones[0].clone()),
        |state| state.sources.push(state.sources[0].clone()),
        |state| state.files[0].file.added_at = Sequence::ZERO,
        |state| state.files[0].file.added_at = sequence(10),
        |state| state.tombstones[0].sequence = sequence(10),
        |state| state.deletions[0].sequence = sequence(4),
        |state| state.deletions[0].data_file = FileId::from_bytes([9; 16]),
        |state| *state = TableState { sources: state.sources.clone(), ..TableState::default() },
    ];
    for (index, change) in wrong.into_iter().enumerate() {
        assert_eq!(changed(change), Err("damaged-manifest"), "change {index}");
    }
}

proptest! {
    /// Invariant: a whole manifest, followed by the manifests of later changes, equals a later whole manifest.
    #[test]
    fn manifests_follow_each_other(steps in prop::collection::vec((0..6u8, 0..12u8), 1..60), cuts in prop::collection::btree_set(0..60usize, 0..6)) {
        let table = TableId::from_bytes([1; 16]);
        let mut snapshots = vec![Snapshot::empty(table)];
        for (kind, id) in steps {
            let base = snapshots.last().unwrap();
            let some_file = base.files().next().map_or(FileId::from_bytes([0; 16]), |file| file.id);
            let change = match kind {
                0..3 => file(id, u64::from(id) + 1),
                3 => Change::RemoveFile(FileId::from_bytes([id; 16])),
                4 => match deletion(100 + id, 0, 1) {
                    Change::AddDeletion(hidden) => Change::AddDeletion(DeletionFile { data_file: some_file, ..hidden }),
                    other => other,
                },
                _ => tombstones(200 + id, 2),
            };
            if let Ok(next) = commit(Vec::new(), vec![change]).apply(base) {
                snapshots.push(next);
            }
        }
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < snapshots.len()).collect();
        cuts.push(snapshots.len() - 1);
        let mut all: Option<Manifest> = None;
        let mut base = Snapshot::empty(table);
        for cut in cuts {
            let snapshot = &snapshots[cut];
            let part = part(snapshot, &base, all.is_some());
            prop_assert_eq!(&Manifest::decode(&part.encode()).unwrap(), &part);
            prop_assert!(part.tells(snapshot, &[]));
            let other_sources = vec![SourcePosition { stream: "other".into(), position: 1 }];
            prop_assert!(!part.tells(snapshot, &other_sources));
            let mut other = base.clone();
            while other.sequence() < snapshot.sequence() {
                let number = u8::try_from(other.sequence().number()).unwrap();
                other = commit(Vec::new(), vec![file(150 + number, 1)]).apply(&other).unwrap();
            }
            let TableState { files, deletions, tombstones, .. } = &part.state;
            let adds = files.len() + deletions.len() + tombstones.len();
            let is_same = other == *snapshot;
            prop_assert!(is_same || adds == 0 || !part.tells(&other, &[]), "a manifest of another history");
            let whole = match all.take() {
                Some(before) => before.then(part).unwrap(),
                None => part,
            };
            whole.state.check().unwrap();
            prop_assert_eq!(&whole.state.snapshot(table), snapshot);
            base = snapshot.clone();
            all = Some(whole);
        }
    }
}

fn part(snapshot: &Snapshot, base: &Snapshot, follows: bool) -> Manifest {
    let SnapshotChanges { files, deletions, tombstones, removed } = snapshot.changes_since(base);
    let files = files.iter().map(|file| NewDataFile {
        file: file.as_ref().clone(),
        blocks: BlockChecksums::decode(&Bytes::new()).unwrap(),
    });
    let state =
        TableState { sequence: snapshot.sequence(), files: files.collect(), deletions, tombstones, sources: vec![] };
    let since = if follows { base.sequence() } else { Sequence::ZERO };
    Manifest { since, removed, state, ..manifest() }
}

#[test]
fn a_manifest_follows_only_what_it_was_made_from() {
    let next = |since| Manifest { since, ..manifest() };
    assert!(manifest().then(next(sequence(9))).is_ok());
    assert!(manifest().then(next(sequence(8))).is_err(), "another sequence");
    assert!(next(sequence(9)).then(next(sequence(9))).is_err(), "it does not say all");
    let other = Manifest { table: TableId::from_bytes([2; 16]), ..next(sequence(9)) };
    assert!(manifest().then(other).is_err(), "another table");
}
