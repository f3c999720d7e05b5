//! A database in a folder of its own, and the command that runs on it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// Asserts the exit code and the stable code of the error, and returns what was printed to stderr.
    #[track_caller]
    pub(crate) fn failed(self, exit_code: i32, stable_code: &str) -> String {
        assert_eq!(self.code, Some(exit_code), "{self:?}");
        assert!(self.err.contains(&format!("error[{stable_code}]: ")), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

pub(crate) struct Database {
    folder: TempDir,
    root: PathBuf,
}

impl Database {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("db");
        Self { folder, root }
    }

    /// A database outside of the folder for the files of the test.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), root }
    }

    /// A database with a table `t` of two columns and three rows. Its rows are always in data files.
    pub(crate) fn with_table() -> Self {
        let database = Self::new();
        let source = database.write("t.csv", "id,name\n1,one\n2,two\n3,three\n");
        database.ok(&["load", &source, "--into", "t", "--option", "inline_max_rows=0"]);
        database
    }

    /// Returns the path of a file of the test itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Writes a file outside of the database and returns its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cayenne"));
        command.env_remove("CAYENNE_LOG").env_remove("CAYENNE_DB").current_dir(self.folder.path());
        command.arg("--db").arg(self.root()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs a command that must succeed and returns its stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.out
    }

    /// Returns the rows of a query as CSV, without the header.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> String {
        let csv = self.ok(&["--format", "csv", "sql", "--read-only", "-c", sql]);
        csv.split_once('\n').map_or_else(String::new, |(_, rows)| rows.to_owned())
    }

    #[track_caller]
    pub(crate) fn describe(&self, table: &str) -> Value {
        serde_json::from_str(&self.ok(&["describe", table, "--json", "--files", "1000000"])).unwrap()
    }

    /// Returns the paths of the data files of the database, relative to the folders of their tables.
    pub(crate) fn data_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.root().join("data"), &mut found);
        found.retain(|path| path.extension().is_some_and(|extension| extension == "vortex"));
        found.sort();
        found
    }

    pub(crate) fn files_on_disk(&self) -> BTreeSet<String> {
        self.data_files().iter().map(|path| name_of(path)).collect()
    }

    /// Returns the deletion files on disk, by their paths relative to the folder of their table.
    pub(crate) fn deletion_files_on_disk(&self) -> BTreeSet<String> {
        let mut found = Vec::new();
        walk(&self.root().join("data"), &mut found);
        let folder = Some("_deletes".as_ref());
        found.retain(|path| path.parent().and_then(Path::file_name) == folder);
        found.iter().map(|path| format!("_deletes/{}", name_of(path))).collect()
    }

    #[track_caller]
    pub(crate) fn named_files(&self, table: &str) -> BTreeSet<String> {
        let described = self.describe(table);
        let files = described["data_files"].as_array().unwrap().iter();
        files.filter_map(|file| file["path"].as_str()).map(|path| name_of(Path::new(path))).collect()
    }

    /// Asserts that the data files on disk are those of `t`, which must be the only table and never replaced.
    #[track_caller]
    pub(crate) fn assert_no_left_overs(&self) {
        assert_eq!(self.files_on_disk(), self.named_files("t"));
    }

    /// Starts `cayenne sql --acknowledge`, which answers each statement with a line.
    pub(crate) fn converse(&self, args: &[&str]) -> Conversation {
        let mut command = self.command(&["--format", "csv", "sql", "--acknowledge"]);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Conversation { child, stdin, stdout }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// A process that waits for statements.
pub(crate) struct Conversation {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Conversation {
    pub(crate) fn process(&self) -> &Child {
        &self.child
    }

    /// Sends a statement and returns the output up to and including its acknowledgement.
    pub(crate) fn say(&mut self, statement: &str) -> String {
        self.tell(statement);
        self.answer()
    }

    /// Sends a statement without waiting for the answer.
    pub(crate) fn tell(&mut self, statement: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        // No line end: the semicolon alone must be enough.
        write!(stdin, "{statement};").unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for the answer to the statement that was sent last.
    pub(crate) fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let start = answer.len();
            assert_ne!(self.stdout.read_line(&mut answer).unwrap(), 0, "no answer: {answer}");
            if answer[start..].starts_with("OK ") || answer[start..].starts_with("ERR ") {
                return answer;
            }
        }
    }

    /// Kills the process with SIGKILL and returns the answers that have not been read.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        let mut answers = String::new();
        self.stdout.read_to_string(&mut answers).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself: {status}: {answers}");
        answers
    }

    /// Closes the input and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
