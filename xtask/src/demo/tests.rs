//! The tour over stand-in programs: it passes when they keep the promises, and ends when they break one.

#![cfg(unix)]

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// Writes ten lines for each table.
const GENERATE: &str = "#!/bin/sh
for table in lineitem orders; do seq 10 > \"$7/$table.parquet\"; done
";

/// A table is a text file, a row is a line. `LOAD` stands for what a load does with `$file` and `$table`.
const COMMAND: &str = "#!/bin/sh
db=$2; shift 2; mkdir -p \"$db\"
case $1 in
    load) file=$2; table=$db/$4; LOAD ;;
    sql) for statement; do :; done; case $statement in
        *files*) echo 'rows,hidden_rows,bytes'; FILES ;;
        DELETE*) echo 'count'; echo 2 ;;
        *) echo 'count(*)'; wc -l < \"$db/${statement##* FROM }\" || echo 4 ;;
    esac ;;
    compact) touch \"$db/compacted\" ;;
    check) echo 'every byte is as it was written' ;;
esac
";

/// Two files with hidden rows, and one without once they are compacted.
const FILES: &str = "if [ -e \"$db/compacted\" ]; then echo 48,0,900; else for file in 1 2; do echo 30,6,500; done; fi";

/// Programs in a folder of their own, which is removed at the end.
struct StandIn {
    folder: PathBuf,
    engine: Engine,
}

impl StandIn {
    fn new(test: &str, load: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-demo-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let command = COMMAND.replace("LOAD", load).replace("FILES", FILES);
        for (name, script) in [("cayenne-bench", GENERATE), ("cayenne", &command)] {
            write_program(&folder.join(name), script);
        }
        let engine = Engine::over(folder.clone(), folder.join("demo"));
        Self { folder, engine }
    }

    /// Generates and loads without the tour, so that a test begins with ten rows.
    fn with_ten_rows(test: &str, load: &str) -> Self {
        let stand_in = Self::new(test, load);
        generate(&stand_in.engine, "1").unwrap();
        fs::create_dir_all(stand_in.engine.database()).unwrap();
        fs::copy(stand_in.engine.parquet_dir().join("lineitem.parquet"), stand_in.engine.database().join("lineitem"))
            .unwrap();
        stand_in
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

/// Lets another process write the file: a descriptor of ours could be inherited by a child that another test starts at
/// that moment, and a file that is open for writing cannot be executed.
fn write_program(path: &Path, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$1" > "$0" && chmod +x "$0""#]).arg(path).arg(script);
    assert!(shell.status().unwrap().success());
}

#[test]
fn promises_that_are_kept_make_a_whole_tour() {
    let stand_in = StandIn::new("kept", "sleep 0.3; cat \"$file\" >> \"$table\"");
    assert_eq!(tour(&stand_in.engine, "0.3"), Ok(()));
}

#[test]
fn missing_rows_end_the_tour() {
    let stand_in = StandIn::new("rows", "cat \"$file\" >> \"$table\"");
    let failure = tour(&stand_in.engine, "0.1").unwrap_err();
    assert!(failure.to_string().contains("loaded 10 rows of lineitem, but the file holds 600,572"), "{failure}");
}

#[test]
fn torn_load_ends_the_tour() {
    let stand_in = StandIn::with_ten_rows("torn", "head -n 5 \"$file\" >> \"$table\"; sleep 5");
    let failure = kill_loads(&stand_in.engine, Duration::from_secs(2)).unwrap_err();
    assert!(failure.to_string().ends_with("10 rows before, 15 after, part of it is visible"), "{failure}");
}

#[test]
fn kills_that_all_come_too_late_prove_nothing() {
    let stand_in = StandIn::with_ten_rows("late", "cat \"$file\" >> \"$table\"");
    let failure = kill_loads(&stand_in.engine, Duration::from_secs(2)).unwrap_err();
    assert!(failure.to_string().contains("0 of 3 loads were still running"), "{failure}");
}

#[test]
fn load_that_loses_what_it_reported_ends_the_tour() {
    let stand_in = StandIn::with_ten_rows("lost", "true");
    let failure = kill_loads(&stand_in.engine, Duration::from_secs(2)).unwrap_err();
    assert!(failure.to_string().ends_with("10 rows before, 10 after, it reported success and is lost"), "{failure}");
}

#[test]
fn a_compaction_that_changes_nothing_ends_the_tour() {
    let stand_in = StandIn::with_ten_rows("layout", "cat \"$file\" >> \"$table\"");
    assert_eq!(layout::show(&stand_in.engine), Ok(()));
    let failure = layout::show(&stand_in.engine).unwrap_err();
    assert!(failure.to_string().contains("1 data files"), "{failure}");
}

#[test]
fn rows_are_expected_where_the_specification_fixes_them() {
    assert_eq!(expected_rows("0.1", "lineitem"), Some(600_572));
    assert_eq!(expected_rows("1", "orders"), Some(1_500_000));
    assert_eq!(expected_rows("0.3", "lineitem"), None);
}

#[test]
fn rate_survives_a_load_in_no_time() {
    assert_eq!(rate(600_572, Duration::from_millis(900)), "667,302");
    assert_eq!(rate(3, Duration::ZERO), "3,000");
}

#[test]
fn scale_factor_is_a_positive_number() {
    assert_eq!(scale_factor("0.1"), Ok("0.1".to_owned()));
    for refused in ["0", "-1", "nan", "inf", "ten", ""] {
        assert!(scale_factor(refused).is_err(), "{refused}");
    }
}
