//! The reference that is available if Python with DuckDB is installed: a process that speaks JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::answer::{Answer, Cell};
use super::reference::Reference;
use super::statements::CHANGED;
use super::tree::Dialect;
use super::world::World;

const SCRIPT: &str = include_str!("duckdb.py");

pub(super) struct Duckdb {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// Finds a Python that can import DuckDB: that of `CAYENNE_PYTHON`, the system's, or that of the benchmarks.
pub(super) fn python() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let own = home.map(|home| home.join("cayenne/bench-python/bin/python"));
    let given = std::env::var_os("CAYENNE_PYTHON").map(PathBuf::from);
    let imports = |python: &PathBuf| {
        let status = Command::new(python).args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    given.into_iter().chain([PathBuf::from("python3")]).chain(own).find(imports)
}

impl Reference for Duckdb {
    const DIALECT: Dialect = Dialect::Duckdb;

    fn open(world: &World) -> Self {
        let mut command = Command::new(python().unwrap());
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (requests, replies) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut duckdb = Self { child, requests, replies };
        for statement in super::reference::statements(world, Self::DIALECT) {
            duckdb.query(&statement).unwrap();
        }
        duckdb
    }

    fn query(&mut self, text: &str) -> Result<Answer, String> {
        writeln!(self.requests, "{}", json!(text)).unwrap();
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        match reply.as_array() {
            Some(rows) => {
                Ok(Answer(rows.iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()))
            }
            None => Err(reply.as_str().unwrap().to_owned()),
        }
    }

    fn change(&mut self, text: &str) -> Result<Answer, String> {
        self.query("BEGIN").unwrap();
        let rows = self.query(text).and_then(|_| self.query(&format!("SELECT * FROM {CHANGED}")));
        self.query("ROLLBACK").unwrap();
        rows
    }
}

impl Drop for Duckdb {
    fn drop(&mut self) {
        // It fails only for a process that has ended.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::number(f64::from(u8::from(*value))),
        Value::Number(number) => Cell::number(number.as_f64().unwrap()),
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}
