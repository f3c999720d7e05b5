//! Group commit: the throughput of many writers compared with that of one.

use super::series;
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Place, Results};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::{Result, events};

const GROUP: &str = "group";
const ALONE: &str = "one writer";
const TOGETHER: &str = "all writers";
const ROWS_PER_COMMIT: usize = 10;

/// The number of writers, each on a table of its own, and the number of commits.
pub(super) struct Sizes {
    pub(super) writers: usize,
    pub(super) commits_alone: usize,
    pub(super) commits_each: usize,
}

pub(super) fn run(cayenne: &Engine, sizes: &super::Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let Sizes { writers, commits_alone, commits_each } = sizes.group;
    // One commit more than is measured, because the first commit of each writer is a warm-up.
    let rows = ROWS_PER_COMMIT * (1 + commits_alone.max(commits_each));
    let source = events::prepare(&options.data, rows)?;
    for round in 1..=options.rounds {
        println!("append: group commit, round {round} of {}", options.rounds);
        for (subject, writers, commits) in [(ALONE, 1, commits_alone), (TOGETHER, writers, commits_each)] {
            let asked = Asked { subject, writers, commits };
            let measured = asked.measure(cayenne, &source, outcome);
            outcome.keep(&format!("{subject} of group commit"), measured);
        }
    }
    Ok(())
}

/// A number of writers, and the number of commits of each.
struct Asked {
    subject: &'static str,
    writers: usize,
    commits: usize,
}

impl Asked {
    fn measure(&self, cayenne: &Engine, source: &std::path::Path, outcome: &mut Outcome) -> Result<()> {
        cayenne.reset()?;
        let (mut process, _) = cayenne.open()?;
        let tables: Vec<_> = (0..self.writers).map(|number| format!("events_{number}")).collect();
        let (source, rows_per_commit) = (source.to_owned(), ROWS_PER_COMMIT);
        process.ask(&Request::Prepare { source, rows_per_commit, tables: tables.clone(), key: None })?;
        let reply = process.ask(&Request::AppendAtOnce { tables, commits: self.commits })?;
        process.close()?;
        let commits = f64::from(u32::try_from(self.writers * self.commits)?);
        let place = Place { section: GROUP, subject: self.subject, engine: CAYENNE };
        outcome.record(place, Metric::CommitsPerS, commits / reply.wall_ms * 1e3);
        outcome.record(place, Metric::CpuMs, reply.cpu_ms / commits);
        Ok(())
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric, subject| Row::of_subject(label, results, series(GROUP, metric), subject);
    let rows = vec![
        row("1 writer, 1 table", Metric::CommitsPerS, ALONE),
        row("32 writers, 32 tables", Metric::CommitsPerS, TOGETHER),
        row("CPU per commit, 1 writer", Metric::CpuMs, ALONE),
        row("CPU per commit, 32 writers", Metric::CpuMs, TOGETHER),
    ];
    vec![Section::of_rows("Commits of ten rows", Unit::PerRow, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let commits = |subject| results.median(series(GROUP, Metric::CommitsPerS), subject, CAYENNE);
    vec![Goal::ratio_at_least("commits/s of 32 writers vs 1", commits(TOGETHER), commits(ALONE), 15.0)]
}
