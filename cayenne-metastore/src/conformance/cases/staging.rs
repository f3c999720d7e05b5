//! Cases of staged commits, source positions, and expired snapshots.

use cayenne_format::{Change, ErrorKind, Expiry, Sequence, SourcePosition};

use super::{add, append, refused, table};
use crate::conformance::Samples;
use crate::{History, Metastore, TableKey};

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

pub(in crate::conformance) async fn staged_commit_is_invisible_until_it_is_applied(
    m: &dyn Metastore,
    samples: &Samples,
) {
    let of = table(m, samples, "t").await;
    let mut commit = samples.commit(of.0, of.1, vec![add(&samples.data_file()), add(&samples.data_file())]);
    commit.source = Some(samples.source());
    m.stage(&commit).await.unwrap();
    m.stage(&commit).await.expect("once more is fine");
    assert!(m.load_log(of.0).await.unwrap().is_empty());
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap().sequence(), Sequence::ZERO);
    let staged = m.load_staged(of.0).await.unwrap();
    let staged: Vec<_> = staged.into_iter().map(|staged| (staged.id, staged.commit.unwrap())).collect();
    assert_eq!(staged, [(commit.id, commit.clone())], "it is kept exactly");
    assert_eq!(m.commit(std::slice::from_ref(&commit)).await.unwrap(), [sequence(1)]);
    assert!(m.load_staged(of.0).await.unwrap().is_empty(), "applied and staged");
    m.stage(&commit).await.expect("what was applied is not staged again");
    assert!(m.load_staged(of.0).await.unwrap().is_empty());
}

pub(in crate::conformance) async fn only_the_latest_writer_stages_and_discards(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let commit = samples.commit(of.0, of.1, vec![add(&samples.data_file())]);
    m.stage(&commit).await.unwrap();
    let latest = m.begin_writer(of.0, &samples.writer()).await.unwrap();
    assert_eq!(refused(m.stage(&commit).await, ErrorKind::Conflict).stable_code(), "fenced");
    let discarded = m.discard_staged(of.0, of.1, commit.id).await;
    assert_eq!(refused(discarded, ErrorKind::Conflict).stable_code(), "fenced");
    assert_eq!(m.load_staged(of.0).await.unwrap().len(), 1);
    m.discard_staged(of.0, latest, commit.id).await.unwrap();
    m.discard_staged(of.0, latest, commit.id).await.expect("what is not there is fine");
    assert!(m.load_staged(of.0).await.unwrap().is_empty());
    let missing = samples.table_id();
    refused(m.load_staged(missing).await, ErrorKind::NotFound);
    refused(m.discard_staged(missing, latest, commit.id).await, ErrorKind::NotFound);
}

pub(in crate::conformance) async fn position_of_a_stream_is_taken_in_once(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let at = |stream: &str, position| Some(SourcePosition { stream: stream.to_owned(), position });
    let commit = |source: Option<SourcePosition>| {
        let mut commit = samples.commit(of.0, of.1, vec![add(&samples.data_file())]);
        commit.source = source;
        commit
    };
    assert_eq!(m.commit(&[commit(at("a", 5))]).await.unwrap(), [sequence(1)]);
    append(m, samples, of).await;
    assert_eq!(m.commit(&[commit(at("a", 5))]).await.unwrap(), [sequence(1)], "the commit that took it in");
    assert_eq!(m.commit(&[commit(at("a", 4))]).await.unwrap(), [sequence(1)], "an earlier position was taken in too");
    assert_eq!(m.commit(&[commit(at("b", 4)), commit(at("b", 4))]).await.unwrap(), [sequence(3), sequence(3)]);
    assert_eq!(m.commit(&[commit(at("a", u64::MAX))]).await.unwrap(), [sequence(4)]);
    assert_eq!(m.load_snapshot(of.0, None).await.unwrap().files().len(), 4);
    assert_eq!(m.load_sources(of.0).await.unwrap(), [at("a", u64::MAX), at("b", 4)].map(Option::unwrap));
    // A refused commit takes in no position.
    let mut bad = commit(at("c", 1));
    bad.changes.push(Change::RemoveFile(samples.file_id()));
    refused(m.commit(&[bad]).await, ErrorKind::Invalid);
    assert_eq!(m.commit(&[commit(at("c", 1))]).await.unwrap(), [sequence(5)]);
    refused(m.load_sources(samples.table_id()).await, ErrorKind::NotFound);
}

