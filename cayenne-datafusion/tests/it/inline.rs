//! Queries return the same results whether rows are inline, in data files, or in both.

use crate::fixture::{Fixture, fixture, fixture_of_files};

const MAKE: &str = "CREATE TABLE t AS SELECT value AS id, CASE WHEN value % 3 = 0 THEN NULL ELSE value % 7 END AS n,
    concat('text ', value % 11) AS s, value * 0.5 AS f FROM range(0, 900)";
const ADD: &str = "INSERT INTO t SELECT value AS id, value % 5 AS n, concat('more ', value % 4) AS s, value * 0.25 AS f
    FROM range(900, 1500)";
const ADD_MANY: &str = "INSERT INTO t SELECT value AS id, value % 13 AS n, concat('many ', value % 17) AS s, NULL AS f
    FROM range(2000, 9000)";

const QUERIES: &[&str] = &[
    "SELECT count(*), min(id), max(id), sum(n), count(f) FROM t",
    "SELECT * FROM t WHERE id BETWEEN 890 AND 905 ORDER BY id",
    "SELECT s, count(*) FROM t WHERE n > 3 GROUP BY s ORDER BY s",
    "SELECT id + 1 AS next, upper(s) FROM t WHERE f < 2 ORDER BY id",
    "SELECT id FROM t WHERE n IS NULL AND s LIKE '%1%' ORDER BY id DESC LIMIT 5",
    "SELECT id FROM t WHERE n IN (1, NULL, 2, 3, 4, 5) ORDER BY id LIMIT 7",
    "SELECT id FROM t WHERE n NOT IN (1, 2, 3, 4, 5, 6) ORDER BY id LIMIT 7",
    "SELECT id FROM t ORDER BY f DESC NULLS LAST, id LIMIT 9",
    "SELECT count(*) FROM t AS a JOIN t AS b ON a.id = b.id + 700 WHERE b.n = 4",
    "SELECT count(*) FROM t WHERE id IN (SELECT id * 2 FROM t WHERE s = 'more 1')",
    "SELECT max(id) FROM t WHERE s = 'text 3'",
    "SELECT count(*) FROM (SELECT * FROM t LIMIT 950)",
    "SELECT 1 FROM t WHERE id = 901",
    "SELECT count(*) FROM t WHERE false",
];

async fn answers(f: &Fixture) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push(f.rows(query).await);
    }
    answers
}

