//! What a commit asks of the disk: counted commit by commit under a tracer, with no clock.

use std::path::Path;

use super::{Sizes, series};
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results, median};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::trace::{Flushes, Trace};
use crate::workload::Options;
use crate::workload::load::ALL;
use crate::{Result, events};

const FLUSHES: &str = "flushes";
const MEAN: &str = "mean";
const TABLE: &str = "events";

pub(super) fn run(engines: &Engines, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let trace = match Trace::in_folder(engines.folder()) {
        Ok(trace) => trace,
        Err(reason) => {
            outcome.skip("strace", reason.to_string());
            return Ok(());
        }
    };
    let source = events::prepare(&options.data, sizes.traced * sizes.rows_per_commit)?;
    for engine in engines.usable() {
        let counted = count(engine, &trace, &source, sizes);
        if let Some(counted) = outcome.keep(&format!("{} flushes", engine.name), counted) {
            counted.record(engine.name, outcome);
        }
    }
    Ok(())
}

fn count(engine: &Engine, trace: &Trace, source: &Path, sizes: &Sizes) -> Result<Counted> {
    engine.reset()?;
    let mut process = engine.open_traced(trace)?;
    let tables = vec![TABLE.to_owned()];
    let rows_per_commit = sizes.rows_per_commit;
    process.ask(&Request::Prepare { source: source.to_owned(), rows_per_commit, tables })?;
    // The first commit to a table does more than those that follow.
    let one = Request::Append { table: TABLE.to_owned(), commits: 1 };
    process.ask(&one)?;
    let begun = trace.flushes()?;
    let (mut before, mut each) = (begun.clone(), Vec::with_capacity(sizes.traced));
    for _ in 0..sizes.traced {
        process.ask(&one)?;
        let after = trace.flushes()?;
        each.push(f64::from(after.since(&before).count()));
        before = after;
    }
    process.close()?;
    let all = before.since(&begun);
    let mean = f64::from(all.count()) / f64::from(u32::try_from(sizes.traced)?);
    Ok(Counted { each, mean, all })
}

/// The flushes of each commit, and of all by kind.
struct Counted {
    each: Vec<f64>,
    mean: f64,
    all: Flushes,
}

impl Counted {
    fn record(&self, engine: &str, outcome: &mut Outcome) {
        println!("append: {engine} flushed {} in {} commits", self.all, self.each.len());
        let place = |subject| Place { section: FLUSHES, subject, engine };
        for flushes in &self.each {
            outcome.record(place(ALL), Metric::Flushes, *flushes);
        }
        outcome.record(place(MEAN), Metric::Flushes, self.mean);
        if median(&self.each) < 1.0 {
            outcome.problem(format!("{engine}: a commit without a flush is not durable"));
        }
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, subject| Row::of_subject(label, results, series(FLUSHES, Metric::Flushes), subject);
    let rows = vec![row("one commit: median", ALL), row("one commit: mean", MEAN)];
    vec![Section::of_rows("Flushes to stable storage", Unit::Shared, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let flushes = results.median(series(FLUSHES, Metric::Flushes), ALL, CAYENNE);
    vec![Goal::count("flushes of a commit", flushes, 1.0)]
}
