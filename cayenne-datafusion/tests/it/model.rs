//! Any series of changes leaves the rows that it should. The model is a table that is rewritten completely by each
//! change.

use crate::fixture::{Fixture, fixture, fixture_of_files};

const STEPS: usize = 14;

/// A small pseudo-random generator, deterministic for each seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn condition(&mut self) -> String {
        let (a, b) = (self.below(400), self.below(400));
        match self.below(9) {
            0 => format!("id < {a}"),
            1 => format!("id % 7 = {} OR n = {b}", a % 7),
            2 => format!("n IS NULL AND id > {a}"),
            3 => format!("id IN ({a}, {b}, NULL)"),
            4 => format!("n BETWEEN {a} AND {}", a + 40),
            5 => format!("id IN (SELECT o.id + 1 FROM @ AS o WHERE o.n > {b})"),
            6 => format!("n > (SELECT avg(o.n) + {} FROM @ AS o)", a % 50),
            7 => format!("s LIKE '%{}' AND NOT (n < {b})", a % 10),
            _ => format!("NOT EXISTS (SELECT 1 FROM @ AS o WHERE o.id = @.id + {})", 1 + a % 5),
        }
    }
}

/// Runs one step on `t`, and writes the expected rows to `m`.
async fn step(f: &Fixture, numbers: &mut Numbers, keyed: bool) -> String {
    let of = |text: &str, name: &str| text.replace('@', name);
    let condition = numbers.condition();
    let gone = of(&format!("id NOT IN (SELECT id FROM @ WHERE {condition})"), "m");
    let text = match numbers.below(6) {
        0 => {
            let (begin, count) = (numbers.below(10) * 100 + 1_000 * numbers.below(1_000), 1 + numbers.below(150));
            let rows = format!(
                "SELECT value AS id, CASE WHEN value % 5 = 0 THEN NULL ELSE value % 400 END AS n, concat('s', value) AS s
                 FROM range({begin}, {begin} + {count}) WHERE value NOT IN (SELECT id FROM m)"
            );
            f.run(&format!("INSERT INTO t {rows}")).await;
            f.run(&format!("INSERT INTO m {rows}")).await;
            return rows;
        }
        1 | 2 => {
            f.run(&format!("INSERT OVERWRITE m SELECT * FROM m WHERE {gone}")).await;
            format!("DELETE FROM @ WHERE {condition}")
        }
        3 | 4 => {
            let new = "id, n + 3, concat(s, '!')";
            let updated = of(&format!("SELECT {new} FROM @ WHERE {condition}"), "m");
            f.run(&format!("INSERT OVERWRITE m SELECT * FROM m WHERE {gone} UNION ALL {updated}")).await;
            format!("UPDATE @ SET n = n + 3, s = concat(s, '!') WHERE {condition}")
        }
        _ => {
            let (begin, count) = (numbers.below(400), 1 + numbers.below(100));
            let source = format!("(SELECT value AS id FROM range({begin}, {begin} + {count}))");
            f.run(&format!(
                "INSERT OVERWRITE m SELECT * FROM m WHERE id NOT IN {source}
                 UNION ALL SELECT id, -1, s FROM m WHERE id IN {source} AND id % 3 <> 0
                 UNION ALL SELECT s.id, 0, 'merged' FROM {source} AS s WHERE s.id NOT IN (SELECT id FROM m)"
            ))
            .await;
            format!(
                "MERGE INTO @ USING {source} AS s ON @.id = s.id WHEN MATCHED AND @.id % 3 = 0 THEN DELETE
                 WHEN MATCHED THEN UPDATE SET n = -1 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0, 'merged')"
            )
        }
    };
    let statement = of(&text, "t");
    f.run(&statement).await;
    if keyed && numbers.below(4) == 0 {
        f.run("SELECT * FROM cayenne_flush('t')").await;
    }
    statement
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_leave_what_queries_say() {
    for seed in 0..12 {
        let mut numbers = Numbers(seed);
        let f = if seed % 2 == 0 { fixture().await } else { fixture_of_files().await };
        let keyed = seed % 3 == 0 || seed % 4 == 3;
        let key = if keyed { " PRIMARY KEY" } else { "" };
        let columns = format!("t (id BIGINT{key}, n BIGINT, s VARCHAR)");
        if seed % 4 == 3 {
            let place = format!("STORED AS CAYENNE LOCATION '{}'", f.folder.path().display());
            f.run(&format!("CREATE EXTERNAL TABLE {columns} {place} OPTIONS ('deletion_mode' 'key')")).await;
        } else {
            f.run(&format!("CREATE TABLE {columns}")).await;
        }
        f.run("CREATE TABLE m (id BIGINT, n BIGINT, s VARCHAR)").await;
        for name in ["t", "m"] {
            let rows = "SELECT value, value AS n, concat('s', value) AS s FROM range(0, 400)";
            f.run(&format!("INSERT INTO {name} {rows}")).await;
        }
        for at in 0..STEPS {
            let statement = step(&f, &mut numbers, keyed).await;
            for what in ["* FROM @ ORDER BY id", "count(*), count(n), min(id), max(id), min(n), max(s) FROM @"] {
                let [t, m] = ["t", "m"].map(|name| format!("SELECT {}", what.replace('@', name)));
                assert_eq!(f.rows(&t).await, f.rows(&m).await, "seed {seed}, step {at}: {statement}");
            }
        }
    }
}