pub(in crate::conformance) async fn history_is_given_up_in_two_steps(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let (kept, gone) = (append(m, samples, of).await, append(m, samples, of).await);
    let expire = |keep_from, forget_before, changes| {
        let mut commit = samples.commit(of.0, of.1, changes);
        commit.expiry = Some(Expiry { keep_from: sequence(keep_from), forget_before: sequence(forget_before) });
        [commit]
    };
    let remove = vec![Change::RemoveFile(gone.file.id)];
    refused(m.commit(&expire(4, 0, remove.clone())).await, ErrorKind::Invalid);
    refused(m.commit(&expire(3, 1, remove.clone())).await, ErrorKind::Invalid);
    m.commit(&expire(3, 0, remove)).await.unwrap();
    let error = refused(m.load_snapshot(of.0, Some(sequence(2))).await, ErrorKind::NotFound);
    assert!(error.facts().any(|(name, value)| name == "oldest" && value == "3"), "{error:?}");
    assert_eq!(m.load_blocks(of.0, gone.file.id).await.unwrap(), gone.blocks, "somebody may read it still");
    assert_eq!(
        m.list_tables().await.unwrap().remove(0).history,
        History { kept_from: sequence(3), known_from: Sequence::ZERO }
    );
    assert_eq!(m.load_log(of.0).await.unwrap().len(), 1);
    m.commit(&expire(0, 3, Vec::new())).await.unwrap();
    refused(m.load_blocks(of.0, gone.file.id).await, ErrorKind::NotFound);
    assert_eq!(m.load_blocks(of.0, kept.file.id).await.unwrap(), kept.blocks);
    assert_eq!(m.load_snapshot(of.0, Some(sequence(3))).await.unwrap().files().len(), 1);
    assert_eq!(m.load_snapshot(of.0, Some(Sequence::ZERO)).await.unwrap().files().len(), 0);
    assert_eq!(m.load_log(of.0).await.unwrap().len(), 2);
    // An expiry without a commit changes only the history.
    let all = Expiry { keep_from: sequence(4), forget_before: Sequence::ZERO };
    m.expire(of.0, of.1, &all).await.unwrap();
    let far = Expiry { keep_from: sequence(5), forget_before: Sequence::ZERO };
    refused(m.expire(of.0, of.1, &far).await, ErrorKind::Invalid);
    m.expire(of.0, of.1, &Expiry { forget_before: sequence(4), ..all }).await.unwrap();
    let record = m.list_tables().await.unwrap().remove(0);
    assert_eq!(
        (record.sequence, record.history),
        (sequence(4), History { kept_from: sequence(4), known_from: sequence(4) })
    );
    assert_eq!(m.load_log(of.0).await.unwrap().len(), 1);
    let latest = m.begin_writer(of.0, &samples.writer()).await.unwrap();
    assert_eq!(refused(m.expire(of.0, of.1, &all).await, ErrorKind::Conflict).stable_code(), "fenced");
    m.expire(of.0, latest, &all).await.expect("nothing more is given up");
}

pub(in crate::conformance) async fn table_is_found_by_id_and_by_name(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    append(m, samples, of).await;
    let record = m.list_tables().await.unwrap().remove(0);
    for key in [TableKey::Id(of.0), TableKey::Name(record.name.clone())] {
        assert_eq!(m.find_table(&key).await.unwrap().as_ref(), Some(&record));
    }
    for key in [TableKey::Id(samples.table_id()), TableKey::Name(samples.table("other").name)] {
        assert_eq!(m.find_table(&key).await.unwrap(), None);
    }
}
