//! Counts the flushes of an engine by running it under `strace`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::process::Launch;

const CALLS: [&str; 6] = ["fsync", "fdatasync", "msync", "sync_file_range", "syncfs", "sync"];

/// The output file of `strace` for one engine, with one line for each call.
#[derive(Debug)]
pub(crate) struct Trace {
    path: PathBuf,
}

impl Trace {
    /// Returns a trace to a file in `folder`. Fails with the reason if this machine cannot trace.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args(["-o", "/dev/null", "-e", "trace=fsync", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(Self { path: folder.join("flushes.strace") }),
            Ok(status) => Err(format!("strace cannot trace here ({status})").into()),
            Err(error) => Err(format!("strace: {error}").into()),
        }
    }

    /// Returns the launch of `engine` with all of its threads traced.
    pub(crate) fn around(&self, engine: &Launch) -> Launch {
        let calls = format!("trace={}", CALLS.join(","));
        let mut arguments = vec!["-f".into(), "-y".into(), "-e".into(), calls.into(), "-o".into()];
        arguments.push(self.path.clone().into());
        arguments.push("--".into());
        arguments.push(engine.program.clone().into());
        arguments.extend(engine.arguments.iter().cloned());
        Launch { program: "strace".into(), arguments }
    }

    /// Returns the flushes so far. A call is in the file before it returns to the engine.
    pub(crate) fn flushes(&self) -> Result<Flushes> {
        Ok(Flushes::read(&fs::read_to_string(&self.path)?))
    }
}

/// The number of flushes for each kind of file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushes {
    by_kind: BTreeMap<String, u32>,
}

impl Flushes {
    fn read(text: &str) -> Self {
        let mut flushes = Self::default();
        for call in text.lines().filter_map(call) {
            *flushes.by_kind.entry(kind(call)).or_default() += 1;
        }
        flushes
    }

    /// Returns the flushes since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |kind: &String| earlier.by_kind.get(kind).copied().unwrap_or(0);
        let grown = self.by_kind.iter().map(|(kind, count)| (kind.clone(), count.saturating_sub(before(kind))));
        Self { by_kind: grown.filter(|(_, count)| *count > 0).collect() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.by_kind.values().sum()
    }
}

impl std::fmt::Display for Flushes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        out.write_str(&kinds.join(", "))
    }
}

/// Returns the call in a line such as `812 fsync(3</data/a>) = 0`. The resumed line of an interrupted call does not
/// count again.
fn call(line: &str) -> Option<&str> {
    let (_process, call) = line.split_once(' ')?;
    let call = call.trim_start();
    let (name, _) = call.split_once('(')?;
    CALLS.contains(&name).then_some(call)
}

/// Returns the name of the call and the extension of the file, or `folder` if there is no extension.
fn kind(call: &str) -> String {
    let name = call.split('(').next().unwrap_or_default();
    let path = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
    let end = Path::new(path).extension().and_then(|end| end.to_str()).map(|end| format!("*.{end}"));
    format!("{name} {}", end.unwrap_or_else(|| "folder".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
7 fsync(3</data/a.vortex>) = 0
8 fdatasync(9</data/cayenne.db-wal> <unfinished ...>
8 <... fdatasync resumed>) = 0
9 fsync(4</data>) = 0
9 +++ exited with 0 +++
";

    #[test]
    fn each_call_counts_once() {
        let flushes = Flushes::read(LINES);
        assert_eq!(flushes.count(), 3);
        assert_eq!(flushes.to_string(), "1 fdatasync *.db-wal, 1 fsync *.vortex, 1 fsync folder");
    }

    #[test]
    fn difference_leaves_out_what_did_not_grow() {
        let earlier = Flushes::read(LINES);
        let later = Flushes::read(&format!("{LINES}7 fsync(3</data/b.vortex>) = 0\n"));
        assert_eq!(later.since(&earlier).to_string(), "1 fsync *.vortex");
    }
}
