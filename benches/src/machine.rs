//! The facts about the machine, the clock and the versions that a report states.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The lock file of this build, with the versions of its dependencies.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The packages whose version affects a measurement.
const PACKAGES: [&str; 8] =
    ["cayenne-datafusion", "datafusion", "vortex", "arrow-array", "parquet", "rusqlite", "mimalloc", "tpchgen"];

/// The machine a run was made on.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) system: String,
}

/// A name and the version that ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Describes this machine, as far as the system provides the data.
pub(crate) fn describe() -> Machine {
    Machine {
        processor: proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
        cores: cores(),
        memory_bytes: proc_field("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

/// Returns the number of cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the one-minute load average, where the system tells it.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Returns the versions of the packages in this binary, and the commit if this is a git tree.
pub(crate) fn versions() -> Vec<Version> {
    let mut versions: Vec<_> = PACKAGES.iter().filter_map(|name| locked(LOCK, name)).collect();
    versions.push(version("rustc", env!("CAYENNE_BENCH_RUSTC")));
    versions.push(version("profile", if cfg!(debug_assertions) { "debug" } else { "release" }));
    versions.extend(commit().map(|commit| version("commit", &commit)));
    versions
}

/// Pairs a name with a version.
pub(crate) fn version(name: &str, text: &str) -> Version {
    Version { name: name.to_owned(), version: text.to_owned() }
}

fn locked(lock: &str, name: &str) -> Option<Version> {
    let start = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&start)?;
    let (text, _) = rest.split_once('"')?;
    Some(version(name, text))
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| output.status.success() && !text.is_empty())
}

fn proc_field(file: &str, field: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

fn kibibytes(text: &str) -> Option<u64> {
    let number: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// Returns the time as `YYYYMMDDTHHMMSSZ`, which sorts by time and is a valid file name everywhere.
pub(crate) fn utc_now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    utc(seconds)
}

fn utc(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Converts days since 1970 to month and day by walking the years and months: simple, but slow for the far future.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_counts_leap_days() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_735_689_599), "20241231T235959Z");
    }

    #[test]
    fn locked_version_is_of_the_named_package_only() {
        let lock = "name = \"vortex-array\"\nversion = \"1.0.0\"\n\nname = \"vortex\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked(lock, "vortex"), Some(version("vortex", "2.0.0")));
        assert_eq!(locked(lock, "arrow"), None);
    }

    #[test]
    fn versions_name_the_engine_and_the_compiler() {
        let names: Vec<_> = versions().into_iter().map(|version| version.name).collect();
        assert!(names.contains(&"datafusion".to_owned()));
        assert!(names.contains(&"rustc".to_owned()));
    }
}
