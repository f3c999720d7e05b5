//! Stored commits and manifests: what was encoded comes back, and any other bytes are refused.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use cayenne_format::{
    Change, ErrorKind, Expiry, FileId, FrameKind, Manifest, PartitionValue, RandomIds, Requirement, Sequence, Snapshot,
    SourcePosition, TableCommit, TableId, TableName, TableOptions, Timestamp, Value, seal,
};
use proptest::prelude::*;

use crate::commit::{commit, deletion, file, tombstones};

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
        sequence: sequence(9),
        files: vec![added(file(1, 10), 5), added(file(2, 5), 2)],
        deletions: vec![hidden],
        tombstones: vec![keys],
        sources: vec![SourcePosition { stream: "orders".into(), position: 7 }],
    }
}

#[test]
fn commits_and_manifests_come_back() {
    assert_eq!(TableCommit::decode(&whole().encode()).unwrap(), whole());
    let plain = commit(Vec::new(), Vec::new());
    assert_eq!(TableCommit::decode(&plain.encode()).unwrap(), plain);
    assert_eq!(Manifest::decode(&manifest().encode()).unwrap(), manifest());
}

/// Invariant I7: no changed bit and no cut goes unseen.
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
    /// Bytes with a right checksum that no Cayenne wrote: an error, without a panic and without memory for what they claim.
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
fn the_commits_of_a_manifest_make_its_snapshot_in_the_order_of_its_history() {
    let manifest = manifest();
    let table = TableId::from_bytes([2; 16]);
    let commits = manifest.commits(table, &RandomIds);
    let mut snapshot = Snapshot::empty(table);
    for commit in &commits {
        snapshot = commit.apply(&snapshot).unwrap();
    }
    assert_eq!(commits.iter().filter_map(|commit| commit.source.clone()).collect::<Vec<_>>(), manifest.sources);
    let added_at = |number| snapshot.file(FileId::from_bytes([number; 16])).unwrap().added_at;
    let keys = snapshot.tombstones().next().unwrap().sequence;
    assert!(keys.hides(added_at(2)) && !keys.hides(added_at(1)), "as at 2 and 5 under tombstones of 5");
    assert_eq!(snapshot.visible_rows(), None);
    assert_eq!((snapshot.stored_rows(), snapshot.deletions().len()), (15, 1));
}
