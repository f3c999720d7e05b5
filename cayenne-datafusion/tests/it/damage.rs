//! Damaged and missing files: the query fails with the original Cayenne error, and never returns wrong rows.

use cayenne_format::ErrorKind;

use crate::fixture::{Fixture, fixture, open};

async fn with_one_file() -> (Fixture, std::path::PathBuf) {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id, concat('row ', value) AS name FROM generate_series(1, 20000)").await;
    f.run("CREATE TABLE other AS VALUES (1)").await;
    let location = f.rows("SELECT location FROM system.tables WHERE name = 't'").await.remove(0);
    let file = f.rows("SELECT location FROM t$files").await.remove(0);
    let path = f.folder.path().join("data").join(location).join(file);
    (f, path)
}

/// Reopens the database, so that nothing is cached.
async fn reopen(f: &mut Fixture) {
    f.database.close().await.unwrap();
    (f.database, f.ctx) = open(f.folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_is_found_before_it_becomes_a_row() {
    let (mut f, path) = with_one_file().await;
    let whole = std::fs::read(&path).unwrap();
    let text = "SELECT sum(id), max(name), min(length(name)) FROM t";
    let right = f.rows(text).await;
    for round in 0..24 {
        let at = (round * whole.len() / 24 + round * 37) % whole.len();
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (round % 8);
        std::fs::write(&path, &damaged).unwrap();
        reopen(&mut f).await;
        let error = f.fails(text).await;
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-block"), "byte {at}: {error:?}");
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(error.to_string().contains(&file), "the file is not named: {error}");
        assert_eq!(f.rows("SELECT * FROM other").await, ["1"]);
    }
    std::fs::write(&path, &whole).unwrap();
    reopen(&mut f).await;
    assert_eq!(f.rows(text).await, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_or_missing_file_is_named() {
    let (mut f, path) = with_one_file().await;
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        reopen(&mut f).await;
        let error = f.fails("SELECT sum(id) FROM t WHERE id % 2 = 0").await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes: {error:?}");
    }
    std::fs::remove_file(&path).unwrap();
    reopen(&mut f).await;
    let error = f.fails("SELECT sum(id) FROM t WHERE id % 2 = 0").await;
    assert_eq!(error.stable_code(), "missing-data-file", "{error:?}");
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["20000"], "the manifest still knows");
}
