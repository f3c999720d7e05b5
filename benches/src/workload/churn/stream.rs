//! Thousands of small appends, with and without concurrent compaction, and a scan once the table is at rest.

use std::path::Path;

use super::{NAME, Sizes, TABLE, WARM_UP_TABLE, WRITTEN, place, series};
use crate::answer::Answer;
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Results, percentile};
use crate::protocol::{OpenSettings, Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::compare::compare;
use crate::workload::load::{self, ALL};
use crate::workload::scan::Scan;
use crate::{Result, events, folders};

const BESIDE: &str = "beside compaction";
const WITHOUT: &str = "without compaction";
const SCAN: &str = "scan at rest";
const STREAM: &str = "stream";
const BULK: &str = "bulk";
const P50: &str = "p50";
const P99: &str = "p99";
const LARGEST: &str = "max";

/// Reads every column of every row.
const SCAN_SQL: &str = "SELECT count(*) AS events, sum(event_id) AS ids, max(country) AS country, \
                        max(title) AS title, max(url) AS url, max(referrer) AS referrer, sum(amount) AS amount, \
                        sum(tax) AS tax, avg(duration_ms) AS duration, avg(latitude) AS latitude, \
                        avg(longitude) AS longitude, sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out FROM events";

pub(super) fn run(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let source = events::prepare(&options.data, sizes.commits * sizes.rows_per_commit)?;
    let run = Run { cayenne, source: &source, sizes };
    for round in 1..=options.rounds {
        println!("{NAME}: stream, round {round} of {}", options.rounds);
        let done = run.round(outcome);
        outcome.keep("stream of appends", done);
    }
    Ok(())
}

struct Run<'a> {
    cayenne: &'a Engine,
    source: &'a Path,
    sizes: &'a Sizes,
}

impl Run<'_> {
    fn round(&self, outcome: &mut Outcome) -> Result<()> {
        self.stream(true, outcome)?;
        let streamed = self.stream(false, outcome)?;
        let loaded = self.bulk(outcome)?;
        let answers = [(STREAM.to_owned(), streamed), (BULK.to_owned(), loaded)];
        compare("the scan of all rows", true, &answers, outcome);
        Ok(())
    }

    /// Runs the stream and returns the answer of the scan once the table is at rest.
    fn stream(&self, is_left_alone: bool, outcome: &mut Outcome) -> Result<Answer> {
        let section = if is_left_alone { WITHOUT } else { BESIDE };
        let Sizes { commits, rows_per_commit, warm_up, .. } = *self.sizes;
        self.cayenne.reset()?;
        let (mut process, _) = self.cayenne.open_with(OpenSettings { is_left_alone, ..OpenSettings::default() })?;
        let tables = [WARM_UP_TABLE, TABLE].map(str::to_owned).to_vec();
        process.ask(&Request::Prepare { source: self.source.to_owned(), rows_per_commit, tables, key: None })?;
        process.ask(&Request::Append { table: WARM_UP_TABLE.to_owned(), commits: warm_up })?;
        let before = process.ask(&Request::Metrics)?;
        let streamed = process.ask(&Request::Append { table: TABLE.to_owned(), commits })?;
        for (subject, percent) in [(P50, 50), (P99, 99), (LARGEST, 100)] {
            outcome.record(place(section, subject), Metric::WallMs, percentile(&streamed.lap_ms, percent));
        }
        outcome.record_bytes(place(section, ALL), Metric::Files, streamed.files.ok_or("no number of files")?);
        load::record_peak(place(section, ALL), &streamed, outcome);
        if !is_left_alone {
            process.ask(&Request::Rest { table: TABLE.to_owned() })?;
            let after = process.ask(&Request::Metrics)?;
            outcome.record(place(section, ALL), Metric::Amplification, amplification(&before, &after));
        }
        let subject = if is_left_alone { WITHOUT } else { STREAM };
        let answer = Scan { place: place(SCAN, subject), sql: SCAN_SQL }.measure(&mut process, outcome)?;
        process.close()?;
        outcome.record_bytes(place(section, ALL), Metric::DiskBytes, folders::size_bytes(&self.cayenne.dir)?);
        Ok(answer)
    }

    fn bulk(&self, outcome: &mut Outcome) -> Result<Answer> {
        let mut process = super::fresh(self.cayenne)?;
        let (table, source) = (TABLE.to_owned(), self.source.to_owned());
        process.ask(&Request::Load { table, source, key: None })?;
        let answer = Scan { place: place(SCAN, BULK), sql: SCAN_SQL }.measure(&mut process, outcome)?;
        process.close()?;
        outcome.record_bytes(place(BULK, ALL), Metric::DiskBytes, folders::size_bytes(&self.cayenne.dir)?);
        Ok(answer)
    }
}

/// Returns the bytes of data files that were written for each byte that a flush or a write had to write.
pub(super) fn amplification(before: &Reply, after: &Reply) -> f64 {
    let number = |of: &Reply, kind| of.numbers.get(&format!("cayenne_written_bytes_total/{kind}")).copied();
    let written = WRITTEN.map(|kind| number(after, kind).unwrap_or(0.0) - number(before, kind).unwrap_or(0.0));
    let [write, flush, compact] = written;
    (write + flush + compact) / (write + flush).max(1.0)
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, section, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
    let stream = vec![
        row("one commit: median", BESIDE, Metric::WallMs, P50),
        row("one commit: 99th percentile", BESIDE, Metric::WallMs, P99),
        row("one commit: slowest", BESIDE, Metric::WallMs, LARGEST),
        row("without compaction: median", WITHOUT, Metric::WallMs, P50),
        row("without compaction: 99th percentile", WITHOUT, Metric::WallMs, P99),
        row("most data files", BESIDE, Metric::Files, ALL),
        row("without compaction: most data files", WITHOUT, Metric::Files, ALL),
        row("bytes written to data files for one that was flushed", BESIDE, Metric::Amplification, ALL),
        row("peak memory", BESIDE, Metric::PeakRssBytes, ALL),
        row("bytes on disk, closed", BESIDE, Metric::DiskBytes, ALL),
        row("without compaction: bytes on disk, closed", WITHOUT, Metric::DiskBytes, ALL),
        row("bytes on disk of one load", BULK, Metric::DiskBytes, ALL),
    ];
    let scans = vec![
        row("after the stream, at rest", SCAN, Metric::WallMs, STREAM),
        row("straight after it, without compaction", SCAN, Metric::WallMs, WITHOUT),
        row("after one load", SCAN, Metric::WallMs, BULK),
    ];
    vec![
        Section::of_rows("10,000 small appends", Unit::PerRow, stream).in_text(),
        Section::of_rows("Scan of all rows", Unit::Shared, scans).in_text(),
    ]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let of = |section, metric, subject| results.median(series(section, metric), subject, CAYENNE);
    let scan = |subject| of(SCAN, Metric::WallMs, subject);
    let p99 = |section| of(section, Metric::WallMs, P99);
    vec![
        Goal::count("most data files", of(BESIDE, Metric::Files, ALL), 64.0),
        Goal::ratio_of("scan at rest vs bulk", scan(STREAM), scan(BULK), 1.2),
        Goal::count("write amplification", of(BESIDE, Metric::Amplification, ALL), 4.0),
        Goal::ratio_of("append p99 beside compaction vs without", p99(BESIDE), p99(WITHOUT), 2.0),
    ]
}
