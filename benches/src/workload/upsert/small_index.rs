//! The stream again, with less memory for the key index than the index needs. It may be slow but must not fail.

use super::{NAME, Run, SCAN_SQL, TABLE, series, stream};
use crate::Result;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results};
use crate::protocol::{OpenSettings, Request};
use crate::report::table::{Row, Section, Unit};
use crate::workload::load::{self, ALL};

const SMALL_INDEX: &str = "small key index";

/// Eight bytes for each row of the base, which is 16 MB in total: too little for the keys alone.
const BYTES_PER_ROW: u64 = 8;

pub(super) fn run(engines: &Engines, run: &Run<'_>, outcome: &mut Outcome) {
    for engine in engines.usable().filter(|engine| engine.name == CAYENNE) {
        println!("{NAME}: with a small key index");
        let done = run.with_small_index(engine, outcome);
        outcome.keep("upserts with a small key index", done);
    }
}

impl Run<'_> {
    fn with_small_index(&self, cayenne: &Engine, outcome: &mut Outcome) -> Result<()> {
        cayenne.restore()?;
        let sizes = self.sizes.accounts;
        let key_index_bytes = Some(sizes.base as u64 * BYTES_PER_ROW);
        let settings = OpenSettings { key_index_bytes, ..OpenSettings::default() };
        let (mut process, _) = cayenne.open_with(settings)?;
        self.prepare(cayenne, &mut process)?;
        let streamed = process.ask(&stream::upsert(TABLE, 0, sizes.batches))?;
        let id = SMALL_INDEX.to_owned();
        let scanned = process.ask(&Request::Query { id, sql: SCAN_SQL.to_owned(), answer: true })?;
        process.close()?;
        let rows = u32::try_from(sizes.batches * sizes.rows_per_batch)?;
        let place = Place { section: SMALL_INDEX, subject: ALL, engine: CAYENNE };
        outcome.record(place, Metric::RowsPerS, f64::from(rows) / streamed.wall_ms * 1e3);
        load::record_peak(place, &streamed, outcome);
        self.check_rows(&scanned.answer.ok_or("no rows in the reply")?)
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric| Row::of_subject(label, results, series(SMALL_INDEX, metric), ALL);
    let rows = vec![row("rows", Metric::RowsPerS), row("peak memory", Metric::PeakRssBytes)];
    vec![Section::of_rows("With a key index of 16 MB", Unit::PerRow, rows).in_text()]
}
