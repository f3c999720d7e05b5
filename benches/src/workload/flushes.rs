//! The flushes of a commit: counted commit by commit under a tracer, without timing.

use crate::Result;
use crate::measure::{Metric, Outcome, Place, Results, Series, median};
use crate::process::Process;
use crate::protocol::Request;
use crate::report::table::{Row, Section, Unit};
use crate::trace::{Flushes, Trace};
use crate::workload::load::ALL;

pub(super) const FLUSHES: &str = "flushes";
const MEAN: &str = "mean";

/// The number of flushes of each commit, and of all commits by kind.
pub(super) struct Counted {
    each: Vec<f64>,
    mean: f64,
    all: Flushes,
}

impl Counted {
    /// Runs one commit after the other. The first commit to a table flushes more than later ones, so it must come
    /// before.
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

/// Returns the tracer, or records that there is none.
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

/// Returns the median number of flushes of a commit.
pub(super) fn of_a_commit(results: Results<'_>, workload: &str, engine: &str) -> Option<f64> {
    results.median(Series { workload, section: FLUSHES, metric: Metric::Flushes }, ALL, engine)
}
