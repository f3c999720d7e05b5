//! The progress of a load, on a terminal and nowhere else.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figures::{counted, rate, size};
use crate::stopwatch::Stopwatch;
use crate::terminal::Terminal;

/// A line that tells how far a load has come.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    table: String,
    time: Stopwatch,
}

impl Progress {
    /// Begins a line, invisible if nobody watches.
    pub(crate) fn begin(table: &str, terminal: &Terminal) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(if terminal.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, table: table.to_owned(), time: Stopwatch::start() }
    }

    /// Shows what the plan has counted.
    pub(crate) fn show(&self, plan: &Arc<dyn ExecutionPlan>) {
        let metrics = plan.metrics().unwrap_or_default();
        let count = |name| metrics.sum_by_name(name).map_or(0, |value| value.as_usize()) as u64;
        let (rows, bytes) = (count("rows_read"), count("bytes_read"));
        let rate = rate(rows, self.time.elapsed());
        self.bar.set_message(format!("{}: {}, {}, {rate}", self.table, counted(rows, "row"), size(bytes)));
        self.bar.tick();
    }

    /// Removes the line.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
