//! Damaged files: what a check reports, and how a repair takes them out of tables and moves them aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_deletes::DeletionVector;
use cayenne_format::{
    Change, CommitId, DeletionFile, FileId, Location, Operation, Sequence, Step, TableCommit, Timestamp, WriterEpoch,
};
use cayenne_metastore::{MemoryMetastore, Metastore, Writer};
use cayenne_table::{Access, CheckDepth, Database, Outcome, Repaired, Subject, Table};
use cayenne_testkit::FailingStep;

use crate::fixture::{
    database, existing, files_on_disk, name, open, open_with_steps, read, rows, settings, sum, table,
};
use crate::manifest::manifests;
use crate::tree::{FailingFs, lost, tree};

/// A closed database with a table of three data files, of ten rows each.
async fn three_files() -> (tempfile::TempDir, Vec<PathBuf>) {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    for start in [0, 10, 20] {
        t.append(rows(start..start + 10)).await.unwrap();
    }
    let of = folder.path().join("data").join(&t.record().location);
    let files = t.view().await.unwrap().files().map(|file| of.join(format!("{}.vortex", file.id))).collect();
    first.close().await.unwrap();
    (folder, files)
}

fn flip(at: &Path) {
    let mut bytes = std::fs::read(at).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(at, bytes).unwrap();
}

fn outcomes(repaired: &[Repaired]) -> Vec<Outcome> {
    repaired.iter().map(|repaired| repaired.outcome).collect()
}

async fn codes(database: &Database, depth: CheckDepth) -> Vec<String> {
    let report = database.check(depth).await.unwrap();
    report.problems.iter().map(|problem| problem.error.stable_code().to_owned()).collect()
}

