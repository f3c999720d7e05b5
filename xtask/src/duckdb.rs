//! The Python with DuckDB that tests and benchmarks compare with, in the user's cache folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};

/// The versions that the benchmarks pin.
const REQUIREMENTS: &str = include_str!("../../benches/engines/requirements.txt");

/// Makes sure that there is a Python that imports DuckDB; the first time, that downloads its wheel.
///
/// # Errors
///
/// There is no Python, or the wheel cannot be had.
pub(crate) fn install() -> Result<()> {
    let system = Path::new("python3");
    let folder = cache()?.join("cayenne").join("bench-python");
    let own = folder.join("bin").join("python");
    if imports_duckdb(system) || imports_duckdb(&own) {
        return Ok(());
    }
    println!("setting up Python with DuckDB in {}", folder.display());
    run(Command::new(system).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&own).args(["-m", "pip", "install", "--quiet"]).args(REQUIREMENTS.lines()))
}

/// The folder of caches, as the benchmarks find it.
fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or_else(home).ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME is set"))
}

fn imports_duckdb(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import duckdb, pyarrow"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{name} ended with {status}"))),
        Err(error) => Err(Failure::new(format!("{name} could not be started: {error}"))),
    }
}
