//! Very many small upserts: no resource of a table may grow with their number.

use super::stream::amplification;
use super::{NAME, Sizes, place, series};
use crate::accounts::{self, KEY};
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Results, percentile};
use crate::process::Process;
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::load::{self, ALL, BEFORE};
use crate::{Result, folders};

const UPSERTS: &str = "upserts";
const METASTORE: &str = "metastore";
const LOG: &str = "log of the metastore";
const LIVE: &str = "live";
const INDEX: &str = "key indexes";
const AT_REST: &str = "at rest";
const P50: &str = "p50";
const P99: &str = "p99";
const TABLE: &str = "accounts";

/// The number of parts of the stream. Sizes are sampled after each part.
const PARTS: usize = 10;

/// The documented bounds for this stream.
const METASTORE_BYTES_MAX: u64 = 64 << 20;
/// The WAL is truncated at 160 MiB, and a little later if a reader is in the way.
const LOG_BYTES_MAX: u64 = 176 << 20;
const FILES_MAX: f64 = 64.0;
const MEMORY_BYTES_MAX: u64 = 512 << 20;

pub(super) fn run(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    println!("{NAME}: {} small upserts", sizes.upserts);
    let (batches, rows_per_batch) = (sizes.upserts / PARTS, sizes.rows_per_upsert);
    let sources = accounts::Sizes { base: sizes.base, batches, rows_per_batch }.prepare(&options.data)?;
    let mut process = super::fresh(cayenne)?;
    let (table, key) = (TABLE.to_owned(), KEY.to_owned());
    process.ask(&Request::Load { table, source: sources.base, key: Some(key) })?;
    let (source, rows_per_commit) = (sources.batches, rows_per_batch);
    let prepared = process.ask(&Request::Prepare { source, rows_per_commit, tables: vec![], key: None })?;
    load::record_peak(place(UPSERTS, BEFORE), &prepared, outcome);
    let before = process.ask(&Request::Metrics)?;
    let mut laps = Vec::with_capacity(sizes.upserts);
    let mut most = Most::default();
    for _ in 0..PARTS {
        let upsert =
            Request::Upsert { table: TABLE.to_owned(), key: KEY.to_owned(), skip: 0, commits: sizes.upserts / PARTS };
        let reply = process.ask(&upsert)?;
        laps.extend_from_slice(&reply.lap_ms);
        most.files = most.files.max(reply.files.unwrap_or_default());
        most.look(cayenne)?;
        load::record_peak(place(UPSERTS, ALL), &reply, outcome);
    }
    for (subject, percent) in [(P50, 50), (P99, 99)] {
        outcome.record(place(UPSERTS, subject), Metric::WallMs, percentile(&laps, percent));
    }
    outcome.record_bytes(place(UPSERTS, ALL), Metric::Files, most.files);
    outcome.record_bytes(place(UPSERTS, METASTORE), Metric::DiskBytes, most.metastore);
    outcome.record_bytes(place(UPSERTS, LOG), Metric::DiskBytes, most.log);
    rested(cayenne, process, &before, outcome)
}

/// Records the sizes once no pass is worthwhile any more.
fn rested(
    cayenne: &Engine,
    mut process: Process,
    before: &crate::protocol::Reply,
    outcome: &mut Outcome,
) -> Result<()> {
    process.ask(&Request::Rest { table: TABLE.to_owned() })?;
    process.ask(&Request::Collect { table: TABLE.to_owned() })?;
    let after = process.ask(&Request::Metrics)?;
    let live = after.numbers.get("cayenne_storage_bytes").copied().ok_or("no size of the table")?;
    outcome.record(place(UPSERTS, ALL), Metric::Amplification, amplification(before, &after));
    process.close()?;
    outcome.record(place(UPSERTS, LIVE), Metric::DiskBytes, live);
    outcome.record_bytes(place(UPSERTS, INDEX), Metric::DiskBytes, folders::size_bytes_of(&cayenne.dir, "keys")?);
    outcome.record_bytes(place(UPSERTS, AT_REST), Metric::DiskBytes, folders::size_bytes(&cayenne.dir)?);
    Ok(())
}

/// The largest sizes that were seen.
#[derive(Default)]
struct Most {
    files: u64,
    metastore: u64,
    log: u64,
}

impl Most {
    fn look(&mut self, cayenne: &Engine) -> Result<()> {
        for entry in std::fs::read_dir(cayenne.dir.join("metadata"))? {
            let entry = entry?;
            let (name, bytes) = (entry.file_name(), entry.metadata()?.len());
            let name = name.to_string_lossy();
            if name.ends_with("-wal") {
                self.log = self.log.max(bytes);
            } else if name.ends_with(".db") || name.ends_with(".sqlite") {
                self.metastore = self.metastore.max(bytes);
            }
        }
        if self.metastore == 0 {
            return Err("the metastore was not found".into());
        }
        Ok(())
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric, subject| Row::of_subject(label, results, series(UPSERTS, metric), subject);
    let rows = vec![
        row("one upsert: median", Metric::WallMs, P50),
        row("one upsert: 99th percentile", Metric::WallMs, P99),
        row("most data files", Metric::Files, ALL),
        row("bytes written to data files for one that was flushed", Metric::Amplification, ALL),
        row("largest metastore", Metric::DiskBytes, METASTORE),
        row("its largest log", Metric::DiskBytes, LOG),
        row("peak memory", Metric::PeakRssBytes, ALL),
        row("memory before, with the rows to come", Metric::PeakRssBytes, BEFORE),
        row("live data files", Metric::DiskBytes, LIVE),
        row("their key indexes", Metric::DiskBytes, INDEX),
        row("all of the database, collected and closed", Metric::DiskBytes, AT_REST),
    ];
    vec![Section::of_rows("100,000 small upserts", Unit::PerRow, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let of = |metric, subject| results.median(series(UPSERTS, metric), subject, CAYENNE);
    let bytes = |subject| of(Metric::DiskBytes, subject);
    let (at_rest, live) = (bytes(AT_REST), bytes(LIVE).zip(bytes(INDEX)).map(|(files, indexes)| files + indexes));
    vec![
        Goal::count("most data files, upserts", of(Metric::Files, ALL), FILES_MAX),
        Goal::bytes("largest metastore", of(Metric::DiskBytes, METASTORE), METASTORE_BYTES_MAX),
        Goal::bytes("largest log of the metastore", of(Metric::DiskBytes, LOG), LOG_BYTES_MAX),
        Goal::bytes("peak memory, upserts", of(Metric::PeakRssBytes, ALL), MEMORY_BYTES_MAX),
        Goal::ratio_of("disk at rest vs live files and indexes", at_rest, live, 1.1),
    ]
}
