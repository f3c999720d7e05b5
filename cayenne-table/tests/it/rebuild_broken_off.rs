//! Recoveries of the metastore that are broken off anywhere: running them again has the same result.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use cayenne_format::{Environment, Error, Result, Step, Steps};
use cayenne_table::CheckDepth;

use crate::fixture::{existing, open, read, rows, sum, table};
use crate::rebuild::{builder, change_good_without_a_manifest, damage_rows_of, files_of, recover, require_recovered};
use crate::tree::{FailingFs, lost, tree};

/// Leaves a database whose recovery is broken off: one table comes from its manifest, and one from the metastore with a
/// staged commit.
async fn half_a_metastore(folder: &Path) {
    let first = open(folder).await;
    let (bad, good) = (table(&first, "bad").await, table(&first, "good").await);
    bad.append(rows(0..10)).await.unwrap();
    good.append(rows(0..10)).await.unwrap();
    let files = files_of(&bad).await;
    first.close().await.unwrap();
    drop((good, bad, first));
    change_good_without_a_manifest(folder).await;
    damage_rows_of(folder, &files);
}

async fn require_half(folder: &Path, what: &str) {
    recover(folder).await;
    let database = open(folder).await;
    let (bad, good) = (existing(&database, "bad").await, existing(&database, "good").await);
    assert_eq!(read(&bad).await, sum(0..10), "{what}");
    bad.append(rows(10..20)).await.unwrap();
    good.append(vec![]).await.unwrap();
    assert_eq!(read(&good).await, sum(0..30), "{what}: what was staged is gone");
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty(), "{what}");
    database.close().await.unwrap();
    require_recovered(folder).await;
}

/// Allows a number of steps and fails all later ones, as at the end of a process.
#[derive(Debug)]
struct SomeSteps(AtomicUsize);

impl Steps for SomeSteps {
    fn before(&self, step: Step) -> Result<()> {
        match self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::unavailable("the process has ended").with("step", step)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_broken_off_at_any_step_comes_to_the_same_when_done_again() {
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        half_a_metastore(folder.path()).await;
        let before = tree(folder.path());
        let environment = Environment { steps: Arc::new(SomeSteps(steps.into())), ..Environment::default() };
        let broken = builder(folder.path()).environment(environment).recover_from_manifests(false).await;
        assert_eq!(lost(&before, folder.path()), [] as [std::path::PathBuf; 0], "after {steps} steps");
        require_half(folder.path(), &format!("after {steps} steps")).await;
        if broken.is_ok() {
            assert!(steps > 5, "only {steps} steps");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_whose_disk_dies_at_any_request_comes_to_the_same_when_done_again() {
    for request in 0.. {
        let folder = tempfile::tempdir().unwrap();
        half_a_metastore(folder.path()).await;
        let before = tree(folder.path());
        let fs = FailingFs::default();
        fs.die(request);
        let broken = builder(folder.path()).fs(Arc::new(fs.clone())).recover_from_manifests(false).await;
        assert_eq!(lost(&before, folder.path()), [] as [std::path::PathBuf; 0], "after {request} requests");
        require_half(folder.path(), &format!("after {request} requests")).await;
        if !fs.heal() {
            broken.unwrap();
            assert!(request > 20, "only {request} requests");
            break;
        }
    }
}
