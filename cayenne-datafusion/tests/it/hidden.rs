//! Hidden rows are in no result, and the statistics of the other rows stay usable.

use crate::explain::metric;
use crate::fixture::{Fixture, fixture, fixture_of_files};

async fn fixtures() -> [Fixture; 2] {
    let both = [fixture().await, fixture_of_files().await];
    for f in &both {
        f.run("CREATE TABLE t AS SELECT value AS id, CASE WHEN value % 4 = 0 THEN NULL ELSE value END AS n FROM range(0, 1000)")
            .await;
        f.run("INSERT INTO t SELECT value, value AS n FROM range(1000, 2000)").await;
    }
    both
}

/// Returns these fixtures, and others whose tables delete rows by key.
async fn fixtures_of_both_modes() -> Vec<(Fixture, &'static str)> {
    let mut all: Vec<_> = fixtures().await.into_iter().map(|f| (f, "position")).collect();
    for f in [fixture().await, fixture_of_files().await] {
        let (columns, place) = ("id BIGINT PRIMARY KEY, n BIGINT", f.folder.path().display());
        let options = "OPTIONS ('cayenne_deletion_mode' 'key')";
        f.run(&format!("CREATE EXTERNAL TABLE t ({columns}) STORED AS CAYENNE LOCATION '{place}' {options}")).await;
        f.run("INSERT INTO t SELECT value, CASE WHEN value % 4 = 0 THEN NULL ELSE value END FROM range(0, 1000)").await;
        f.run("INSERT INTO t SELECT value, value AS n FROM range(1000, 2000)").await;
        all.push((f, "key"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_bounds_only_where_nothing_is_hidden() {
    for (f, _) in fixtures_of_both_modes().await {
        f.run("DELETE FROM t WHERE id IN (0, 999, 500)").await;
        for (text, folds, answer) in [
            ("SELECT count(*) FROM t", true, "1997"),
            ("SELECT max(id) FROM t", true, "1999"),
            ("SELECT min(id) FROM t", false, "1"),
            ("SELECT count(n) FROM t", false, "1749"),
            ("SELECT count(id) FROM t", true, "1997"),
        ] {
            let plan = f.plan(&format!("EXPLAIN {text}")).await;
            assert_eq!(!plan.contains("DataSourceExec"), folds, "{text}: {plan}");
            assert_eq!(f.rows(text).await, [answer], "{text}");
        }
        f.run("DELETE FROM t WHERE id = 1999").await;
        assert_eq!(f.rows("SELECT max(id), min(n), count(*) FROM t").await, ["1998,1,1996"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_the_rows_that_are_left() {
    for (f, _) in fixtures_of_both_modes().await {
        f.run("DELETE FROM t WHERE id % 10 <> 3").await;
        assert_eq!(f.rows("SELECT count(*) FROM (SELECT * FROM t LIMIT 150)").await, ["150"]);
        assert_eq!(f.rows("SELECT count(*) FROM (SELECT * FROM t LIMIT 500)").await, ["200"]);
        assert_eq!(f.rows("SELECT count(*) FROM (SELECT id FROM t WHERE id > 500 LIMIT 500)").await, ["150"]);
        assert_eq!(f.rows("SELECT count(*) FROM (SELECT id FROM t LIMIT 10 OFFSET 195)").await, ["5"]);
        let left = f.rows("SELECT DISTINCT id % 10 FROM (SELECT id FROM t LIMIT 120)").await;
        assert_eq!(left, ["3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_is_hidden() {
    for (f, mode) in fixtures_of_both_modes().await {
        f.run("DELETE FROM t WHERE id BETWEEN 10 AND 19").await;
        let plan = f.plan("EXPLAIN ANALYZE SELECT sum(id) FROM t").await;
        let hidden = ["files_with_deletes", "rows_masked_by_deletes"].map(|name| metric(&plan, name).to_string());
        assert_eq!(hidden, ["1", "10"], "{plan}");
        assert!(plan.contains(&format!("deletion_mode={mode}")), "{plan}");
        // A file without a visible row is not read.
        f.run("DELETE FROM t WHERE id < 1000").await;
        let plan = f.plan("EXPLAIN SELECT id FROM t").await;
        assert!(plan.contains("files=1/2"), "{plan}");
        assert_eq!(f.rows("SELECT count(*), sum(id) FROM t").await, ["1000,1499500"]);
    }
}

/// Later statements find the right rows after earlier ones have hidden some: positions are positions in the file.
#[tokio::test(flavor = "multi_thread")]
async fn deletions_add_up() {
    for (f, _) in fixtures_of_both_modes().await {
        for (text, count) in [
            ("DELETE FROM t WHERE id % 2 = 0", "1000"),
            ("DELETE FROM t WHERE id % 2 = 0", "0"),
            ("DELETE FROM t WHERE id % 3 = 0", "333"),
            ("UPDATE t SET n = 7 WHERE id % 5 = 0", "133"),
            ("DELETE FROM t WHERE n = 7 AND id % 5 <> 0", "1"),
            ("UPDATE t SET id = id + 10000 WHERE id > 1990", "4"),
            ("DELETE FROM t WHERE id > 10000 LIMIT 2", "2"),
        ] {
            assert_eq!(f.rows(text).await, [count], "{text}");
        }
        assert_eq!(f.rows("SELECT count(*), count(DISTINCT id) FROM t").await, ["664,664"]);
        // Earlier snapshots can still be read.
        assert_eq!(f.rows("SELECT count(*) FROM cayenne_at('t', 2)").await, ["2000"]);
        assert_eq!(f.rows("SELECT count(*), min(id) FROM cayenne_at('t', 3)").await, ["1000,1"]);
    }
}

/// If several partitions read parts of one file, a statement finds each row once.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_large_file_are_found_by_all_partitions() {
    let f = fixture_of_files().await;
    f.run("SET datafusion.execution.target_partitions = 7").await;
    f.run("SET datafusion.optimizer.repartition_file_min_size = 1").await;
    f.run("CREATE TABLE t AS SELECT value AS id, concat('text ', value) AS s FROM range(0, 300000)").await;
    for (text, count) in [
        ("DELETE FROM t WHERE id % 7 = 0", "42858"),
        ("UPDATE t SET s = 'new' WHERE id % 11 = 0", "23376"),
        ("DELETE FROM t WHERE s LIKE '%99'", "2337"),
        (
            "MERGE INTO t USING (SELECT value AS id FROM range(0, 300000)) AS s ON t.id = s.id
          WHEN MATCHED AND t.s = 'new' THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'back')",
            "0",
        ),
    ] {
        let answer = f.rows(text).await;
        assert!(count == "0" || answer == [count], "{text}: {answer:?}");
    }
    let sums =
        "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE s = 'back'), count(*) FILTER (WHERE s = 'new')
                FROM t";
    let [answer] = f.rows(sums).await.try_into().unwrap();
    let numbers: Vec<u64> = answer.split(',').map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers[0], numbers[2], numbers[3]), (numbers[1], 42_858 + 2_337, 0), "{answer}");
    assert_eq!(numbers[0], 300_000 - 23_376);
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstone_files_are_listed_without_a_data_file() {
    for (f, mode) in fixtures_of_both_modes().await {
        if mode == "position" {
            continue;
        }
        f.run("DELETE FROM t WHERE id IN (1, 2, 1000)").await;
        f.run("UPDATE t SET id = 5000 WHERE id = 3").await;
        let listed = "SELECT sequence, rows_hidden, file_id IS NULL, bytes > 0 FROM t$deletes ORDER BY sequence";
        assert_eq!(f.rows(listed).await, ["3,3,true,true", "4,1,true,true"]);
        assert_eq!(f.rows("SELECT hidden_rows FROM t$files ORDER BY added_at").await, ["3", "1", "0"]);
        assert_eq!(f.rows("SELECT rows FROM system.tables").await, ["1997"]);
        let looked_up = f.rows("SELECT id FROM t WHERE id IN (1, 3, 4, 5000) ORDER BY id").await;
        assert_eq!(looked_up, ["4", "5000"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_files_are_listed_with_the_data_files_they_belong_to() {
    for f in fixtures().await {
        let listed = "SELECT f.rows, d.sequence, d.rows_hidden, d.bytes > 0, d.path IS NULL
                      FROM t$deletes AS d JOIN t$files AS f ON d.file_id = f.file_id ORDER BY d.sequence, f.added_at";
        assert!(f.rows(listed).await.is_empty());
        f.run("DELETE FROM t WHERE id IN (1, 2, 1000)").await;
        f.run("DELETE FROM t WHERE id = 3").await;
        assert_eq!(f.rows(listed).await, ["1000,3,2,true,true", "1000,3,1,true,true", "1000,4,1,true,true"]);
        let hidden = "SELECT rows, hidden_rows FROM t$files ORDER BY added_at";
        assert_eq!(f.rows(hidden).await, ["1000,3", "1000,1"]);
        f.run("CREATE TABLE u AS SELECT * FROM t").await;
        f.run("DELETE FROM u WHERE id > 5").await;
        let all = "SELECT table_name, count(DISTINCT deletion_id) = count(*), sum(rows_hidden) FROM system.deletes GROUP BY 1 ORDER BY 1";
        assert_eq!(f.rows(all).await, ["t,true,4", "u,true,1993"]);
        let all = "SELECT table_name, sum(rows), sum(hidden_rows) FROM system.files GROUP BY 1 ORDER BY 1";
        assert_eq!(f.rows(all).await, ["t,2000,4", "u,1996,1993"]);
        f.run("TRUNCATE TABLE t").await;
        assert!(f.rows(listed).await.is_empty(), "they go with their data files");
    }
}

/// A deletion vector that is too large for the metastore is stored in a file, whose path is listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_deletion_vector_is_listed_by_its_path() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 700000)").await;
    f.run("DELETE FROM t WHERE id % 3 = 0").await;
    let listed = "SELECT rows_hidden, bytes IS NULL, path FROM t$deletes";
    let [row] = f.rows(listed).await.try_into().unwrap();
    let path = row.strip_prefix("233334,true,").unwrap_or_else(|| panic!("{row}"));
    let folder = f.rows("SELECT location FROM system.tables").await.remove(0);
    assert!(f.folder.path().join("data").join(&folder).join(path).is_file(), "{folder} {row}");
}