async fn last_operation(t: &Table) -> Operation {
    t.log().await.unwrap().last().unwrap().operation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_taken_out_and_moved_aside_and_all_other_rows_stay() {
    let damages: [fn(&Path); 4] = [
        flip,
        |at| std::fs::write(at, b"short").unwrap(),
        |at| std::fs::remove_file(at).unwrap(),
        |at| {
            std::fs::rename(at, at.with_extension("real")).unwrap();
            std::os::unix::fs::symlink(at.with_extension("real"), at).unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let (folder, files) = three_files().await;
        damage(&files[1]);
        let before = tree(folder.path());
        let database = open(folder.path()).await;
        let repaired = database.repair(CheckDepth::Deep, true).await.unwrap();
        assert_eq!(outcomes(&repaired), [Outcome::TakenOut { rows: 10 }], "damage {number}");
        let at = folder.path().join("aside");
        match &repaired[0].aside {
            Some(aside) => assert!(
                aside.starts_with(&at) && aside.symlink_metadata().is_ok() && files[1].symlink_metadata().is_err()
            ),
            None => assert!(number == 2 && tree(folder.path()).keys().all(|path| !path.starts_with("aside"))),
        }
        let t = existing(&database, "t").await;
        assert_eq!(read(&t).await, (20, sum(0..10).1 + sum(20..30).1), "damage {number}");
        assert_eq!(last_operation(&t).await, Operation::Repair);
        database.collect(true).await.unwrap();
        let metadata = |path: &PathBuf| path.starts_with("metadata");
        assert!(lost(&before, folder.path()).iter().all(metadata), "damage {number}: something was deleted");
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
        assert!(database.repair(CheckDepth::Deep, true).await.unwrap().is_empty(), "a second repair finds nothing");
        t.append(rows(10..20)).await.unwrap();
        database.close().await.unwrap();
        assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(0..30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_repair_takes_out_what_is_missing_and_not_what_only_a_deep_look_finds() {
    let (folder, files) = three_files().await;
    std::fs::remove_file(&files[0]).unwrap();
    flip(&files[1]);
    let database = open(folder.path()).await;
    assert_eq!(database.repair(CheckDepth::Quick, true).await.unwrap().len(), 1);
    assert_eq!(codes(&database, CheckDepth::Deep).await, ["damaged-file"]);
    assert!(files[1].exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_what_to_repair_changes_nothing() {
    let (folder, files) = three_files().await;
    flip(&files[0]);
    std::fs::remove_file(&files[1]).unwrap();
    std::fs::remove_file(files[0].parent().unwrap().join("_table.json")).unwrap();
    flip(&files[0].parent().unwrap().join("_manifest/0-3.manifest"));
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let before = tree(&folder.path().join("data"));
        let database = Database::builder(folder.path()).access(access).settings(settings()).open().await.unwrap();
        let found = database.repair(CheckDepth::Deep, false).await.unwrap();
        let taken = Outcome::TakenOut { rows: 10 };
        assert_eq!(outcomes(&found), [Outcome::WrittenAgain, taken, taken, Outcome::MovedAside]);
        assert!(found.iter().all(|repaired| repaired.aside.is_none()));
        assert_eq!(codes(&database, CheckDepth::Deep).await.len(), 4);
        if access == Access::ReadOnly {
            assert_eq!(database.repair(CheckDepth::Deep, true).await.unwrap_err().stable_code(), "read-only");
        }
        database.close().await.unwrap();
        assert!(tree(&folder.path().join("data")) == before && !folder.path().join("aside").exists());
    }
    let database = open(folder.path()).await;
    assert_eq!(database.repair(CheckDepth::Deep, true).await.unwrap().len(), 4);
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    assert_eq!(read(&*existing(&database, "t").await).await, sum(20..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_of_what_is_sound_finds_nothing_and_changes_nothing() {
    let (folder, _) = three_files().await;
    let before = tree(&folder.path().join("data"));
    let database = open(folder.path()).await;
    assert!(database.repair(CheckDepth::Deep, true).await.unwrap().is_empty());
    database.close().await.unwrap();
    assert!(tree(&folder.path().join("data")) == before && !folder.path().join("aside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_moved_aside_and_the_next_close_writes_a_whole_one() {
    let (folder, files) = three_files().await;
    let of = files[0].parent().unwrap().join("_manifest");
    flip(&of.join("0-3.manifest"));
    let database = open(folder.path()).await;
    let repaired = database.repair(CheckDepth::Quick, true).await.unwrap();
    assert_eq!(outcomes(&repaired), [Outcome::MovedAside]);
    assert!(repaired[0].aside.as_ref().unwrap().ends_with("_manifest/0-3.manifest"));
    let t = existing(&database, "t").await;
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-3"]);
    assert!(codes(&*open(folder.path()).await, CheckDepth::Deep).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_in_the_place_of_the_manifests_keeps_nobody_from_writing_and_is_moved_aside() {
    let (folder, files) = three_files().await;
    let of = files[0].parent().unwrap().join("_manifest");
    std::fs::remove_dir_all(&of).unwrap();
    std::fs::write(&of, "mine").unwrap();
    let database = open(folder.path()).await;
    let other = table(&database, "dropped").await;
    std::fs::write(of.parent().unwrap().with_file_name(&other.record().location).join("_manifest"), "mine").unwrap();
    assert!(database.drop_table(&name("dropped")).await.unwrap(), "it can be dropped all the same");
    let t = existing(&database, "t").await;
    t.append(rows(30..40)).await.unwrap();
    let report = database.check(CheckDepth::Quick).await.unwrap();
    assert_eq!(report.problems.iter().map(|problem| problem.subject).collect::<Vec<_>>(), [Subject::ManifestFolder]);
    let repaired = database.repair(CheckDepth::Quick, true).await.unwrap();
    assert_eq!(outcomes(&repaired), [Outcome::MovedAside]);
    assert_eq!(std::fs::read_to_string(repaired[0].aside.as_ref().unwrap()).unwrap(), "mine");
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-4"]);
}

/// Something that cannot be read this time may be whole: each request is refused once.
#[tokio::test(flavor = "multi_thread")]
async fn what_merely_cannot_be_read_is_reported_and_left_alone() {
    let (folder, _) = three_files().await;
    let fs = FailingFs::default();
    let builder = Database::builder(folder.path()).settings(settings()).fs(Arc::new(fs.clone()));
    let database = builder.open().await.unwrap();
    drop(existing(&database, "t").await.view().await.unwrap());
    for request in 0.. {
        fs.refuse_one(request);
        let repaired = database.repair(CheckDepth::Deep, false).await;
        let has_refused = fs.heal();
        let outcomes = repaired.map(|repaired| outcomes(&repaired)).unwrap_or_default();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::LeftAlone), "request {request}: {outcomes:?}");
        if !has_refused {
            assert!(request > 5, "only {request} requests");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_repair_another_process_may_write() {
    let (folder, files) = three_files().await;
    flip(&files[1]);
    let (one, other) = (open(folder.path()).await, open(folder.path()).await);
    assert_eq!(outcomes(&one.repair(CheckDepth::Deep, true).await.unwrap()), [Outcome::TakenOut { rows: 10 }]);
    existing(&other, "t").await.append(rows(30..40)).await.unwrap();
    assert_eq!(read(&*existing(&one, "t").await).await.0, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_inline_rows_are_kept_aside_as_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Arc::new(MemoryMetastore::default());
    let database = Database::builder(folder.path()).metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let mut new = t.view().await.unwrap().files().next().unwrap().as_ref().clone();
    new.id = FileId::from_bytes([9; 16]);
    new.location = Location::Inline(b"damaged".to_vec().into());
    new.bytes = 7;
    let blocks = cayenne_format::BlockChecksums::decode(&Vec::new().into()).unwrap();
    let writer = Writer { host: "test".into(), process: 1, since: Timestamp(0) };
    let commit = TableCommit {
        id: CommitId::from_bytes([1; 16]),
        table: t.id(),
        epoch: metastore.begin_writer(t.id(), &writer).await.unwrap(),
        operation: Operation::Append,
        made_at: Timestamp(0),
        requires: Vec::new(),
        changes: vec![Change::AddFile(Box::new(cayenne_format::NewDataFile { file: new, blocks }))],
        source: None,
        expiry: None,
    };
    metastore.commit(&[commit]).await.unwrap();
    drop((t, database));
    let database = Database::builder(folder.path()).metastore(metastore as _).open().await.unwrap();
    let repaired = database.repair(CheckDepth::Deep, true).await.unwrap();
    assert_eq!(outcomes(&repaired), [Outcome::TakenOut { rows: 10 }]);
    assert_eq!(std::fs::read(repaired[0].aside.as_ref().unwrap()).unwrap(), b"damaged");
    assert_eq!(read(&*existing(&database, "t").await).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_in_the_middle_is_not_left_to_break_what_follows_it() {
    let (folder, files) = three_files().await;
    for start in [30, 40] {
        let database = open(folder.path()).await;
        existing(&database, "t").await.append(rows(start..start + 10)).await.unwrap();
        database.close().await.unwrap();
    }
    let of = files[0].parent().unwrap().join("_manifest");
    assert!(of.join("4-5.manifest").exists());
    flip(&of.join("3-4.manifest"));
    let database = open(folder.path()).await;
    assert_eq!(outcomes(&database.repair(CheckDepth::Quick, true).await.unwrap()), [Outcome::MovedAside]);
    database.close().await.unwrap();
    std::fs::remove_file(folder.path().join("metadata/cayenne.db")).unwrap();
    drop(database);
    crate::rebuild::recover(folder.path()).await;
    assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(0..50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_marker_is_written_again_and_that_of_another_table_is_left_alone() {
    for (text, code) in [(None, "missing-marker"), (Some("not json"), "damaged-marker"), (Some(""), "damaged-marker")] {
        let (folder, files) = three_files().await;
        let marker = files[0].parent().unwrap().join("_table.json");
        let own = std::fs::read(&marker).unwrap();
        match text {
            None => std::fs::remove_file(&marker).unwrap(),
            Some(text) => std::fs::write(&marker, text).unwrap(),
        }
        let database = open(folder.path()).await;
        assert_eq!(codes(&database, CheckDepth::Quick).await, [code]);
        let repaired = database.repair(CheckDepth::Quick, true).await.unwrap();
        assert_eq!(outcomes(&repaired), [Outcome::WrittenAgain]);
        assert_eq!(repaired[0].aside.is_some(), text.is_some());
        assert_eq!(std::fs::read(&marker).unwrap(), own);
        assert_eq!(read(&*existing(&database, "t").await).await, sum(0..30));
        database.collect(true).await.unwrap();
        assert_eq!(files_on_disk(folder.path()).len(), 3);
    }
    let (folder, files) = three_files().await;
    let database = open(folder.path()).await;
    let other = table(&database, "u").await;
    let marker = files[0].parent().unwrap().join("_table.json");
    std::fs::copy(folder.path().join("data").join(&other.record().location).join("_table.json"), &marker).unwrap();
    let before = tree(&folder.path().join("data"));
    let repaired = database.repair(CheckDepth::Deep, true).await.unwrap();
    assert_eq!(outcomes(&repaired), [Outcome::LeftAlone]);
    assert!(tree(&folder.path().join("data")) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_in_a_table_that_another_process_writes() {
    let (folder, files) = three_files().await;
    let writer = open(folder.path()).await;
    existing(&writer, "t").await.append(rows(30..40)).await.unwrap();
    flip(&files[1]);
    let before = tree(&folder.path().join("data"));
    let other = open(folder.path()).await;
    let error = other.repair(CheckDepth::Deep, true).await.unwrap_err();
    assert_eq!(error.stable_code(), "table-locked");
    assert!(tree(&folder.path().join("data")) == before && !folder.path().join("aside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_broken_off_at_any_step_is_done_by_the_next_one() {
    let steps = [Step::MoveAside, Step::HandCommit, Step::BeginCommit, Step::ApplyChanges, Step::EndCommit];
    for step in steps {
        let (folder, files) = three_files().await;
        flip(&files[1]);
        let before = tree(&folder.path().join("data"));
        let failing = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&failing) as _).await;
        failing.arm(step);
        database.repair(CheckDepth::Deep, true).await.expect_err(step.name());
        assert!(failing.disarm(), "{step} was never reached");
        let is_moved = !files[1].exists();
        assert!(is_moved || tree(&folder.path().join("data")) == before, "{step}");
        assert_eq!(is_moved, matches!(step, Step::HandCommit | Step::ApplyChanges), "{step}");
        database.close().await.unwrap();
        let database = open(folder.path()).await;
        let repaired = database.repair(CheckDepth::Deep, true).await.unwrap();
        assert_eq!(outcomes(&repaired), [Outcome::TakenOut { rows: 10 }], "{step}");
        assert_eq!(read(&*existing(&database, "t").await).await.0, 20, "{step}");
        let aside: Vec<_> = tree(folder.path()).into_keys().filter(|path| path.starts_with("aside")).collect();
        assert_eq!(aside.iter().filter(|path| path.extension().is_some()).count(), 1, "{step}: {aside:?}");
    }
}

// pitfall 63
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_leaves_a_table_alone_whose_metastore_is_older_than_its_manifest() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let metastore = folder.path().join("metadata/cayenne.db");
    let old = std::fs::read(&metastore).unwrap();
    let second = open(folder.path()).await;
    existing(&second, "t").await.overwrite(rows(10..30)).await.unwrap();
    second.collect(true).await.unwrap();
    second.close().await.unwrap();
    drop((first, second));
    std::fs::write(&metastore, old).unwrap();
    let before = tree(&folder.path().join("data"));
    let third = open(folder.path()).await;
    let repaired = third.repair(CheckDepth::Deep, true).await.unwrap();
    assert!(outcomes(&repaired).iter().all(|outcome| *outcome == Outcome::LeftAlone), "{repaired:?}");
    assert!(repaired.iter().any(|repaired| repaired.problem.subject == Subject::History));
    third.close().await.unwrap();
    drop(third);
    assert!(tree(&folder.path().join("data")) == before, "what would bring the table back was moved");
    crate::rebuild::recover(folder.path()).await;
    assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(10..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_commit_whose_file_is_missing_or_damaged_is_reported() {
    for (deep_only, damage) in [(false, (|at: &Path| std::fs::remove_file(at).unwrap()) as fn(&Path)), (true, flip)] {
        let (folder, first) = database().await;
        let t = table(&first, "t").await;
        t.append(rows(0..10)).await.unwrap();
        let live = files_on_disk(folder.path());
        drop(t.stage(rows(10..20), None).await.unwrap());
        let staged = files_on_disk(folder.path()).into_iter().find(|file| !live.contains(file)).unwrap();
        assert!(codes(&first, CheckDepth::Deep).await.is_empty());
        damage(&folder.path().join("data").join(&t.record().location).join(&staged));
        first.close().await.unwrap();
        let second = open(folder.path()).await;
        let report = second.check(CheckDepth::Deep).await.unwrap();
        assert_eq!(report.problems.iter().map(|problem| problem.subject).collect::<Vec<_>>(), [Subject::StagedCommit]);
        assert!(report.problems[0].error.to_string().contains(&staged), "{:?}", report.problems);
        assert_eq!(codes(&second, CheckDepth::Quick).await.is_empty(), deep_only);
        // Becoming the writer rejects the staged commit. Whatever a repair says, committed rows stay.
        second.repair(CheckDepth::Deep, true).await.unwrap();
        let t = existing(&second, "t").await;
        t.append(rows(10..20)).await.unwrap();
        assert_eq!(read(&t).await, sum(0..20));
        assert!(codes(&second, CheckDepth::Deep).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_files_that_contradict_their_table_are_reported_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Arc::new(MemoryMetastore::default());
    let database = Database::builder(folder.path()).metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let file = t.view().await.unwrap().files().next().unwrap().id;
    let writer = Writer { host: "test".into(), process: 1, since: Timestamp(0) };
    let hide = async |number: u8, rows: u64, location: Location| {
        let id = FileId::from_bytes([number; 16]);
        let deletion = DeletionFile { id, data_file: file, location, rows, sequence: Sequence::ZERO };
        let commit = TableCommit {
            id: CommitId::from_bytes([number; 16]),
            table: t.id(),
            epoch: metastore.begin_writer(t.id(), &writer).await.unwrap(),
            operation: Operation::Delete,
            made_at: Timestamp(0),
            requires: Vec::new(),
            changes: vec![Change::AddDeletion(deletion)],
            source: None,
            expiry: None,
        };
        metastore.commit(&[commit]).await.unwrap();
        id
    };
    assert_ne!(metastore.begin_writer(t.id(), &writer).await.unwrap(), WriterEpoch::NONE);
    let vector = |rows: std::ops::Range<u64>| rows.collect::<DeletionVector>().encode(file);
    let sound = hide(1, 4, Location::Inline(vector(0..4))).await;
    let missing = hide(2, 1, Location::Path("deletion".into())).await;
    let too_many = hide(3, 3, Location::Inline(vector(8..11))).await;
    let twice = hide(4, 2, Location::Inline(vector(3..5))).await;
    let no_vector = hide(5, 1, Location::Inline(vec![1].into())).await;
    drop((t, database));
    let database = Database::builder(folder.path()).metastore(metastore as _).open().await.unwrap();
    let report = database.check(CheckDepth::Quick).await.unwrap();
    let found: Vec<_> = report.problems.iter().map(|problem| problem.subject).collect();
    let expected = [twice, missing, too_many, no_vector].map(Subject::DeletionFile);
    assert_eq!(found, expected);
    assert!(!found.contains(&Subject::DeletionFile(sound)));
    let codes = report.problems.iter().map(|problem| problem.error.stable_code());
    assert_eq!(
        codes.collect::<Vec<_>>(),
        ["damaged-deletion", "missing-deletion", "damaged-deletion", "damaged-deletion"]
    );
    // The data file is never read as if no row were hidden.
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    assert!(t.hidden(&view, view.files().next().unwrap()).await.is_err());
    drop((t, view));
    let repaired = database.repair(CheckDepth::Quick, true).await.unwrap();
    assert_eq!(outcomes(&repaired), [Outcome::LeftAlone; 4]);
    assert!(database.table(&name("t")).await.unwrap().is_some());
}
