//! SIGINT and SIGTERM.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::database::Database;

pub(crate) fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Stops a process, and waits until all of its threads have stopped, including work in the kernel.
pub(crate) fn stop(child: &Child) {
    send("-STOP", child);
    while !is_stopped(child.id()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.into_iter().all(|thread| {
        // A thread may end during the check.
        let state = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        state.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 't', 'Z', 'X']))
    })
}

fn wait(child: &mut Child) -> Option<i32> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < patience, "the process did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_the_command_in_order() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let database = Database::with_table();
        let endless =
            "INSERT INTO t SELECT a.value, 'x' FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
        let mut child = database.command(&["sql", "-c", endless]).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        send(signal, &child);
        assert_eq!(wait(&mut child), Some(code));
        assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
        database.ok(&["sql", "-c", "INSERT INTO t VALUES (4, 'four')"]);
        database.ok(&["collect"]);
        database.assert_no_left_overs();
    }
}

#[test]
fn a_process_that_waits_for_statements_ends_too() {
    let database = Database::new();
    let mut child = database.command(&["sql"]).stdin(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    send("-TERM", &child);
    assert_eq!(wait(&mut child), Some(143));
}
