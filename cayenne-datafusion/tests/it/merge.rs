//! For each row, `MERGE INTO` does what the first applicable clause says.

use crate::fixture::{Fixture, fixture, fixture_of_files};

async fn tables(inline: bool) -> Fixture {
    let f = if inline { fixture().await } else { fixture_of_files().await };
    f.run("CREATE TABLE t (id BIGINT, name VARCHAR, n INT)").await;
    f.run("INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)").await;
    f.run("INSERT INTO t VALUES (3, 'c', 30), (4, 'd', NULL)").await;
    f.run("CREATE TABLE s (id BIGINT, name VARCHAR, n INT)").await;
    f.run("INSERT INTO s VALUES (2, 'B', 21), (3, 'C', 0), (5, 'E', 50), (6, NULL, 0), (NULL, 'none', 1)").await;
    f
}

const CASES: &[(&str, &str, &[&str])] = &[
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = s.n",
        "2",
        &["1,a,10", "2,b,21", "3,c,0", "4,d,"],
    ),
    ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE", "2", &["1,a,10", "4,d,"]),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)",
        "3",
        &["1,a,10", "2,b,20", "3,c,30", "4,d,", "5,E,", "6,,", ",none,"],
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id
         WHEN MATCHED AND EXISTS (SELECT 1 FROM s AS x WHERE x.id = t.id + 1) THEN DELETE",
        "1",
        &["1,a,10", "3,c,30", "4,d,"],
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id
         WHEN MATCHED AND t.id NOT IN (SELECT x.n FROM s AS x WHERE x.n > 1) THEN UPDATE SET n = 7",
        "2",
        &["1,a,10", "2,b,7", "3,c,7", "4,d,"],
    ),
    ("MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE", "2", &["2,b,20", "3,c,30"]),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED BY SOURCE AND t.n > 0 THEN UPDATE SET n = -t.n",
        "1",
        &["1,a,-10", "2,b,20", "3,c,30", "4,d,"],
    ),
    (
        "MERGE INTO t AS x USING (SELECT id, n FROM s WHERE id IS NOT NULL) AS y ON x.id = y.id
         WHEN MATCHED AND y.n = 0 THEN DELETE
         WHEN MATCHED THEN UPDATE SET name = concat(x.name, '!'), n = x.n + y.n
         WHEN NOT MATCHED BY TARGET AND y.n > 0 THEN INSERT VALUES (y.id, 'new', y.n)
         WHEN NOT MATCHED BY SOURCE AND x.n IS NULL THEN UPDATE SET n = 0",
        "4",
        &["1,a,10", "2,b!,41", "4,d,0", "5,new,50"],
    ),
    // The first applicable clause counts. Later clauses, and clauses of another kind, are not evaluated.
    (
        "MERGE INTO t USING s ON t.id = s.id
         WHEN MATCHED AND s.n = 0 THEN DELETE
         WHEN MATCHED AND 100 / s.n > 1 THEN UPDATE SET n = 100 / s.n
         WHEN NOT MATCHED AND s.n = 0 THEN INSERT VALUES (s.id, 'zero', 1 / (s.n + 1))
         WHEN NOT MATCHED AND 100 / s.n = 2 THEN INSERT VALUES (s.id, s.name, 100 / s.n)",
        "4",
        &["1,a,10", "2,b,4", "4,d,", "5,E,2", "6,zero,1"],
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND 100 / s.n > 1000 THEN DELETE",
        "error",
        &["1,a,10", "2,b,20", "3,c,30", "4,d,"],
    ),
    // The source is empty, so no row of the table is matched by it.
    (
        "MERGE INTO t USING (SELECT * FROM s WHERE false) AS s ON t.id = s.id
         WHEN NOT MATCHED THEN INSERT VALUES (9, 'x', 9) WHEN NOT MATCHED BY SOURCE AND t.id > 2 THEN DELETE",
        "2",
        &["1,a,10", "2,b,20"],
    ),
    (
        "MERGE INTO t USING t AS s ON t.id = s.id + 1 WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN
         INSERT VALUES (s.id + 1, s.name, s.n)",
        "4",
        &["1,a,10", "2,b,10", "3,c,20", "4,d,30", "5,d,"],
    ),
    (
        "MERGE INTO t USING s ON t.id < s.id AND s.id = 3 WHEN MATCHED THEN UPDATE SET n = 0",
        "2",
        &["1,a,0", "2,b,0", "3,c,30", "4,d,"],
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET id = s.id * 10, n = '7'",
        "2",
        &["1,a,10", "4,d,", "20,b,7", "30,c,7"],
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = (SELECT max(n) FROM t)",
        "2",
        &["1,a,10", "2,b,30", "3,c,30", "4,d,"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_clause_does_what_it_says() {
    for inline in [true, false] {
        for (text, count, left) in CASES {
            let f = tables(inline).await;
            let before = f.rows("SELECT * FROM t ORDER BY 1").await;
            f.plan(&format!("EXPLAIN {text}")).await;
            assert_eq!(f.rows("SELECT * FROM t ORDER BY 1").await, before, "{text}");
            if *count == "error" {
                f.fails(text).await;
            } else {
                assert_eq!(f.rows(text).await, [*count], "{text}");
            }
            assert_eq!(f.rows("SELECT * FROM t ORDER BY 1").await, *left, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_for_one_are_an_error_only_if_both_change_it() {
    let f = tables(false).await;
    f.run("INSERT INTO s VALUES (2, 'again', 99)").await;
    let on = "MERGE INTO t USING s ON t.id = s.id";
    for clause in ["WHEN MATCHED THEN DELETE", "WHEN MATCHED THEN UPDATE SET n = s.n"] {
        let error = f.fails(&format!("{on} {clause}")).await;
        assert_eq!(error.stable_code(), "merge-duplicate", "{error:?}");
    }
    assert_eq!(f.rows("SELECT count(*), sum(n) FROM t").await, ["4,60"]);
    assert_eq!(f.rows(&format!("{on} WHEN MATCHED AND s.n = 99 THEN UPDATE SET n = s.n")).await, ["1"]);
    let insert = format!("{on} WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name, s.n)");
    assert_eq!(f.rows(&insert).await, ["3"]);
    assert_eq!(f.rows("SELECT count(*), sum(n) FROM t").await, ["7,190"]);
}

/// More rows than one batch has, in several files, with both sides in several partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_merge_is_exact() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id, value % 7 AS k FROM range(0, 60000)").await;
    f.run("INSERT INTO t SELECT value, value % 7 FROM range(60000, 100000)").await;
    f.run("CREATE TABLE s AS SELECT value * 3 AS id, -1 AS k FROM range(0, 50000)").await;
    let text = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND t.id % 2 = 0 THEN DELETE
                WHEN MATCHED THEN UPDATE SET k = s.k WHEN NOT MATCHED THEN INSERT (id, k) VALUES (s.id, s.k)
                WHEN NOT MATCHED BY SOURCE AND t.k = 0 THEN DELETE";
    let gone = "SELECT count(*) FROM t WHERE (id % 3 = 0 AND id % 2 = 0) OR (id % 3 <> 0 AND k = 0)";
    let gone: u64 = f.rows(gone).await[0].parse().unwrap();
    let (updated, inserted) = (16_667, 50_000 - 33_334);
    assert_eq!(f.rows(text).await, [(gone + updated + inserted).to_string()]);
    let left = format!("{},{}", 100_000 - gone + inserted, updated + inserted);
    assert_eq!(f.rows("SELECT count(*), count(*) FILTER (WHERE k = -1) FROM t").await, [left]);
    assert_eq!(f.rows("SELECT count(*) FROM (SELECT id FROM t GROUP BY id HAVING count(*) > 1)").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_keep_their_types_and_odd_names() {
    let f = fixture_of_files().await;
    f.run(
        "CREATE TABLE t AS SELECT value AS \"Id\", value AS __cayenne_position, arrow_cast(concat('d', value % 3),
         'Dictionary(Int32, Utf8)') AS d, make_array(value, NULL) AS l, named_struct('x', value) AS \"the struct\",
         CAST(value AS DECIMAL(12, 2)) AS __cayenne_file, value > 5 AS b, to_timestamp(value) AS ts FROM range(0, 10)",
    )
    .await;
    f.run("CREATE TABLE s AS SELECT \"Id\" * 2 AS \"Id\", __cayenne_position AS __cayenne_source, d, l, \"the struct\", b, ts FROM t")
        .await;
    let types =
        "SELECT arrow_typeof(d), arrow_typeof(l), arrow_typeof(\"the struct\"), arrow_typeof(ts) FROM t LIMIT 1";
    let before = f.rows(types).await;
    let text = "MERGE INTO t USING s ON t.\"Id\" = s.\"Id\" WHEN MATCHED AND s.b THEN DELETE
                WHEN MATCHED THEN UPDATE SET d = s.d, l = s.l, \"the struct\" = s.\"the struct\"
                WHEN NOT MATCHED THEN INSERT (\"Id\", l, d, ts) VALUES (s.\"Id\", s.l, s.d, s.ts)";
    assert_eq!(f.rows(text).await, ["10"]);
    assert_eq!(f.rows(types).await, before);
    let text = "SELECT \"Id\", __cayenne_position, __cayenne_file, d, l, \"the struct\" FROM t WHERE \"Id\" IN (4, 5, 16) ORDER BY 1";
    let left = ["4,4,4.00,d2,[2, ],{x: 2}", "5,5,5.00,d2,[5, ],{x: 5}", "16,,,d2,[8, ],"];
    assert_eq!(f.rows(text).await, left);
    assert_eq!(f.rows("DELETE FROM t WHERE __cayenne_position = 5 OR __cayenne_file = 7").await, ["2"]);
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["13"]);
}

/// A merge that cannot be executed is rejected, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_out_changes_nothing() {
    let f = tables(false).await;
    let before = f.rows("SELECT * FROM t ORDER BY 1").await;
    for text in [
        "MERGE INTO t USING s ON t.id IN (SELECT id FROM s AS x WHERE x.n > s.n) WHEN MATCHED THEN DELETE",
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET nope = 1",
        "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id, 1)",
        "MERGE INTO t USING t ON true WHEN MATCHED THEN DELETE",
        "DELETE FROM t USING s WHERE t.id = s.id",
        "UPDATE t SET n = 1 FROM s WHERE t.id = s.id",
        "UPDATE t SET n = s.n WHERE t.id = 1",
        "DELETE FROM t WHERE nope = 1",
    ] {
        let outcome = f.try_run(text).await;
        let after = f.rows("SELECT * FROM t ORDER BY 1").await;
        assert!(outcome.is_err() && after == before, "{text}: {outcome:?} {after:?}");
    }
}
