//! Cases of commits: applied once, applied together, under requirements, and refused.

use cayenne_format::{Change, ErrorKind, Requirement, Sequence};

use super::{add, append, refused, table};
use crate::Metastore;
use crate::conformance::Samples;

pub(in crate::conformance) async fn same_commit_twice_has_the_effect_of_once(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let commit = [samples.commit(of.0, of.1, vec![add(&samples.data_file())])];
    assert_eq!(m.commit(&commit).await.unwrap(), [Sequence::new(1).unwrap()]);
    append(m, samples, of).await;
    let after = m.load_snapshot(of.0, None).await.unwrap();
    assert_eq!(m.commit(&commit).await.unwrap(), [Sequence::new(1).unwrap()], "its first sequence again");
    // A writer that has been fenced meanwhile may still ask whether its commit was applied.
    m.begin_writer(of.0, &samples.writer()).await.unwrap();
    assert_eq!(m.commit(&commit).await.unwrap(), [Sequence::new(1).unwrap()], "its first sequence again");
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap(), after);
    assert_eq!(m.load_log(of.0).await.unwrap().len(), 2);
}

pub(in crate::conformance) async fn tables_commit_together_or_not_at_all(m: &dyn Metastore, samples: &Samples) {
    let (one, other) = (table(m, samples, "one").await, table(m, samples, "other").await);
    append(m, samples, one).await;
    let before = [m.load_snapshot(one.0, None).await.unwrap(), m.load_snapshot(other.0, None).await.unwrap()];
    let good = samples.commit(one.0, one.1, vec![add(&samples.data_file())]);
    let stale = Requirement::SnapshotIs(Sequence::new(7).unwrap());
    let bad = samples.commit_if(other.0, other.1, stale, vec![add(&samples.data_file())]);
    refused(m.commit(&[good.clone(), bad.clone()]).await, ErrorKind::Conflict);
    refused(m.commit(&[bad, good.clone()]).await, ErrorKind::Conflict);
    let missing = samples.commit(samples.table_id(), other.1, Vec::new());
    refused(m.commit(&[good.clone(), missing]).await, ErrorKind::NotFound);
    let after = [m.load_snapshot(one.0, None).await.unwrap(), m.load_snapshot(other.0, None).await.unwrap()];
    assert_eq!(before, after);
    // Two tables may share a commit id: it is the id of the statement that changes both.
    let mut second = samples.commit(other.0, other.1, vec![add(&samples.data_file())]);
    second.id = good.id;
    let expected = [Sequence::new(2).unwrap(), Sequence::new(1).unwrap()];
    assert_eq!(m.commit(&[good.clone(), second.clone()]).await.unwrap(), expected);
    assert_eq!(m.commit(&[good, second]).await.unwrap(), expected);
    assert_eq!(m.commit(&[]).await.unwrap(), []);
}

pub(in crate::conformance) async fn commits_of_one_table_in_one_call_build_on_each_other(
    m: &dyn Metastore,
    samples: &Samples,
) {
    let of = table(m, samples, "t").await;
    let file = samples.data_file();
    let first = samples.commit(of.0, of.1, vec![add(&file)]);
    let live = Requirement::FilesLive(vec![file.file.id]);
    let second = samples.commit_if(of.0, of.1, live, vec![Change::RemoveFile(file.file.id)]);
    let sequences = m.commit(&[first.clone(), second, first]).await.unwrap();
    assert_eq!(sequences.iter().map(|sequence| sequence.number()).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(m.load_snapshot(of.0, sequences.first().copied()).await.unwrap().files().len(), 1);
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap().files().len(), 0);
    assert_eq!(m.load_blocks(of.0, file.file.id).await.unwrap(), file.blocks);
}

pub(in crate::conformance) async fn requirements_are_checked(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let kept = append(m, samples, of).await.file.id;
    let gone = append(m, samples, of).await.file.id;
    m.commit(&[samples.commit(of.0, of.1, vec![Change::RemoveFile(gone)])]).await.unwrap();
    let never = samples.file_id();
    for requirement in [
        Requirement::SnapshotIs(Sequence::ZERO),
        Requirement::SnapshotIs(Sequence::new(2).unwrap()),
        Requirement::SnapshotIs(Sequence::new(4).unwrap()),
        Requirement::FilesLive(vec![gone]),
        Requirement::FilesLive(vec![kept, never]),
    ] {
        let commit = samples.commit_if(of.0, of.1, requirement, vec![add(&samples.data_file())]);
        refused(m.commit(&[commit]).await, ErrorKind::Conflict);
    }
    for requirement in [
        Requirement::SnapshotIs(Sequence::new(3).unwrap()),
        Requirement::FilesLive(vec![kept]),
        Requirement::FilesLive(Vec::new()),
    ] {
        let commit = samples.commit_if(of.0, of.1, requirement, vec![add(&samples.data_file())]);
        m.commit(&[commit]).await.expect("a requirement that holds");
    }
}

pub(in crate::conformance) async fn contradictions_are_refused(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await;
    let (deletion, tombstones) = (samples.deletion(file.file.id), samples.tombstones());
    let hide = vec![Change::AddDeletion(deletion.clone()), Change::AddTombstones(tombstones.clone())];
    m.commit(&[samples.commit(of.0, of.1, hide)]).await.unwrap();
    let before = m.load_snapshot(of.0, None).await.unwrap();
    let missing = samples.file_id();
    for changes in [
        vec![add(&file)],
        vec![Change::RemoveFile(missing)],
        vec![Change::RemoveFile(file.file.id), Change::RemoveFile(file.file.id)],
        vec![Change::AddDeletion(samples.deletion(missing))],
        vec![Change::AddDeletion(deletion.clone())],
        vec![Change::RemoveFile(file.file.id), Change::AddDeletion(samples.deletion(file.file.id))],
        vec![Change::RemoveFile(file.file.id), Change::RemoveDeletion(deletion.id)],
        vec![Change::RemoveDeletion(missing)],
        vec![Change::RemoveDeletion(file.file.id)],
        vec![Change::AddTombstones(tombstones.clone())],
        vec![Change::RemoveTombstones(missing)],
    ] {
        let commit = samples.commit(of.0, of.1, changes);
        refused(m.commit(&[commit]).await, ErrorKind::Invalid);
    }
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap(), before);
}

pub(in crate::conformance) async fn refused_commit_leaves_no_trace(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await;
    let (new, missing) = (samples.data_file(), samples.file_id());
    let changes = vec![
        add(&new),
        Change::AddDeletion(samples.deletion(file.file.id)),
        Change::RemoveFile(file.file.id),
        Change::AddTombstones(samples.tombstones()),
        Change::RemoveFile(missing),
    ];
    let mut commit = samples.commit(of.0, of.1, changes);
    let before = m.load_snapshot(of.0, None).await.unwrap();
    refused(m.commit(&[commit.clone()]).await, ErrorKind::Invalid);
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap(), before);
    assert_eq!(m.load_log(of.0).await.unwrap().len(), 1);
    refused(m.load_blocks(of.0, new.file.id).await, ErrorKind::NotFound);
    // The refused commit has not used up its id.
    commit.changes.pop();
    assert_eq!(m.commit(&[commit]).await.unwrap(), [Sequence::new(2).unwrap()]);
}
