//! Generates the TPC-H tables as Parquet files, once per scale factor.
//!
//! Files are Snappy-compressed with row groups of 122,880 rows. They are small enough that a reader with several
//! threads can use all of them at every scale factor, and the size in which DuckDB stores rows, so that no engine must
//! regroup.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use tpchgen::generators as rows;
use tpchgen_arrow as arrow;

use crate::args::{Format, GenerateArgs};
use crate::{Result, folders};

/// The eight tables, large ones first.
pub(crate) const TABLES: [&str; 8] =
    ["lineitem", "orders", "partsupp", "part", "customer", "supplier", "nation", "region"];

const ROW_GROUP_ROWS: usize = 122_880;
const BATCH_ROWS: usize = 8_192;

/// The version of the generated files. It is raised when they change, so that files of an older version are not reused.
const LAYOUT: u32 = 1;

/// Lists the generated tables of a folder. It is written last, so that an interrupted run leaves no false claim.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Marker {
    layout: u32,
    sf: f64,
    tables: Vec<String>,
}

/// Returns the default folder of the tables of one scale factor.
pub(crate) fn folder(sf: f64) -> Result<PathBuf> {
    Ok(folders::cache()?.join("bench-data").join(format!("sf-{sf}")))
}

/// Returns the file of one table.
pub(crate) fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.parquet"))
}

/// Runs the `generate` command.
pub(crate) fn generate(args: &GenerateArgs) -> Result<()> {
    let Format::Parquet = args.format;
    let folder = args.out.clone().map_or_else(|| folder(args.sf), Ok)?;
    let named = || args.tables.iter().map(|name| known(name)).collect::<Result<Vec<_>>>();
    let tables = if args.tables.is_empty() { TABLES.to_vec() } else { named()? };
    prepare(&folder, args.sf, &tables)
}

/// Writes the tables that are missing in `folder`.
pub(crate) fn prepare(folder: &Path, sf: f64, tables: &[&'static str]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut marker = read_marker(folder, sf);
    let missing: Vec<_> =
        tables.iter().copied().filter(|table| !marker.tables.iter().any(|have| have == table)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("generating {} at scale factor {sf} in {}", missing.join(", "), folder.display());
    write_tables(folder, sf, &missing)?;
    marker.tables.extend(missing.into_iter().map(str::to_owned));
    marker.tables.sort();
    write_marker(folder, &marker)
}

/// Reads the files of `tables` once, so that all engines find them in the page cache.
pub(crate) fn read_once(folder: &Path, tables: &[&str]) -> Result<()> {
    tables.iter().try_for_each(|table| read_file_once(&file(folder, table)))
}

/// Reads one file into the page cache.
pub(crate) fn read_file_once(path: &Path) -> Result<()> {
    io::copy(&mut File::open(path)?, &mut io::sink())?;
    Ok(())
}

fn known(name: &str) -> Result<&'static str> {
    let found = TABLES.iter().copied().find(|table| *table == name);
    found.ok_or_else(|| format!("no TPC-H table is called `{name}`; there are {}", TABLES.join(", ")).into())
}

/// Writes the largest table concurrently with all others, which about halves the wait on two cores.
fn write_tables(folder: &Path, sf: f64, tables: &[&str]) -> Result<()> {
    let (lineitem, others): (Vec<&str>, Vec<&str>) = tables.iter().partition(|table| **table == "lineitem");
    thread::scope(|scope| {
        let largest = scope.spawn(|| lineitem.iter().try_for_each(|table| write_table(folder, sf, table)));
        let rest = others.iter().try_for_each(|table| write_table(folder, sf, table));
        largest.join().map_err(|_| "a generator thread panicked")??;
        rest
    })
}

fn write_table(folder: &Path, sf: f64, table: &str) -> Result<()> {
    write_file(&file(folder, table), batches(table, sf)?)
}

/// Writes a Parquet file under a temporary name and renames it, so that a file with the final name is complete.
pub(crate) fn write_file(path: &Path, batches: Box<dyn RecordBatchReader>) -> Result<()> {
    let unfinished = path.with_extension("parquet.unfinished");
    write_parquet(&unfinished, batches)?;
    fs::rename(&unfinished, path)?;
    folders::sync_new_file(path)
}

fn write_parquet(path: &Path, batches: Box<dyn RecordBatchReader>) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batches.schema(), Some(properties))?;
    for batch in batches {
        let batch: std::result::Result<RecordBatch, ArrowError> = batch;
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}

fn batches(table: &str, sf: f64) -> Result<Box<dyn RecordBatchReader>> {
    Ok(match table {
        "lineitem" => {
            Box::new(arrow::LineItemArrow::new(rows::LineItemGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS))
        }
        "orders" => Box::new(arrow::OrderArrow::new(rows::OrderGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS)),
        "partsupp" => {
            Box::new(arrow::PartSuppArrow::new(rows::PartSuppGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS))
        }
        "part" => Box::new(arrow::PartArrow::new(rows::PartGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS)),
        "customer" => {
            Box::new(arrow::CustomerArrow::new(rows::CustomerGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS))
        }
        "supplier" => {
            Box::new(arrow::SupplierArrow::new(rows::SupplierGenerator::new(sf, 1, 1)).with_batch_size(BATCH_ROWS))
        }
        "nation" => Box::new(arrow::NationArrow::new(rows::NationGenerator::new(sf, 1, 1))),
        "region" => Box::new(arrow::RegionArrow::new(rows::RegionGenerator::new(sf, 1, 1))),
        other => return Err(format!("no TPC-H table is called `{other}`").into()),
    })
}

fn read_marker(folder: &Path, sf: f64) -> Marker {
    let fresh = Marker { layout: LAYOUT, sf, tables: Vec::new() };
    let text = fs::read_to_string(marker_path(folder)).ok();
    let found: Option<Marker> = text.and_then(|text| serde_json::from_str(&text).ok());
    let same = |marker: &Marker| marker.layout == LAYOUT && marker.sf.to_bits() == sf.to_bits();
    found.filter(same).unwrap_or(fresh)
}

fn write_marker(folder: &Path, marker: &Marker) -> Result<()> {
    fs::write(marker_path(folder), serde_json::to_string_pretty(marker)?)?;
    Ok(())
}

fn marker_path(folder: &Path) -> PathBuf {
    folder.join("generated.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepare_writes_missing_tables_once() {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), 0.001, &["nation"]).unwrap();
        let written = fs::metadata(file(folder.path(), "nation")).unwrap().modified().unwrap();
        prepare(folder.path(), 0.001, &["nation", "region"]).unwrap();
        assert_eq!(fs::metadata(file(folder.path(), "nation")).unwrap().modified().unwrap(), written);
        assert!(file(folder.path(), "region").exists());
    }

    #[test]
    fn another_scale_factor_is_generated_anew() {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), 0.001, &["nation"]).unwrap();
        assert_eq!(read_marker(folder.path(), 0.001).tables, ["nation"]);
        assert!(read_marker(folder.path(), 0.002).tables.is_empty());
    }

    #[test]
    fn unknown_table_is_refused() {
        assert!(known("lineitems").is_err());
    }
}
