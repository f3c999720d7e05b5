//! A tiny run of a workload succeeds and leaves a report.

use std::error::Error;
use std::process::Command;

use serde_json::Value;

/// Runs a workload on SQLite and Cayenne, and returns the measurements of the report.
fn measurements_of(workload: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("report");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cayenne-bench"));
    command.args([workload, "--smoke", "--against", "sqlite", "--threads", "2", "--out"]).arg(&out);
    // The data and the databases stay out of the user's own cache.
    command.env("XDG_CACHE_HOME", folder.path());
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json"))?)?;
    assert_eq!(report.get("problems"), Some(&Value::Array(vec![])));
    report.get("measurements").and_then(Value::as_array).cloned().ok_or_else(|| "no measurements in the report".into())
}

fn assert_measured(workload: &str, expected: &[(&str, &str)]) -> Result<(), Box<dyn Error>> {
    let measurements = measurements_of(workload)?;
    for (engine, section) in expected {
        let found = measurements.iter().any(|one| one["engine"] == *engine && one["section"] == *section);
        assert!(found, "{workload} has nothing of {section} on {engine}");
    }
    Ok(())
}

#[test]
fn append_runs_on_both_engines_of_this_binary() {
    let alone = [("cayenne", "group"), ("cayenne", "many files")];
    let both = [("cayenne", "stream"), ("sqlite", "stream"), ("cayenne", "scan")];
    assert_measured("append", &[alone.as_slice(), &both].concat()).unwrap();
}

#[test]
fn upsert_leaves_the_same_rows_on_both_engines() {
    assert_measured("upsert", &[("cayenne", "stream"), ("sqlite", "stream"), ("cayenne", "small key index")]).unwrap();
}

#[test]
fn delete_leaves_the_same_rows_on_both_engines() {
    assert_measured("delete", &[("cayenne", "range"), ("sqlite", "range"), ("cayenne", "list")]).unwrap();
}

#[test]
fn lookup_finds_every_key_on_both_engines() {
    assert_measured("lookup", &[("cayenne", "sorted"), ("sqlite", "shuffled")]).unwrap();
}

#[test]
fn mixed_ends_without_a_failure() {
    assert_measured("mixed", &[("cayenne", "writer"), ("cayenne", "readers")]).unwrap();
}
