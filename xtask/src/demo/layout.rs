//! What compaction does to the files of a table, as a picture.

use std::time::Duration;

use super::claims::{claim, note, seconds};
use super::engine::{self, Engine};
use crate::disk::{grouped, human_bytes};
use crate::failure::{Failure, Result};

const TABLE: &str = "parts";
/// So many writes of one size: too few to be compacted without being asked.
const WRITES: usize = 6;
/// Of a hundred rows of each file as many are hidden: too few as well.
const DELETE: &str = "DELETE FROM parts WHERE o_orderkey % 5 = 0";
const FILES: &str = "SELECT rows, hidden_rows, bytes FROM \"parts$files\" WHERE location <> 'inline' ORDER BY added_at";
/// The width of the largest file in the picture.
const WIDTH: u64 = 48;

/// One data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    rows: u64,
    hidden: u64,
    bytes: u64,
}

/// Writes a table in small pieces, deletes rows all over it, and shows its files before and after they are compacted.
pub(super) fn show(engine: &Engine) -> Result<()> {
    for write in 0..WRITES {
        engine::finish(&mut engine.load_into("orders", TABLE, write > 0))?;
    }
    engine.sql(DELETE)?;
    let (rows, before) = (engine.count(TABLE)?, files(engine)?);
    claim(before.len() > 1, &format!("wrote {WRITES} times and deleted every fifth key: {} data files", before.len()))?;
    let largest = before.iter().map(|file| file.rows).sum();
    picture(&before, largest);
    let took = compact(engine)?;
    let after = files(engine)?;
    let is_one = after.len() < before.len() && after.iter().all(|file| file.hidden == 0);
    let counted = format!("compacted in {}: {} data files, {} rows", seconds(took), after.len(), grouped(rows));
    claim(is_one && engine.count(TABLE)? == rows, &counted)?;
    picture(&after, largest);
    Ok(())
}

fn compact(engine: &Engine) -> Result<Duration> {
    let mut command = engine.command();
    command.args(["compact", TABLE]);
    Ok(engine::finish(&mut command)?.took)
}

fn files(engine: &Engine) -> Result<Vec<File>> {
    let listed = engine.sql(FILES)?.output;
    let files: Option<Vec<File>> = listed.lines().skip(1).map(parse).collect();
    files.ok_or_else(|| Failure::new(format!("the data files of {TABLE} could not be read:\n{listed}")))
}

fn parse(line: &str) -> Option<File> {
    let numbers: Vec<u64> = line.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [rows, hidden, bytes] => Some(File { rows: *rows, hidden: *hidden, bytes: *bytes }),
        _ => None,
    }
}

/// One line for each file, `all` rows being as wide as the picture.
fn picture(files: &[File], all: u64) {
    for file in files {
        note(&line(*file, all));
    }
}

fn line(file: File, all: u64) -> String {
    let width = |rows: u64| (rows * WIDTH).div_ceil(all.max(1));
    let hidden = width(file.hidden);
    let live = width(file.rows).saturating_sub(hidden);
    let bar = |sign: &str, count| sign.repeat(usize::try_from(count).unwrap_or(0));
    let (rows, bytes) = (grouped(file.rows), human_bytes(file.bytes));
    let counts = if file.hidden > 0 { format!(", {} of them hidden", grouped(file.hidden)) } else { String::new() };
    format!("{}{} {rows} rows in {bytes}{counts}", bar("█", live), bar("░", hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_wide_as_its_rows_and_shows_what_is_hidden() {
        let file = File { rows: 50, hidden: 25, bytes: 1 << 20 };
        let shown = line(file, 100);
        assert_eq!((shown.matches('█').count(), shown.matches('░').count()), (12, 12), "{shown}");
        assert!(shown.contains("50 rows in") && shown.ends_with("25 of them hidden"), "{shown}");
        let empty = line(File { rows: 0, hidden: 0, bytes: 0 }, 0);
        assert!(empty.trim_start().starts_with("0 rows"), "{empty}");
    }

    #[test]
    fn a_listed_file_has_three_numbers() {
        assert_eq!(parse("10,2,3000"), Some(File { rows: 10, hidden: 2, bytes: 3_000 }));
        for wrong in ["10,2", "10,2,many", "", "1,2,3,4"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
