//! Primary keys in statements.

use crate::fixture::{Fixture, fixture};

async fn keyed() -> Fixture {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR, n INT)").await;
    f.run("INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)").await;
    f
}

async fn key_of(f: &Fixture, name: &str) -> Vec<String> {
    f.database.table(&name.parse().unwrap()).await.unwrap().unwrap().options().primary_key.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_key_is_declared_with_the_table() {
    let f = keyed().await;
    assert_eq!(key_of(&f, "t").await, ["id"]);
    f.run("CREATE TABLE two (a BIGINT, \"B\" VARCHAR, c INT, PRIMARY KEY (\"B\", a))").await;
    assert_eq!(key_of(&f, "two").await, ["B", "a"]);
    let root = f.folder.path().display();
    let external = |columns: &str| {
        format!("CREATE EXTERNAL TABLE IF NOT EXISTS e ({columns}) STORED AS CAYENNE LOCATION '{root}'")
    };
    f.run(&external("id BIGINT, v INT, PRIMARY KEY (id)")).await;
    assert_eq!(key_of(&f, "e").await, ["id"]);
    let plain = "CREATE TABLE plain (id BIGINT PRIMARY KEY, v INT)";
    f.ctx.sql(plain).await.unwrap().collect().await.unwrap();
    assert_eq!(key_of(&f, "plain").await, ["id"]);
    let provider = f.ctx.table_provider("two").await.unwrap();
    assert_eq!(format!("{:?}", provider.constraints().unwrap()), "Constraints { inner: [PrimaryKey([1, 0])] }");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_one_key_and_keeps_it() {
    let f = keyed().await;
    for (text, code) in [
        ("CREATE TABLE u (id BIGINT UNIQUE)", "unsupported-sql"),
        ("CREATE TABLE u (id BIGINT PRIMARY KEY, x INT UNIQUE)", "unsupported-sql"),
    ] {
        assert_eq!(f.fails(text).await.stable_code(), code, "{text}");
    }
    let root = f.folder.path().display();
    let again = |column: &str| {
        format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, name VARCHAR, n INT, PRIMARY KEY ({column})) STORED AS CAYENNE
             LOCATION '{root}'"
        )
    };
    let plain = datafusion::execution::session_state::SessionStateBuilder::new().with_default_features();
    let plain = cayenne_datafusion::SessionStateBuilderExt::with_cayenne(plain, &f.database).build();
    let plain = datafusion::prelude::SessionContext::new_with_state(plain);
    let error = cayenne_datafusion::error_of(plain.sql(&again("name")).await.unwrap_err());
    assert_eq!(error.stable_code(), "other-key", "{error:?}");
    plain.sql(&again("id")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_may_take_the_place_of_old_ones() {
    let f = keyed().await;
    assert_eq!(f.rows("REPLACE INTO t VALUES (2, 'z', 22), (3, 'c', 30)").await, ["2"]);
    assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, ["1,a,10", "2,z,22", "3,c,30"]);
    f.run("CREATE TABLE free (id BIGINT)").await;
    assert_eq!(f.fails("REPLACE INTO free VALUES (1)").await.stable_code(), "no-primary-key");
}

const CONFLICTS: &[(&str, &str, &[&str])] = &[
    ("INSERT INTO t VALUES (2, 'z', 0), (3, 'c', 30) ON CONFLICT DO NOTHING", "1", &["1,a,10", "2,b,20", "3,c,30"]),
    (
        "INSERT INTO t (n, id) VALUES (1, 7), (2, 7), (3, 1), (4, 8) ON CONFLICT (id) DO NOTHING",
        "2",
        &["1,a,10", "2,b,20", "7,,1", "8,,4"],
    ),
    (
        "INSERT INTO t VALUES (2, 'z', 5), (3, 'c', 30) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n, name = 'u'",
        "2",
        &["1,a,10", "2,u,25", "3,c,30"],
    ),
    (
        "INSERT INTO t VALUES (1, 'z', 5), (2, 'y', 50) ON CONFLICT (id) DO UPDATE SET n = excluded.n
         WHERE t.n < excluded.n",
        "1",
        &["1,a,10", "2,b,50"],
    ),
    (
        "INSERT INTO t SELECT id + 1, name, n FROM t ON CONFLICT (id) DO UPDATE SET name = excluded.name,
         n = (SELECT max(n) FROM t)",
        "2",
        &["1,a,10", "2,a,20", "3,b,20"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_settled_as_the_statement_says() {
    for (text, count, left) in CONFLICTS {
        let f = keyed().await;
        f.plan(&format!("EXPLAIN {text}")).await;
        assert_eq!(f.rows("SELECT count(*) FROM t").await, ["2"]);
        assert_eq!(f.rows(text).await, [*count], "{text}");
        assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, *left, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_about_the_primary_key() {
    let f = keyed().await;
    let insert = "INSERT INTO t VALUES (1, 'x', 0)";
    for (clause, code) in [
        ("ON CONFLICT (name) DO NOTHING", "conflict-target"),
        ("ON CONFLICT (id, name) DO NOTHING", "conflict-target"),
        ("ON CONFLICT ON CONSTRAINT k DO NOTHING", "conflict-target"),
        ("ON CONFLICT (id) DO UPDATE SET nope = 1", "sql-plan"),
    ] {
        assert_eq!(f.fails(&format!("{insert} {clause}")).await.stable_code(), code, "{clause}");
    }
    f.run("CREATE TABLE free (id BIGINT)").await;
    let error = f.fails("INSERT INTO free VALUES (1) ON CONFLICT DO NOTHING").await;
    assert_eq!(error.stable_code(), "no-primary-key");
    let twice = "INSERT INTO t VALUES (1, 'x', 0), (1, 'y', 0) ON CONFLICT (id) DO UPDATE SET n = excluded.n";
    assert_eq!(f.fails(twice).await.stable_code(), "merge-duplicate");
    assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, ["1,a,10", "2,b,20"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_unique_whatever_an_update_sets() {
    let f = keyed().await;
    assert_eq!(f.rows("UPDATE t SET id = 3 - id").await, ["2"]);
    assert_eq!(f.rows("SELECT id, name FROM t ORDER BY id").await, ["1,b", "2,a"]);
    f.run("INSERT INTO t VALUES (3, 'c', 30)").await;
    for text in [
        "UPDATE t SET id = 3 WHERE id = 1",
        "UPDATE t SET id = 7 WHERE id < 3",
        "MERGE INTO t USING (VALUES (8), (8)) AS s(k) ON t.id = s.k WHEN NOT MATCHED THEN INSERT (id) VALUES (s.k)",
        "MERGE INTO t USING (VALUES (9)) AS s(k) ON t.id = s.k WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
        "INSERT INTO t VALUES (9, 'x', 0), (9, 'y', 0) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    ] {
        assert_eq!(f.fails(text).await.stable_code(), "duplicate-key", "{text}");
    }
    f.fails("UPDATE t SET id = NULL WHERE id = 1").await;
    assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, ["1,b,20", "2,a,10", "3,c,30"]);
    assert_eq!(f.rows("UPDATE t SET id = id + 1").await, ["3"]);
    assert_eq!(f.rows("SELECT id FROM t ORDER BY id").await, ["2", "3", "4"]);
}

/// The rows of a query arrive in order if the query has one; otherwise any of them may be the last.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_several_rows_with_one_key_counts() {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)").await;
    f.run("INSERT INTO t SELECT value % 10, value AS n FROM range(0, 50000) ORDER BY n").await;
    assert_eq!(f.rows("SELECT count(*), min(n), max(n) FROM t").await, ["10,49990,49999"]);
    f.run("REPLACE INTO t SELECT value % 5, -value AS n FROM range(0, 50000) ORDER BY n DESC").await;
    assert_eq!(f.rows("SELECT count(*), min(n), max(n) FROM t").await, ["10,-49999,49999"]);
    assert_eq!(f.rows("SELECT n FROM t WHERE id = 3").await, ["-49998"]);
    f.run("REPLACE INTO t VALUES (3, 1), (3, 2), (4, 3), (3, 4)").await;
    assert_eq!(f.rows("SELECT n FROM t WHERE id = 3").await, ["4"]);
    let first =
        "INSERT INTO t SELECT value % 30, value AS n FROM range(0, 50000) ORDER BY n DESC ON CONFLICT DO NOTHING";
    assert_eq!(f.rows(first).await, ["20"]);
    assert_eq!(f.rows("SELECT min(n), max(n) FROM t WHERE id >= 10").await, ["49970,49999"]);
}

/// A condition that names keys reads only the rows with these keys, and is still applied to them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_looked_up_by_their_keys() {
    for f in [fixture().await, crate::fixture::fixture_of_files().await] {
        f.run("CREATE TABLE t (a BIGINT, b VARCHAR, n BIGINT, PRIMARY KEY (b, a))").await;
        for begin in [0, 1000, 2000] {
            let rows =
                format!("SELECT value % 100, concat('k', value / 100), value AS n FROM range({begin}, {begin} + 1000)");
            f.run(&format!("INSERT INTO t {rows}")).await;
        }
        f.run("DELETE FROM t WHERE n = 1205").await;
        for (condition, answer) in [
            ("a = 5 AND b = 'k3'", "1,305"),
            ("a = 5 AND b = 'k12'", "0,"),
            ("a IN (5, 6, NULL) AND b IN ('k3', 'k12', 'none')", "3,1817"),
            ("(a = 1 AND b = 'k1') OR (b = 'k2' AND a = 2) OR (a = 3 AND b = 'k29' AND n < 5)", "2,303"),
            ("a = 5 AND b = 'k3' AND n > 1000", "0,"),
            ("a = 5 AND a = 6 AND b = 'k3'", "0,"),
            ("a = 5 AND b = NULL", "0,"),
            ("a = 5 AND (b = 'k3' OR n = 2705)", "2,3010"),
            ("a = 5 AND b NOT IN ('k3')", "28,42140"),
        ] {
            let text = format!("SELECT count(*), sum(n) FROM t WHERE {condition}");
            assert_eq!(f.rows(&text).await, [answer], "{condition}");
        }
        let plan = f.plan("EXPLAIN ANALYZE SELECT n FROM t WHERE a = 5 AND b = 'k3'").await;
        assert!(plan.contains("files=1/3") && plan.contains("output_rows=1,"), "{plan}");
        assert_eq!(crate::explain::metric(&plan, "rows_looked_up").to_string(), "1", "{plan}");
        assert_eq!(crate::explain::metric(&plan, "index_probes").to_string(), "3", "one key, three data files: {plan}");
        assert_eq!(f.rows("DELETE FROM t WHERE b = 'k0' AND a IN (1, 2, 3) AND n <> 2").await, ["2"]);
        assert_eq!(f.rows("UPDATE t SET n = -n WHERE b = 'k0' AND a IN (1, 2, 4)").await, ["2"]);
        assert_eq!(f.rows("SELECT n FROM t WHERE b = 'k0' AND a < 6 ORDER BY a").await, ["0", "-2", "-4", "5"]);
        let many: Vec<String> = (0..3000).map(|n| format!("(a = {} AND b = 'k{}')", n % 100, n / 100)).collect();
        let _deep = f.try_run(&format!("SELECT count(*) FROM t WHERE {}", many[..200].join(" OR "))).await.unwrap();
    }
}

/// The keys of rows to delete may come from a query; then the table is not scanned.
#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_keys_a_query_gives_are_deleted_by_key() {
    for f in [fixture().await, crate::fixture::fixture_of_files().await] {
        f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR)").await;
        f.run("INSERT INTO t SELECT value, concat('n', value % 10) FROM range(0, 1000)").await;
        f.run("CREATE TABLE gone (id BIGINT, small INT, note VARCHAR)").await;
        f.run("INSERT INTO gone VALUES (5, 5, 'n5'), (5, 6, 'n6'), (7, 7, NULL), (NULL, 8, 'x'), (4000, 9, 'n9')")
            .await;
        let by_key = "DELETE FROM t WHERE id IN (SELECT id FROM gone)";
        assert!(f.plan(&format!("EXPLAIN {by_key}")).await.contains("delete by key from t"));
        assert_eq!(f.rows("SELECT count(*) FROM t").await, ["1000"], "explaining deletes nothing");
        assert_eq!(f.rows(by_key).await, ["2"], "keys that come twice, are null or in no row do not count");
        assert_eq!(f.rows(by_key).await, ["0"]);
        // A condition that tests more, or keys of another type, do not use a lookup alone, and mean the same.
        for (condition, count) in [
            ("id IN (SELECT small FROM gone)", "3"),
            ("id NOT IN (SELECT id FROM gone WHERE id IS NOT NULL) AND id < 3", "3"),
            ("id IN (SELECT id + 10 FROM gone) AND name = 'n5'", "1"),
            ("id IN (SELECT t.id + 1 FROM t WHERE t.id > 996)", "2"),
            ("id IN (SELECT max(id) FROM t)", "1"),
            ("id NOT IN (SELECT id FROM gone)", "0"),
        ] {
            assert_eq!(f.rows(&format!("DELETE FROM t WHERE {condition}")).await, [count], "{condition}");
        }
        assert_eq!(f.rows("SELECT count(*), min(id), max(id) FROM t").await, ["988,3,996"]);
    }
}

/// A query for rows by their keys returns the same result however it is planned.
#[tokio::test(flavor = "multi_thread")]
async fn queries_by_key_answer_as_all_others_do() {
    for f in [fixture().await, crate::fixture::fixture_of_files().await] {
        f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR, n INT)").await;
        f.run("INSERT INTO t SELECT value, concat('n', value), value * 2 FROM range(0, 500)").await;
        f.run("UPDATE t SET n = -1 WHERE id = 7").await;
        f.run("DELETE FROM t WHERE id = 8").await;
        for (query, answer) in [
            ("SELECT * FROM t WHERE id = 7", vec!["7,n7,-1"]),
            ("SELECT * FROM t WHERE 7 = id", vec!["7,n7,-1"]),
            ("SELECT * FROM t WHERE id = 8", vec![]),
            ("SELECT * FROM t WHERE id = 5000", vec![]),
            ("SELECT * FROM t WHERE id = NULL", vec![]),
            ("SELECT n, id AS key, n + 1, name || '!' FROM t AS a WHERE id = 3", vec!["6,3,7,n3!"]),
            ("SELECT a.n FROM t AS a WHERE a.id = 3", vec!["6"]),
            ("SELECT 1 FROM t WHERE id = 3", vec!["1"]),
            ("SELECT name FROM t WHERE id IN (499, 0, 8, NULL, 0)", vec!["n0", "n499"]),
            ("SELECT name FROM t WHERE id = 3 AND n = 5", vec![]),
            ("SELECT name FROM t WHERE id = CAST(3 AS INT)", vec!["n3"]),
            ("SELECT name FROM t WHERE id = 3.0", vec!["n3"]),
            ("SELECT count(*) FROM t WHERE id = 3", vec!["1"]),
            ("SELECT name FROM t WHERE id IN (1, 2) LIMIT 1 OFFSET 1", vec!["n2"]),
        ] {
            let mut found = f.rows(query).await;
            found.sort();
            assert_eq!(found, answer, "{query}");
        }
        f.run("PREPARE p AS SELECT n, name FROM t WHERE id = $1").await;
        assert_eq!(f.rows("EXECUTE p(9)").await, ["18,n9"]);
        f.run("UPDATE t SET n = 1 WHERE id = 9").await;
        assert_eq!(f.rows("EXECUTE p(9)").await, ["1,n9"], "a prepared query reads the rows of the moment");
        assert_eq!(f.rows("EXECUTE p(8)").await, Vec::<String>::new());
    }
}

fn list(numbers: impl Iterator<Item = i64>) -> String {
    let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
    numbers.join(", ")
}

/// Long lists become rows before planning. The results are those of the same list on a table without a key.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_keys_select_what_they_list() {
    let f = fixture().await;
    for (name, key) in [("k", " PRIMARY KEY"), ("p", "")] {
        f.run(&format!("CREATE TABLE {name} (id BIGINT{key}, n BIGINT)")).await;
        f.run(&format!("INSERT INTO {name} SELECT value AS id, value % 11 AS n FROM range(0, 60000)")).await;
        f.run(&format!("DELETE FROM {name} WHERE id % 7 = 3")).await;
        f.run(&format!("INSERT INTO {name} VALUES (60001, 1), (60002, 2)")).await;
    }
    let wide = list((-100..4_000).map(|n| n * 17));
    let narrow = list((0..1_400).map(|n| n / 2).chain([60_001, 59_999]));
    for keys in [wide, narrow] {
        for query in [
            format!("SELECT * FROM t WHERE id IN ({keys}) ORDER BY id"),
            format!("SELECT id FROM t WHERE id IN ({keys}) AND n > 5 ORDER BY id"),
            format!(
                "SELECT n, count(*), sum(id) FROM t WHERE n <> 4 AND id IN ({keys}) AND id > 50 GROUP BY n ORDER BY n"
            ),
            format!("SELECT count(*) FROM (SELECT * FROM t WHERE id IN ({keys}) LIMIT 90)"),
            format!("SELECT count(*) FROM t a JOIN t b ON a.id = b.n WHERE a.id IN ({keys})"),
            format!("SELECT count(*) FROM t WHERE n IN (SELECT id FROM t AS s WHERE s.id IN ({keys}))"),
            format!("SELECT x.id FROM t AS x WHERE x.id IN ({keys}) AND x.id NOT IN (1, 7) ORDER BY x.id"),
            format!("SELECT count(*) FROM t WHERE id NOT IN ({keys})"),
            format!("SELECT count(*) FROM t WHERE id IN ({keys}, NULL)"),
            format!("SELECT count(*) FROM t WHERE id IN ({keys}) OR n = 3"),
        ] {
            let [k, p] = ["k", "p"].map(|name| query.replace(" t ", &format!(" {name} ")));
            assert_eq!(f.rows(&k).await, f.rows(&p).await, "{}", &k[..40]);
        }
        let query = format!("SELECT sum(n) FROM k WHERE id IN ({keys})");
        let plan = f.plan(&format!("EXPLAIN {query}")).await;
        assert!(!plan.contains(" IN ("), "{plan}");
        let ran = f.plan(&format!("EXPLAIN ANALYZE {query}")).await;
        assert!(ran.contains("index_probes="), "{ran}");
    }
}

/// The same is true of the lists in a `DELETE`.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_keys_delete_what_they_list() {
    let f = fixture().await;
    let (even, twice) = (list((-100..2_000).map(|n| n * 2)), list((0..1_400).map(|n| n / 2)));
    let texts: Vec<String> = (0..1_000).map(|n| format!("'s{}'", n * 3)).collect();
    for (condition, whole) in [
        (format!("id IN ({even})"), "CayenneChange: delete by key"),
        (format!("id IN ({twice})"), "CayenneChange: delete by key"),
        (format!("id IN ({even}, NULL)"), "CayenneChange: delete from"),
        (format!("id NOT IN ({even})"), "CayenneChange: delete from"),
        (format!("id IN ({even}) AND n > 5"), "CayenneChange: delete from"),
        (format!("id IN ({even}, 3.5)"), "CayenneChange: delete from"),
        (format!("n IN ({even})"), "CayenneChange: delete from"),
    ] {
        for (name, key) in [("k", " PRIMARY KEY"), ("p", "")] {
            f.run(&format!("CREATE TABLE {name} (id BIGINT{key}, n BIGINT)")).await;
            f.run(&format!("INSERT INTO {name} SELECT value AS id, value % 11 AS n FROM range(0, 3000)")).await;
        }
        let plan = f.plan(&format!("EXPLAIN DELETE FROM k WHERE {condition}")).await;
        assert!(plan.contains(whole), "{}: {plan}", &condition[..20]);
        let [k, p] = ["k", "p"].map(|name| format!("DELETE FROM {name} WHERE {condition}"));
        assert_eq!(f.rows(&k).await, f.rows(&p).await, "{}", &condition[..20]);
        let [k, p] = ["k", "p"].map(|name| format!("SELECT * FROM {name} ORDER BY id"));
        assert_eq!(f.rows(&k).await, f.rows(&p).await, "{}", &condition[..20]);
        f.run("DROP TABLE k").await;
        f.run("DROP TABLE p").await;
    }
    f.run("CREATE TABLE t (s VARCHAR PRIMARY KEY)").await;
    f.run("INSERT INTO t SELECT concat('s', value) FROM range(0, 2000)").await;
    assert_eq!(f.rows(&format!("DELETE FROM t WHERE s IN ({})", texts.join(", "))).await, ["667"]);
    assert_eq!(f.rows("SELECT count(*) FROM t WHERE s IN ('s0', 's3', 's1998', 's1')").await, ["1"]);
}