// TESTING T16 and T17: the same statements on inline, filed and mixed tables.
#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_depend_on_where_rows_are() {
    let (inline, files) = (fixture().await, fixture_of_files().await);
    for f in [&inline, &files] {
        f.run(MAKE).await;
        f.run(ADD).await;
    }
    for (f, expected) in [(&inline, "true"), (&files, "false")] {
        assert_eq!(f.rows("SELECT DISTINCT location = 'inline' FROM \"t$files\"").await, [expected]);
    }
    let expected = answers(&files).await;
    assert_eq!(answers(&inline).await, expected);
    for f in [&inline, &files] {
        f.run(ADD_MANY).await;
    }
    let expected = answers(&files).await;
    assert_eq!(answers(&inline).await, expected, "both kinds in one scan");
    inline.run("SELECT * FROM cayenne_flush('t')").await;
    assert_eq!(answers(&inline).await, expected, "after the flush");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_tells_what_it_did_and_is_done_by_running_it_only() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 10)").await;
    f.run("EXPLAIN SELECT * FROM cayenne_flush('t')").await;
    assert_eq!(f.rows("SELECT location FROM \"t$files\"").await, ["inline"]);
    assert_eq!(f.rows("SELECT * FROM cayenne_flush('t')").await, ["t,10,1,1,2"]);
    assert_eq!(f.rows("SELECT rows, inline_files FROM cayenne_flush('t')").await, ["0,0"]);
    assert_eq!(f.rows("SELECT operation FROM \"t$snapshots\" ORDER BY sequence").await, ["append", "flush"]);
    assert_eq!(f.fails("SELECT * FROM cayenne_flush('nowhere')").await.stable_code(), "no-table");
    for wrong in ["", "1", "'t', 't'", "NULL"] {
        let error = f.fails(&format!("SELECT * FROM cayenne_flush({wrong})")).await;
        assert!(error.to_string().contains("cayenne_flush"), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_tells_of_each_pass_and_is_done_by_running_it_only() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 10)").await;
    for from in [10, 20, 30] {
        f.run(&format!("INSERT INTO t SELECT value AS id FROM range({from}, {from} + 10)")).await;
    }
    f.run("DELETE FROM t WHERE id % 5 = 3").await;
    f.run("EXPLAIN SELECT * FROM cayenne_compact('t')").await;
    assert_eq!(f.rows("SELECT count(*), sum(hidden_rows) FROM \"t$files\"").await, ["4,8"]);
    let counts = "table_name, reason, inputs, outputs, rows, rows_left_out, bytes_read > bytes_written, sequence";
    let passes = f.rows(&format!("SELECT {counts} FROM cayenne_compact('t', 3)")).await;
    assert_eq!(passes, ["t,manual,2,1,16,4,true,6", "t,manual,3,1,32,4,true,7"]);
    assert_eq!(f.rows("SELECT count(*), sum(hidden_rows) FROM \"t$files\"").await, ["1,0"]);
    assert_eq!(f.rows("SELECT count(*), sum(id) FROM t").await, ["32,616"]);
    assert_eq!(f.rows("SELECT count(*) FROM cayenne_compact('t')").await, ["0"]);
    let operations = f.rows("SELECT DISTINCT operation FROM \"t$snapshots\" WHERE sequence > 5").await;
    assert_eq!(operations, ["compact"]);
    for table in ["\"t$compactions\"", "system.compactions"] {
        let passes =
            format!("SELECT outcome, reason, inputs, rows, sequence, error IS NULL FROM {table} ORDER BY sequence");
        assert_eq!(f.rows(&passes).await, ["committed,manual,2,16,6,true", "committed,manual,3,32,7,true"]);
        let unusual = format!("SELECT count(*) FROM {table} WHERE declined IS NOT NULL OR times <> 1");
        assert_eq!(f.rows(&unusual).await, ["0"]);
    }
    let counted = "SELECT table_name, value FROM system.metrics WHERE name = 'cayenne_compaction_outcome_total' \
                   AND labels['kind'] = 'manual' AND labels['outcome'] = 'committed'";
    assert_eq!(f.rows(counted).await, ["t,2.0"]);
    let reads = "SELECT name, value FROM system.metrics WHERE name IN ('cayenne_ingest_read_amp', 'cayenne_layers', \
                 'acceleration_rows') ORDER BY name";
    assert_eq!(f.rows(reads).await, ["acceleration_rows,32.0", "cayenne_ingest_read_amp,1.0", "cayenne_layers,1.0"]);
    assert_eq!(f.rows("SELECT layers, read_amplification FROM system.tables").await, ["1,1"]);
    let of_database = "SELECT value FROM system.metrics WHERE name = 'cayenne_compaction_permits_total' \
                       AND table_name IS NULL";
    assert_eq!(f.rows(of_database).await, ["2.0"]);
    assert_eq!(f.fails("SELECT * FROM cayenne_compact('nowhere')").await.stable_code(), "no-table");
    for wrong in ["", "1", "'t', 't'", "NULL", "'t', -1", "'t', 2, 3"] {
        let error = f.fails(&format!("SELECT * FROM cayenne_compact({wrong})")).await;
        assert!(error.to_string().contains("cayenne_compact"), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_files_are_pruned_by_their_statistics() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 10)").await;
    f.run("INSERT INTO t SELECT value AS id FROM range(10, 20)").await;
    let plan = f.plan("EXPLAIN SELECT * FROM t WHERE id = 15").await;
    assert!(plan.contains("files=1/2"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_sql_decide_what_is_inline() {
    let f = fixture().await;
    let root = f.folder.path().display();
    f.run(&format!(
        "CREATE EXTERNAL TABLE t (id BIGINT) STORED AS CAYENNE LOCATION '{root}' OPTIONS ('inline_max_rows' '5')"
    ))
    .await;
    f.run("INSERT INTO t SELECT value FROM range(0, 5)").await;
    f.run("INSERT INTO t SELECT value FROM range(5, 11)").await;
    let places = f.rows("SELECT rows, location = 'inline' FROM \"t$files\" ORDER BY rows").await;
    assert_eq!(places, ["5,true", "6,false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_given_up_and_collected_by_functions() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 10)").await;
    f.run("INSERT OVERWRITE t SELECT value AS id FROM range(0, 5)").await;
    f.run("INSERT INTO t SELECT value AS id FROM range(5, 7)").await;
    f.run("EXPLAIN SELECT * FROM cayenne_expire('t')").await;
    assert_eq!(f.rows("SELECT count(*) FROM cayenne_at('t', 1)").await, ["10"]);
    assert_eq!(f.rows("SELECT * FROM cayenne_expire('t', 1, true)").await, ["t,1,2,2"]);
    assert_eq!(f.rows("SELECT * FROM cayenne_expire('t', 1)").await, ["t,1,2,2"]);
    assert!(f.fails("SELECT * FROM cayenne_at('t', 1)").await.to_string().contains("oldest: 2"));
    assert_eq!(f.rows("SELECT count(*) FROM cayenne_at('t', 2)").await, ["5"]);
    for (sql, outcome) in [("cayenne_collect(true)", "would be removed"), ("cayenne_collect()", "removed")] {
        assert_eq!(f.rows(&format!("SELECT kind, outcome FROM {sql}")).await, [format!("file,{outcome}")]);
    }
    assert!(f.rows("SELECT * FROM cayenne_collect()").await.is_empty());
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["7"]);
    for wrong in ["cayenne_expire()", "cayenne_expire('t', -1)", "cayenne_expire('t', 1, 1)", "cayenne_collect('t')"] {
        let error = f.fails(&format!("SELECT * FROM {wrong}")).await;
        assert_eq!(error.stable_code(), "sql-plan", "{wrong}: {error}");
    }
}
