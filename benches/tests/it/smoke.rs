//! A tiny run of a workload ends well and leaves a report.

use std::process::Command;

use serde_json::Value;

#[test]
fn append_runs_on_both_engines_of_this_binary() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cayenne-bench"));
    command.args(["append", "--smoke", "--against", "sqlite", "--threads", "2", "--out"]).arg(&out);
    // The data and the databases are kept out of the user's own cache.
    command.env("XDG_CACHE_HOME", folder.path());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["problems"], Value::Array(vec![]));
    let measurements = report["measurements"].as_array().unwrap();
    for (engine, section) in [
        ("cayenne", "stream"),
        ("sqlite", "stream"),
        ("cayenne", "scan"),
        ("cayenne", "group"),
        ("cayenne", "many files"),
    ] {
        let found = measurements.iter().any(|one| one["engine"] == engine && one["section"] == section);
        assert!(found, "nothing of {section} on {engine}");
    }
}
