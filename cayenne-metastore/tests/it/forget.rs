//! Rows that no known snapshot has are deleted gradually, and are not found from the moment their snapshots expire.

use std::path::Path;

use cayenne_format::{Change, DataFile, ErrorKind, Expiry, FileId, Sequence, TableCommit};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{CommitLog, Metastore, SqliteMetastore};
use rusqlite::Connection;

use crate::fixture::{append, contents, open, table};

const GONE: usize = 60;

struct Scene {
    metastore: SqliteMetastore,
    samples: Samples,
    of: (cayenne_format::TableId, cayenne_format::WriterEpoch),
    gone: Vec<FileId>,
    hidden: Vec<FileId>,
}

fn keep_from(sequence: u64, forget_before: u64) -> Expiry {
    let of = |number| Sequence::new(number).unwrap();
    Expiry { keep_from: of(sequence), forget_before: of(forget_before) }
}

impl Scene {
    /// Creates data files with deletions and removes them all. After the next expiry no known snapshot has them.
    async fn removed(path: &Path) -> Self {
        let samples = Samples::new(1);
        let metastore = open(path).await;
        let of = table(&metastore, &samples, "t").await;
        let mut scene = Self { metastore, samples, of, gone: Vec::new(), hidden: Vec::new() };
        let files: Vec<_> = (0..GONE).map(|_| scene.samples.data_file()).collect();
        scene.gone = files.iter().map(|new| new.file.id).collect();
        scene.commit(files.into_iter().map(|new| Change::AddFile(Box::new(new))).collect(), None).await;
        for _ in 0..3 {
            let deletions: Vec<_> = scene.gone.iter().map(|file| scene.samples.deletion(*file)).collect();
            scene.hidden.extend(deletions.iter().map(|deletion| deletion.id));
            scene.commit(deletions.into_iter().map(Change::AddDeletion).collect(), None).await;
        }
        scene.commit(scene.gone.iter().map(|file| Change::RemoveFile(*file)).collect(), Some(keep_from(5, 0))).await;
        scene
    }

    /// Expires all snapshots that have them, with a commit that adds a data file.
    async fn give_up(&self) {
        let last = TableCommit { expiry: Some(keep_from(5, 5)), ..append(&self.samples, self.of) };
        self.metastore.commit(&[last]).await.unwrap();
    }

    async fn commit(&self, changes: Vec<Change>, expiry: Option<Expiry>) {
        let commit = self.samples.commit(self.of.0, self.of.1, changes);
        self.metastore.commit(&[TableCommit { expiry, ..commit }]).await.unwrap();
    }

    async fn require_forgotten(&self) {
        let (metastore, table) = (&self.metastore, self.of.0);
        for id in &self.gone {
            assert_eq!(metastore.load_blocks(table, *id).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        for id in &self.hidden {
            assert!(!metastore.knows_deletion(table, *id).await.unwrap());
        }
        let live: Vec<DataFile> =
            metastore.load_snapshot(table, None).await.unwrap().files().map(|file| file.as_ref().clone()).collect();
        assert!(live.iter().all(|file| !self.gone.contains(&file.id)));
    }
}

/// Returns the number of rows of data files and of deletions.
fn stored(path: &Path) -> (usize, usize) {
    let connection = Connection::open(path).unwrap();
    let count = |sql| usize::try_from(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap();
    (count("SELECT count(*) FROM data_file"), count("SELECT count(*) FROM deletion"))
}

#[tokio::test]
async fn commits_delete_a_portion_each_until_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let scene = Scene::removed(&path).await;
    scene.give_up().await;
    scene.require_forgotten().await;
    let (files, deletions) = stored(&path);
    assert!(files > GONE / 2 && deletions > GONE * 2, "one commit deleted all but {files} and {deletions}");
    for added in 2..=GONE {
        scene.metastore.commit(&[append(&scene.samples, scene.of)]).await.unwrap();
        if stored(&path) == (added, 0) {
            scene.require_forgotten().await;
            return;
        }
    }
    panic!("{:?} are left", stored(&path));
}

/// A commit reads no more forgotten rows than it deletes, however many there are.
#[tokio::test]
async fn commits_go_on_beside_many_forgotten_files() {
    const MANY: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let metastore = open(&path).await;
    let of = table(&metastore, &samples, "t").await;
    let files: Vec<_> = (0..MANY).map(|_| samples.data_file()).collect();
    let gone: Vec<FileId> = files.iter().map(|new| new.file.id).collect();
    let adds = files.into_iter().map(|new| Change::AddFile(Box::new(new))).collect();
    metastore.commit(&[samples.commit(of.0, of.1, adds)]).await.unwrap();
    let mut removes = samples.commit(of.0, of.1, gone.iter().map(|file| Change::RemoveFile(*file)).collect());
    removes.expiry = Some(keep_from(2, 0));
    metastore.commit(&[removes]).await.unwrap();
    metastore.expire(of.0, of.1, &keep_from(2, 2)).await.unwrap();
    let before = stored(&path).0;
    assert!(before > MANY - 10, "{before}");
    for _ in 0..10 {
        metastore.commit(&[append(&samples, of)]).await.unwrap();
    }
    assert_eq!(stored(&path).0, before - 4 * 10 + 10);
    // The same file is added again before its forgotten row is deleted.
    let mut again = samples.data_file();
    again.file.id = gone[MANY - 1];
    metastore.commit(&[samples.commit(of.0, of.1, vec![Change::AddFile(Box::new(again.clone()))])]).await.unwrap();
    assert_eq!(metastore.load_blocks(of.0, again.file.id).await.unwrap(), again.blocks);
    let left = contents(&metastore).await.unwrap();
    metastore.close().await.unwrap();
    assert_eq!(contents(&open(&path).await).await.unwrap(), left);
}

#[tokio::test]
async fn expiry_without_a_commit_keeps_nobody_waiting_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let scene = Scene::removed(&path).await;
    scene.metastore.expire(scene.of.0, scene.of.1, &keep_from(5, 5)).await.unwrap();
    scene.require_forgotten().await;
    let (files, deletions) = stored(&path);
    assert!(files > GONE / 2 && deletions > GONE * 2, "it deleted all but {files} and {deletions}");
    scene.metastore.close().await.unwrap();
    assert_eq!(stored(&path), (0, 0));
}

#[tokio::test]
async fn closing_deletes_what_commits_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let scene = Scene::removed(&path).await;
    scene.give_up().await;
    let before = contents(&scene.metastore).await.unwrap();
    scene.metastore.close().await.unwrap();
    assert_eq!(stored(&path), (1, 0));
    assert_eq!(contents(&open(&path).await).await.unwrap(), before);
}
