//! Maintenance: `collect` removes orphans and nothing else, and `compact` tells its reasons.

use crate::database::Database;

#[test]
fn left_overs_are_listed_first_and_removed_then() {
    let database = Database::with_table();
    let named = database.data_files();
    let folder = named[0].parent().unwrap();
    let left_over = folder.join("01890000-0000-7000-8000-000000000000.vortex");
    std::fs::write(&left_over, "left over").unwrap();
    let dry = database.run(&["--format", "csv", "collect", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.out.contains("01890000-0000-7000-8000-000000000000.vortex,would be removed"), "{dry:?}");
    assert!(dry.err.starts_with("would remove 1 file (9 B)"), "{dry:?}");
    assert!(left_over.exists());
    let wet = database.run(&["--format", "csv", "collect"]);
    assert!(wet.out.contains(",removed\n") && wet.err.starts_with("removed 1 file"), "{wet:?}");
    assert_eq!(database.data_files(), named);
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn a_table_that_another_process_writes_is_passed_over() {
    let database = Database::with_table();
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("INSERT INTO t VALUES (4, 'four')"), "OK 1\n");
    let ran = database.run(&["--format", "csv", "collect"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "kind,name,outcome\ntable,t,passed over\n"), "{ran:?}");
    assert_eq!(writer.say("INSERT INTO t VALUES (5, 'five')"), "OK 1\n");
}

#[test]
fn flush_and_expire_tell_what_they_did_table_by_table() {
    let database = Database::new();
    let source = database.write("t.csv", "id,name\n1,one\n2,two\n");
    for table in ["t", "u"] {
        database.ok(&["load", &source, "--into", table]);
    }
    assert!(database.data_files().is_empty(), "two rows are no file");
    let flushed = database.ok(&["--format", "csv", "flush", "t"]);
    assert_eq!(flushed, "table,rows,inline_files,files,sequence\nt,2,1,1,2\n");
    assert_eq!(database.data_files().len(), 1);
    assert_eq!(database.ok(&["--format", "csv", "flush"]).lines().count(), 3, "all tables");
    for _ in 0..2 {
        database.ok(&["load", &source, "--into", "t", "--append"]);
    }
    let expire = |args: &[&str]| database.ok(&[&["--format", "csv", "expire", "t"], args].concat());
    assert_eq!(expire(&["--keep", "9", "--dry-run"]), "table,snapshots,kept_from,known_from\nt,0,2,2\n");
    assert_eq!(expire(&["--keep-for", "7d", "--dry-run"]), "table,snapshots,kept_from,known_from\nt,0,2,2\n");
    let dry = expire(&["--dry-run"]);
    assert_eq!(dry, "table,snapshots,kept_from,known_from\nt,2,4,4\n");
    assert_eq!(expire(&[]), dry, "what was said is what is done");
    assert_eq!(expire(&[]), "table,snapshots,kept_from,known_from\nt,0,4,4\n");
    assert_eq!(database.query("SELECT count(*) FROM t"), "6\n");
    database.run(&["flush", "nowhere"]).failed(1, "no-table");
    database.run(&["expire", "nowhere"]).failed(1, "no-table");
    assert_eq!(database.run(&["expire", "--keep-for", "soon"]).code, Some(2));
}

#[test]
fn compact_says_what_it_would_do_why_and_what_it_did() {
    let database = Database::new();
    let source = database.write("t.csv", "id,name\n1,one\n2,two\n3,three\n4,four\n");
    let load_five_times = |table: &str, option: &str| {
        database.ok(&["load", &source, "--into", table, "--option", option]);
        for _ in 0..4 {
            database.ok(&["flush"]);
            database.ok(&["load", &source, "--into", table, "--append"]);
        }
    };
    load_five_times("t", "compaction_trigger_files=8");
    // Few enough deleted rows that `sql` does not compact the table by itself.
    database.ok(&["sql", "-c", "DELETE FROM t WHERE id = 1"]);
    assert_eq!(database.data_files().len(), 4, "the last rows are kept in the metastore");
    let compact = |args: &[&str]| database.ok(&[&["--format", "csv", "compact"], args].concat());
    let why = compact(&["t", "--why"]);
    assert!(
        why.starts_with(
            "table,reason,found,limit,applies,takes\nt,deletes,25,30,no,0\nt,incomplete,0,1,no,0\nt,files,4,8,no,0\n"
        ),
        "{why}"
    );
    assert_eq!(why.lines().count(), 7, "{why}");
    let dry = compact(&["--dry-run"]);
    assert!(dry.starts_with("table,inputs,bytes_read,rows\nt,4,") && dry.ends_with(",12\n"), "{dry}");
    let without_age = |why: &str| why.split("t,layer_age,").next().map(str::to_owned);
    assert_eq!(without_age(&compact(&["t", "--why"])), without_age(&why), "nothing was changed");
    let done = compact(&["t", "--max-files", "5"]);
    let columns = "table,reason,inputs,bytes_read,outputs,bytes_written,rows,rows_left_out,sequence";
    let rows: Vec<&str> = done.lines().collect();
    assert_eq!((rows[0], rows.len()), (columns, 2), "{done}");
    assert!(rows[1].starts_with("t,manual,5,") && rows[1].contains(",15,4,"), "{done}");
    assert_eq!(compact(&[]), format!("{columns}\n"), "there is nothing left to do");
    assert_eq!(database.query("SELECT count(*), min(id) FROM t"), "15,2\n");
    database.ok(&["expire"]);
    database.ok(&["collect"]);
    assert_eq!(database.data_files().len(), 1);
    load_five_times("small", "compaction_trigger_files=4");
    let why = compact(&["small", "--why"]);
    assert!(why.contains("\nsmall,deletes,0,30,no,0\nsmall,incomplete,0,1,no,0\nsmall,files,4,4,yes,4\n"), "{why}");
    database.run(&["compact", "nowhere"]).failed(1, "no-table");
    for wrong in [&["--max-files", "1"][..], &["--why", "--dry-run"], &["--max-files", "many"]] {
        assert_eq!(database.run(&[&["compact"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

/// Five files exceed the limits of files, layers and age, and each is more than 1.5 times as large as the next smaller
/// one.
#[test]
fn compact_tells_why_no_pass_begins_though_a_reason_applies() {
    let database = Database::new();
    let options = ["inline_max_rows=0", "compaction_trigger_files=4", "compaction_trigger_protected_snapshots=4"];
    let options = options.map(|option| ["--option", option]).concat();
    for rows in [10, 500, 2_000, 6_000, 20_000] {
        // Names are hashes, so that the file size is proportional to the number of rows.
        let line = |id: u64| format!("{id},{:x}\n", id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let source = database.write("t.csv", format!("id,name\n{}", (0..rows).map(line).collect::<String>()));
        let age = ["--option", "compaction_trigger_snapshot_age_ms=1"];
        let new: Vec<&str> = options.iter().chain(&age).copied().collect();
        let how = if rows == 10 { new } else { vec!["--append"] };
        database.ok(&[&["load", &source, "--into", "t"][..], &how].concat());
    }
    let why = database.run(&["--format", "csv", "compact", "t", "--why"]);
    assert!(why.out.contains("\nt,files,5,4,yes,0\n") && why.out.contains("\nt,layers,5,4,yes,0\n"), "{why:?}");
    assert!(
        why.err.contains("`t` is not compacted by itself, though `files` applies: each file is more than"),
        "{why:?}"
    );
    // Background maintenance of the table comes to the same decision and records it.
    let looked = "INSERT INTO t SELECT value, to_hex(value * 2654435761) FROM generate_series(1, 200000); \
                  SELECT reason, declined FROM t$compactions";
    let looked = database.ok(&["--threads", "1", "--format", "csv", "sql", "-c", looked]);
    assert!(looked.contains("files,each file is more than 1.5 times as large as the next smaller one\n"), "{looked}");
    assert_eq!(database.ok(&["--format", "csv", "compact", "t"]).lines().count(), 2, "whoever asks gets it");
}

#[test]
fn one_of_a_kind_is_told_of_in_the_singular() {
    let database = Database::new();
    let source = database.write("t.csv", "id\n1\n");
    database.ok(&["load", &source, "--into", "t"]);
    let why = database.run(&["compact", "--why"]);
    let of_reads = "`t` opens: 1 (0 data files in 0 layers, 1 inline file, 0 deletion files)";
    assert!(why.err.contains(of_reads), "{why:?}");
    database.ok(&["flush"]);
    let why = database.run(&["compact", "--why"]);
    assert!(why.err.contains("1 (1 data file in 1 layer, 0 inline files, 0 deletion files)"), "{why:?}");
}

#[test]
fn a_process_that_has_used_no_table_yet_has_the_metrics_of_all() {
    let database = Database::with_table();
    database.ok(&["sql", "-c", "CREATE TABLE u AS SELECT id FROM t"]);
    let rows = "SELECT table_name, value FROM system.metrics WHERE name = 'acceleration_rows' ORDER BY table_name";
    assert_eq!(database.query(rows), "t,3.0\nu,3.0\n");
}

/// Columns whose type cannot be stored cause one warning, when the table is created.
#[test]
fn a_table_with_columns_that_cannot_be_stored_warns_once() {
    for (action, what) in [("warn", "only nulls can be written"), ("ignore", "they are left out")] {
        let database = Database::new();
        let table = format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, a INTERVAL, b INTERVAL) STORED AS CAYENNE LOCATION '{}' \
             OPTIONS ('unsupported_type_action' '{action}')",
            database.root().display(),
        );
        let ran = database.run(&["sql", "-c", &table]);
        assert_eq!((ran.code, ran.err.matches(what).count()), (Some(0), 1), "{ran:?}");
        assert!(ran.err.contains("a, b"), "{ran:?}");
        let ran = database.run(&["sql", "-c", "INSERT INTO t (id) VALUES (1); SELECT * FROM t"]);
        assert!(ran.code == Some(0) && !ran.err.contains(what), "{ran:?}");
    }
}

#[test]
fn compaction_has_a_share_of_the_memory_limit() {
    let database = Database::with_table();
    let count = ["sql", "-c", "SELECT count(*) FROM t"];
    for share in ["0.05", "0.5", "7"] {
        let limits = ["--memory-limit", "64MB", "--compaction-memory-fraction", share];
        database.ok(&[&limits[..], &count].concat());
    }
    for share in ["half", "NaN", ""] {
        let limits = ["--compaction-memory-fraction", share];
        assert_eq!(database.run(&[&limits[..], &count].concat()).code, Some(2), "{share}");
    }
}

#[test]
fn relaxed_durability_keeps_what_was_written() {
    let database = Database::with_table();
    database.ok(&["--durability", "relaxed", "sql", "-c", "INSERT INTO t VALUES (4, 'four')"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "4\n");
    let show = ["--format", "csv", "--durability", "relaxed", "sql", "-c", "SHOW cayenne.durability"];
    assert!(database.ok(&show).ends_with("cayenne.durability,relaxed\n"), "it says so");
    assert_eq!(database.run(&["--durability", "none", "tables"]).code, Some(2));
}

#[test]
fn a_database_is_not_begun_anew_with_another_metastore() {
    let database = Database::with_table();
    let ran = database.run(&["--metastore", "turso", "tables"]);
    assert!(ran.failed(1, "other-metastore").contains("sqlite"));
    assert_eq!(database.run(&["--metastore", "postgres", "tables"]).code, Some(2));
}
