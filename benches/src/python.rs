//! Finds a Python that can import DuckDB, or sets one up in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, folders};

/// The versions that the published numbers compare with. Any other version is better than none.
const WANTED: &str = include_str!("../engines/requirements.txt");
const ANY: &str = "duckdb\npyarrow";

/// The engine's side of the protocol. It is written to a file, because Python runs files.
const SCRIPT: &str = include_str!("../engines/duckdb_engine.py");

/// Returns a Python that can import `duckdb`, and `pyarrow` to pass rows to it. The system's own Python is tried first.
///
/// The first call on a machine downloads the wheel, which takes a while.
pub(crate) fn with_duckdb() -> Result<PathBuf> {
    let system = PathBuf::from("python3");
    if imports_duckdb(&system) {
        return Ok(system);
    }
    let folder = folders::cache()?.join("bench-python");
    let own = folder.join("bin").join("python");
    if imports_duckdb(&own) {
        return Ok(own);
    }
    install(&system, &folder, &own)?;
    Ok(own)
}

/// Writes the engine script into `folder`.
pub(crate) fn write_script(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("duckdb_engine.py");
    fs::write(&path, SCRIPT)?;
    Ok(path)
}

fn install(system: &Path, folder: &Path, own: &Path) -> Result<()> {
    println!("setting up Python with DuckDB in {}", folder.display());
    run(Command::new(system).args(["-m", "venv"]).arg(folder))?;
    let pip = |packages: &str| run(Command::new(own).args(["-m", "pip", "install", "--quiet"]).args(packages.lines()));
    pip(WANTED).or_else(|_| pip(ANY))?;
    if imports_duckdb(own) { Ok(()) } else { Err("duckdb was installed but does not import".into()) }
}

fn imports_duckdb(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import duckdb, pyarrow"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})").into()) }
}
