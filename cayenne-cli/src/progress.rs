//! The progress line of a statement that writes. It is shown only on a terminal.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::figures::{counted, rate, size};
use crate::stopwatch::Stopwatch;
use crate::terminal::Terminal;

/// How often the progress line is updated.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// A statement that ends within this time shows no progress line.
const PROGRESS_AFTER: Duration = Duration::from_millis(300);

/// A line that shows the progress of a statement.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    target: String,
    time: Stopwatch,
}

impl Progress {
    /// Creates the progress line of a write to `target`. It is hidden if stderr is not watched.
    pub(crate) fn begin(target: &str, terminal: &Terminal) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(if terminal.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, target: target.to_owned(), time: Stopwatch::start() }
    }

    /// Runs a plan to its end, shows its row count, and removes the line.
    ///
    /// # Errors
    ///
    /// The error of the plan.
    pub(crate) async fn watch(
        self,
        plan: &Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<Vec<RecordBatch>> {
        let result = self.run(plan, context).await;
        self.bar.finish_and_clear();
        result
    }

    async fn run(&self, plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let mut result = execute_stream(Arc::clone(plan), context)?;
        let mut tick = tokio::time::interval_at(Instant::now() + PROGRESS_AFTER, PROGRESS_EVERY);
        let mut batches = Vec::new();
        loop {
            tokio::select! {
                batch = result.next() => match batch.transpose()? {
                    Some(batch) => batches.push(batch),
                    None => return Ok(batches),
                },
                _ = tick.tick() => {
                    self.bar.set_message(self.message(plan));
                    self.bar.tick();
                }
            }
        }
    }

    fn message(&self, plan: &Arc<dyn ExecutionPlan>) -> String {
        let rows = rows_of(plan);
        let bytes = counter(plan, "bytes_read").map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
        format!("{}: {}{bytes}, {}", self.target, counted(rows, "row"), rate(rows, self.time.elapsed()))
    }
}

/// Returns how many rows have reached the operator that writes them.
fn rows_of(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    if let Some(rows) = counter(plan, "rows_read") {
        return rows;
    }
    // A sink of DataFusion does not count rows, but its input does.
    let input = plan.children().into_iter().next();
    input.map_or(0, |input| match input.metrics().and_then(|metrics| metrics.output_rows()) {
        Some(rows) => rows as u64,
        None => rows_of(input),
    })
}

fn counter(plan: &Arc<dyn ExecutionPlan>, name: &str) -> Option<u64> {
    Some(plan.metrics()?.sum_by_name(name)?.as_usize() as u64)
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array};
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_copy_is_counted_by_the_rows_that_come_to_its_sink() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = SessionContext::new();
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1234));
        ctx.register_batch("t", RecordBatch::try_from_iter([("a", rows)]).unwrap()).unwrap();
        let copy = format!("COPY (SELECT a + 1 AS a FROM t) TO '{}'", folder.path().join("t.csv").display());
        let plan = ctx.sql(&copy).await.unwrap().create_physical_plan().await.unwrap();
        let progress = Progress { bar: ProgressBar::hidden(), target: "t.csv".to_owned(), time: Stopwatch::start() };
        progress.run(&plan, ctx.task_ctx()).await.unwrap();
        let message = progress.message(&plan);
        assert!(message.starts_with("t.csv: 1,234 rows, "), "{message}");
    }
}
