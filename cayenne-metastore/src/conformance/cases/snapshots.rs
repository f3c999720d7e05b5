//! Cases of snapshots: the content of the latest and of every earlier one.

use cayenne_format::{Change, ErrorKind, Location, Sequence, Snapshot, Timestamp};

use super::{add, append, refused, table};
use crate::Metastore;
use crate::conformance::Samples;

pub(in crate::conformance) async fn removed_file_takes_its_deletions_along(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let (file, other) = (append(m, samples, of).await.file.id, append(m, samples, of).await.file.id);
    let kept = samples.deletion(other);
    let hide = vec![
        Change::AddDeletion(samples.deletion(file)),
        Change::AddDeletion(samples.deletion(file)),
        Change::AddDeletion(kept.clone()),
    ];
    m.commit(&[samples.commit(of.0, of.1, hide)]).await.unwrap();
    m.commit(&[samples.commit(of.0, of.1, vec![Change::RemoveFile(file)])]).await.unwrap();
    let after = m.load_snapshot(of.0, None).await.unwrap();
    assert_eq!(after.deletions().map(|deletion| deletion.id).collect::<Vec<_>>(), [kept.id]);
    let before = m.load_snapshot(of.0, Some(Sequence::new(3).unwrap())).await.unwrap();
    assert_eq!(before.deletions().len(), 3);
}

pub(in crate::conformance) async fn file_can_be_removed_and_added_again(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await;
    let mut again = samples.data_file();
    again.file.id = file.file.id;
    let swap = vec![Change::RemoveFile(file.file.id), add(&again)];
    m.commit(&[samples.commit(of.0, of.1, swap)]).await.unwrap();
    let first = m.load_snapshot(of.0, Some(Sequence::new(1).unwrap())).await.unwrap();
    let second = m.load_snapshot(of.0, None).await.unwrap();
    assert_eq!(first.file(file.file.id).unwrap().bytes, file.file.bytes);
    assert_eq!(second.file(file.file.id).unwrap().bytes, again.file.bytes);
    assert_eq!(second.file(file.file.id).unwrap().added_at.number(), 2);
    assert_eq!(m.load_blocks(of.0, file.file.id).await.unwrap(), again.blocks);
}

pub(in crate::conformance) async fn what_one_commit_adds_and_removes_was_never_there(
    m: &dyn Metastore,
    samples: &Samples,
) {
    let of = table(m, samples, "t").await;
    let kept = append(m, samples, of).await;
    let (file, tombstones) = (samples.data_file(), samples.tombstones());
    let (gone, on_kept) = (samples.deletion(file.file.id), samples.deletion(kept.file.id));
    let changes = vec![
        add(&file),
        Change::AddDeletion(gone),
        Change::RemoveFile(file.file.id),
        Change::AddDeletion(on_kept.clone()),
        Change::RemoveDeletion(on_kept.id),
        Change::AddTombstones(tombstones.clone()),
        Change::RemoveTombstones(tombstones.id),
    ];
    let before = m.load_snapshot(of.0, None).await.unwrap();
    let commit = samples.commit(of.0, of.1, changes);
    m.commit(&[commit]).await.unwrap();
    let after = m.load_snapshot(of.0, None).await.unwrap();
    assert!(after.files().eq(before.files()) && after.deletions().len() == 0 && after.tombstones().len() == 0);
    refused(m.load_blocks(of.0, file.file.id).await, ErrorKind::NotFound);
}

pub(in crate::conformance) async fn every_earlier_snapshot_stays_as_it_was(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let mut expected = vec![Snapshot::empty(of.0)];
    for round in 0..30 {
        let base = expected.last().unwrap();
        let mut changes = vec![add(&samples.data_file()), Change::AddTombstones(samples.tombstones())];
        if let Some(file) = base.files().next() {
            changes.push(Change::AddDeletion(samples.deletion(file.id)));
        }
        if let Some(file) = base.files().nth(2) {
            changes.push(Change::RemoveFile(file.id));
        }
        changes.extend(base.tombstones().nth(3).map(|file| Change::RemoveTombstones(file.id)));
        changes.extend(base.deletions().nth(4).map(|file| Change::RemoveDeletion(file.id)));
        if round % 5 == 4
            && let Some(file) = base.files().next()
        {
            let of = base.deletions_of(file.id).map(|deletion| deletion.id).take(2).collect();
            // The fold cannot replace a deletion that an earlier change of this commit removes.
            changes.retain(|change| !matches!(change, Change::RemoveDeletion(_)));
            changes.push(Change::FoldDeletions { into: samples.deletion(file.id), of });
        }
        let commit = samples.commit(of.0, of.1, changes);
        let next = commit.apply(base).unwrap();
        assert_eq!(m.commit(&[commit]).await.unwrap(), [next.sequence()], "in round {round}");
        expected.push(next);
    }
    for snapshot in &expected {
        assert_eq!(&m.load_snapshot(of.0, Some(snapshot.sequence())).await.unwrap(), snapshot);
    }
    assert_eq!(&m.load_snapshot(of.0, None).await.unwrap(), expected.last().unwrap());
    for never in [31, 1_000, Sequence::MAX.number()] {
        refused(m.load_snapshot(of.0, Some(Sequence::new(never).unwrap())).await, ErrorKind::NotFound);
    }
}

pub(in crate::conformance) async fn blocks_of_removed_files_are_kept(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let files = [append(m, samples, of).await, append(m, samples, of).await];
    let remove = files.iter().map(|file| Change::RemoveFile(file.file.id)).collect();
    m.commit(&[samples.commit(of.0, of.1, remove)]).await.unwrap();
    for file in files {
        assert_eq!(m.load_blocks(of.0, file.file.id).await.unwrap(), file.blocks);
    }
}

pub(in crate::conformance) async fn log_tells_each_commit(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let other = table(m, samples, "other").await;
    let mut expected = Vec::new();
    for number in 1..=20 {
        let file = samples.data_file();
        let deletion = samples.deletion(file.file.id);
        let mut changes = vec![add(&file), Change::AddDeletion(deletion)];
        changes.truncate(number % 3);
        let commit = samples.commit(of.0, of.1, changes);
        expected.push(commit.record(Sequence::new(number as u64).unwrap()));
        m.commit(&[commit]).await.unwrap();
        append(m, samples, other).await;
    }
    assert_eq!(m.load_log(of.0).await.unwrap(), expected);
}

pub(in crate::conformance) async fn extreme_values_are_kept(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let mut new = samples.data_file();
    (new.file.rows, new.file.bytes) = (u64::MAX, i64::MAX.unsigned_abs() + 1);
    new.file.location = Location::Path("a\0b'\"\u{1F336}".into());
    let mut deletion = samples.deletion(new.file.id);
    deletion.rows = u64::MAX;
    let mut tombstones = samples.tombstones();
    (tombstones.keys, tombstones.location) = (u64::MAX, Location::Path(String::new()));
    let changes = vec![add(&new), Change::AddDeletion(deletion), Change::AddTombstones(tombstones)];
    let mut commit = samples.commit(of.0, of.1, changes);
    commit.made_at = Timestamp(i64::MIN);
    let expected = commit.apply(&Snapshot::empty(of.0)).unwrap();
    m.commit(&[commit.clone()]).await.unwrap();
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap(), expected);
    assert_eq!(m.load_log(of.0).await.unwrap(), [commit.record(expected.sequence())]);
}
