//! What a commit asks of the disk: counted commit by commit under a tracer, with no clock.

use crate::Result;
use crate::measure::{Metric, Outcome, Place, Results, Series, median};
use crate::process::Process;
use crate::protocol::Request;
use crate::report::table::{Row, Section, Unit};
use crate::trace::{Flushes, Trace};
use crate::workload::load::ALL;

pub(super) const FLUSHES: &str = "flushes";
const MEAN: &str = "mean";

/// The flushes of each commit, and of all by kind.
pub(super) struct Counted {
    each: Vec<f64>,
    mean: f64,
    all: Flushes,
}

impl Counted {
    /// Asks for one commit after the other. The first to a table does more than those that follow, so it came before.
    pub(super) fn count(
        process: &mut Process,
        trace: &Trace,
        commits: impl ExactSizeIterator<Item = Request>,
    ) -> Result<Self> {
        let begun = trace.flushes()?;
        let count = f64::from(u32::try_from(commits.len())?);
        let (mut before, mut each) = (begun.clone(), Vec::with_capacity(commits.len()));
        for commit in commits {
            process.ask(&commit)?;
            let after = trace.flushes()?;
            each.push(f64::from(after.since(&before).count()));
            before = after;
        }
        let all = before.since(&begun);
        Ok(Self { each, mean: f64::from(all.count()) / count, all })
    }

    pub(super) fn record(&self, workload: &str, engine: &str, outcome: &mut Outcome) {
        println!("{workload}: {engine} flushed {} in {} commits", self.all, self.each.len());
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

/// Starts nothing where there is no tracer, and says so.
pub(super) fn tracer(folder: &std::path::Path, outcome: &mut Outcome) -> Option<Trace> {
    match Trace::in_folder(folder) {
        Ok(trace) => Some(trace),
        Err(reason) => {
            outcome.skip("strace", reason.to_string());
            None
        }
    }
}

pub(super) fn section(results: Results<'_>, workload: &str) -> Section {
    let series = Series { workload, section: FLUSHES, metric: Metric::Flushes };
    let row = |label: &str, subject| Row::of_subject(label, results, series, subject);
    let rows = vec![row("one commit: median", ALL), row("one commit: mean", MEAN)];
    Section::of_rows("Flushes to stable storage", Unit::Shared, rows).in_text()
}

/// Returns the flushes of a commit in the middle.
pub(super) fn of_a_commit(results: Results<'_>, workload: &str, engine: &str) -> Option<f64> {
    results.median(Series { workload, section: FLUSHES, metric: Metric::Flushes }, ALL, engine)
}
