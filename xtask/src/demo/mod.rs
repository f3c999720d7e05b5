//! A tour of the engine in a minute: load, measure, query, compact, kill a load half-way, and check what is left.
//!
//! Everything goes through the `cayenne` command, as a user would type it. Each claim is printed with its number, and
//! one that does not hold ends the tour with what was seen instead.

mod claims;
mod engine;
mod layout;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use self::claims::{claim, note, seconds};
use self::engine::Engine;
use crate::cargo::Cargo;
use crate::disk::{folder_bytes, grouped, human_bytes};
use crate::failure::{Failure, Result};

#[derive(clap::Args)]
pub(crate) struct DemoArgs {
    /// TPC-H scale factor; 1 is about a gigabyte of text
    #[arg(long, value_name = "N", default_value = "0.1", value_parser = scale_factor)]
    sf: String,
    /// Build with full optimisation; it takes twice as long to build, and is what benchmarks and releases use
    #[arg(long)]
    release: bool,
}

/// The tables of the tour, largest first.
const TABLES: [&str; 2] = ["lineitem", "orders"];

/// What the TPC-H specification says each table holds, where it says so exactly.
const ROWS: &[(&str, [u64; 2])] = &[
    ("0.01", [60_175, 15_000]),
    ("0.1", [600_572, 150_000]),
    ("1", [6_001_215, 1_500_000]),
    ("10", [59_986_052, 15_000_000]),
];

/// When a load is killed, in quarters of the time a whole load took.
const KILLS_AT_QUARTERS: [u32; 3] = [1, 2, 3];

/// What TPC-H calls query 1, query 6 and query 12.
const QUERIES: [(&str, &str); 3] = [
    ("Q1, eight aggregates over nearly every row", include_str!("q1.sql")),
    ("Q6, a sum over two rows in a hundred", include_str!("q6.sql")),
    ("Q12, a join of both tables", include_str!("q12.sql")),
];

/// Builds the command, then runs the tour in a folder below the build folder, which the next run empties.
pub(crate) fn run(cargo: &Cargo, args: &DemoArgs) -> Result<()> {
    let engine = Engine::build(cargo, args.release)?;
    tour(&engine, &args.sf)?;
    print_what_is_next(&engine);
    Ok(())
}

fn tour(engine: &Engine, scale_factor: &str) -> Result<()> {
    generate(engine, scale_factor)?;
    let whole_load = load(engine, scale_factor)?;
    show_size(engine)?;
    query(engine)?;
    layout::show(engine)?;
    kill_loads(engine, whole_load)?;
    check(engine)
}

fn generate(engine: &Engine, scale_factor: &str) -> Result<()> {
    empty(engine.folder())?;
    let out = engine.parquet_dir();
    fs::create_dir_all(&out).map_err(|error| Failure::at(&out, &error))?;
    let mut command = engine.bench_command();
    command.args(["generate", "--tables", &TABLES.join(","), "--sf", scale_factor, "--out"]).arg(&out);
    let run = engine::finish(&mut command)?;
    let bytes = human_bytes(folder_bytes(&out)?);
    claim(true, &format!("generated TPC-H at scale factor {scale_factor}: {bytes} of Parquet in {}", seconds(run.took)))
}

/// Removes what an earlier tour left.
fn empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::at(folder, &error)),
        _ => Ok(()),
    }
}

/// Loads both tables; returns how long the larger one took.
fn load(engine: &Engine, scale_factor: &str) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for table in TABLES {
        let run = engine::finish(&mut engine.load_command(table, false))?;
        let rows = engine.count(table)?;
        let expected = expected_rows(scale_factor, table);
        let (count, time) = (grouped(rows), seconds(run.took));
        match expected {
            Some(expected) if rows != expected => {
                claim(false, &format!("loaded {count} rows of {table}, but the file holds {}", grouped(expected)))?;
            }
            _ => claim(
                rows > 0,
                &format!("loaded {count} rows of {table} in {time} ({} a second)", rate(rows, run.took)),
            )?,
        }
        longest = longest.max(run.took);
    }
    Ok(longest)
}

/// How many rows the specification says the table holds, where it says so exactly.
fn expected_rows(scale_factor: &str, table: &str) -> Option<u64> {
    let (_, rows) = ROWS.iter().find(|(known, _)| *known == scale_factor)?;
    TABLES.into_iter().zip(rows).find(|(known, _)| *known == table).map(|(_, rows)| *rows)
}

fn rate(rows: u64, took: Duration) -> String {
    let millis = took.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / millis).map_or_else(|_| "many".to_owned(), grouped)
}

fn show_size(engine: &Engine) -> Result<()> {
    let parquet = folder_bytes(&engine.parquet_dir())?;
    let database = folder_bytes(&engine.database())?;
    let percent = database * 100 / parquet.max(1);
    let sizes = format!("{} on disk, {percent} % of the Parquet it came from", human_bytes(database));
    claim(database > 0, &sizes)
}

fn query(engine: &Engine) -> Result<()> {
    for (name, sql) in QUERIES {
        let run = engine.sql(sql)?;
        let rows = run.output.lines().count().saturating_sub(1);
        claim(rows > 0, &format!("{name}: {rows} rows in {}, start of the process included", seconds(run.took)))?;
        for line in run.output.lines().take(4) {
            note(line);
        }
    }
    Ok(())
}

/// Kills loads at several moments; each must leave the table as it was, or with the whole load.
fn kill_loads(engine: &Engine, whole_load: Duration) -> Result<()> {
    let table = TABLES[0];
    let load = engine.count(table)?;
    let mut before = load;
    let mut killed = 0;
    for quarters in KILLS_AT_QUARTERS {
        let after = whole_load * quarters / 4;
        let was_running = engine::kill_after(&mut engine.load_command(table, true), after)?;
        killed += u32::from(was_running);
        let rows = engine.count(table)?;
        let what = if was_running { "killed a load" } else { "a load was faster than the kill" };
        let counts =
            format!("{what} after {}: {} rows before, {} after", seconds(after), grouped(before), grouped(rows));
        let (holds, verdict) = match rows {
            _ if rows == before + load => (true, "all of it is visible"),
            _ if rows != before => (false, "part of it is visible"),
            _ if was_running => (true, "none of it is visible"),
            _ => (false, "it reported success and is lost"),
        };
        claim(holds, &format!("{counts}, {verdict}"))?;
        before = rows;
    }
    claim(
        killed > 0,
        &format!("{killed} of {} loads were still running when they were killed", KILLS_AT_QUARTERS.len()),
    )
}

fn check(engine: &Engine) -> Result<()> {
    let mut command = engine.command();
    command.args(["check", "--deep"]);
    let run = engine::finish(&mut command)?;
    let verdict = run.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no complaint").trim();
    claim(true, &format!("checked every byte in {}: {verdict}", seconds(run.took)))
}

fn print_what_is_next(engine: &Engine) {
    println!("\nWhat to try next:");
    println!("  {} --db {} sql", engine.program().display(), engine.database().display());
    println!("                      a shell on the tables of this tour");
    println!("  cargo xtask bench --help");
    println!("                      measure the engine beside others");
    println!("  README.md           how to use it from a program");
    println!("The next tour empties {}; until then it stays.", engine.folder().display());
}

/// Accepts a positive decimal number, and keeps it as it was typed: it is only handed on.
fn scale_factor(text: &str) -> std::result::Result<String, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(text.to_owned()),
        _ => Err("a scale factor is a positive number, for instance 0.1".to_owned()),
    }
}
