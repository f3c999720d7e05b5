//! Many files: opens a database whose metastore names them, and plans a query that needs three of them.

use super::{Sizes, series};
use crate::Result;
use crate::engine::FILE_ROWS;
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Place, Results};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::load;

const MANY_FILES: &str = "many files";
const MANY_TABLES: &str = "many tables";
const LARGE_TABLE: &str = "large table";
const FIRST_PLAN: &str = "first plan";
const NEXT_PLANS: &str = "next plans";

/// The number of plans after the first one of a process.
const PLANS: usize = 5;

/// The number of files that the planned query needs.
const FILES_NEEDED: u64 = 3;

pub(super) fn run(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) {
    let (tables, files) = sizes.many_tables;
    let many = Case { subject: MANY_TABLES, tables, files, plans: false };
    let large = Case { subject: LARGE_TABLE, tables: 1, files: sizes.large_table, plans: true };
    for case in [many, large] {
        let measured = case.measure(cayenne, options, outcome);
        outcome.keep(case.subject, measured);
    }
}

/// One database.
struct Case {
    subject: &'static str,
    tables: usize,
    files: usize,
    plans: bool,
}

impl Case {
    fn measure(&self, cayenne: &Engine, options: &Options, outcome: &mut Outcome) -> Result<()> {
        println!("append: {} tables of {} files each", self.tables, self.files);
        cayenne.reset()?;
        let (mut process, _) = cayenne.open()?;
        process.ask(&Request::Fabricate { tables: self.names(), files: self.files })?;
        process.close()?;
        (0..options.rounds).try_for_each(|_| self.once(cayenne, outcome))
    }

    fn names(&self) -> Vec<String> {
        (0..self.tables).map(|number| format!("events_{number}")).collect()
    }

    /// Measures a fresh process that opens the database and the handle of every table.
    fn once(&self, cayenne: &Engine, outcome: &mut Outcome) -> Result<()> {
        let (mut process, opened) = cayenne.open()?;
        let tables = process.ask(&Request::OpenTables)?;
        let place = Place { section: MANY_FILES, subject: self.subject, engine: CAYENNE };
        outcome.record(place, Metric::WallMs, opened.wall_ms + tables.wall_ms);
        outcome.record(place, Metric::CpuMs, opened.cpu_ms + tables.cpu_ms);
        load::record_peak(place, &tables, outcome);
        if self.plans {
            self.plan(&mut process, outcome)?;
        }
        process.close()?;
        Ok(())
    }

    fn plan(&self, process: &mut crate::process::Process, outcome: &mut Outcome) -> Result<()> {
        let begin = self.files / 2 * FILE_ROWS + FILE_ROWS / 2;
        let end = begin + FILE_ROWS * 2;
        let sql = format!("SELECT count(price) AS prices FROM events_0 WHERE id BETWEEN {begin} AND {end}");
        for subject in std::iter::once(FIRST_PLAN).chain([NEXT_PLANS; PLANS]) {
            let planned = process.ask(&Request::Plan { sql: sql.clone() })?;
            if planned.files != Some(FILES_NEEDED) {
                return Err(format!("the plan reads {:?} files instead of {FILES_NEEDED}", planned.files).into());
            }
            let place = Place { section: MANY_FILES, subject, engine: CAYENNE };
            outcome.record(place, Metric::WallMs, planned.wall_ms);
        }
        Ok(())
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric, subject| Row::of_subject(label, results, series(MANY_FILES, metric), subject);
    let rows = vec![
        row("open 100 tables of 100 files", Metric::WallMs, MANY_TABLES),
        row("CPU of that", Metric::CpuMs, MANY_TABLES),
        row("peak memory of that", Metric::PeakRssBytes, MANY_TABLES),
        row("open a table of 100,000 files", Metric::WallMs, LARGE_TABLE),
        row("CPU of that", Metric::CpuMs, LARGE_TABLE),
        row("peak memory of that", Metric::PeakRssBytes, LARGE_TABLE),
        row("plan that needs 3 of them: first", Metric::WallMs, FIRST_PLAN),
        row("plan that needs 3 of them: next", Metric::WallMs, NEXT_PLANS),
    ];
    vec![Section::of_rows("Many data files", Unit::PerRow, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let wall = |subject| results.median(series(MANY_FILES, Metric::WallMs), subject, CAYENNE);
    vec![
        Goal::ms("open 100 tables, 10,000 files", wall(MANY_TABLES), 150.0),
        Goal::ms("open 1 table, 100,000 files", wall(LARGE_TABLE), 1_000.0),
        Goal::ms("plan 3 of 100,000 files, first", wall(FIRST_PLAN), 20.0),
        Goal::ms("plan 3 of 100,000 files, next", wall(NEXT_PLANS), 20.0),
    ]
}
