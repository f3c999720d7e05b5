//! The counters of each table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cayenne_compaction::Reason;
use cayenne_format::{Change, DataFile, Operation, Result};

use crate::PassOutcome;

/// The upper bounds of the histogram buckets for durations, in milliseconds. One more bucket has no bound.
const STEPS_MS: [u64; 10] = [1, 5, 25, 100, 500, 1_000, 5_000, 30_000, 120_000, 600_000];

/// The current value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name of the metric. Names of counters end in `_total`; a histogram has the names `_count`, `_sum` and
    /// `_bucket`.
    pub name: String,
    /// The table that it describes; `None` for the whole database.
    pub table: Option<String>,
    /// Labels that distinguish it from others of its name, such as the kind of work.
    pub labels: Vec<(&'static str, String)>,
    /// The value: counts since the process opened the table, sizes in bytes, times in milliseconds.
    pub value: f64,
}

/// Work that keeps a table in shape, besides compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Upkeep {
    Flush,
    Expire,
    Collect,
}

impl Upkeep {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Expire => "expire",
            Self::Collect => "collect",
        }
    }
}

/// The counters of one table since this process opened it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    triggers: parking_lot::Mutex<BTreeMap<Reason, u64>>,
    passes: parking_lot::Mutex<BTreeMap<(Reason, PassOutcome), Durations>>,
    upkeep: parking_lot::Mutex<BTreeMap<(Upkeep, bool), u64>>,
    written_bytes: [AtomicU64; 3],
    reclaimed_files: AtomicU64,
    reclaimed_bytes: AtomicU64,
    reclaimed_rows: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Durations {
    count: u64,
    sum_ms: u64,
    steps: [u64; STEPS_MS.len()],
}

impl Durations {
    fn add(&mut self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.count = self.count.saturating_add(1);
        self.sum_ms = self.sum_ms.saturating_add(ms);
        for (step, _) in self.steps.iter_mut().zip(STEPS_MS).filter(|(_, end)| ms <= *end) {
            *step = step.saturating_add(1);
        }
    }
}

impl Counters {
    pub(crate) fn note_trigger(&self, reason: Reason) {
        let mut triggers = self.triggers.lock();
        let count = triggers.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn note_pass(&self, reason: Reason, outcome: PassOutcome, took: Duration) {
        self.passes.lock().entry((reason, outcome)).or_default().add(took);
    }

    pub(crate) fn note_upkeep<T>(&self, kind: Upkeep, done: &Result<T>) {
        let mut upkeep = self.upkeep.lock();
        let count = upkeep.entry((kind, done.is_ok())).or_default();
        *count = count.saturating_add(1);
    }

    /// Notes the data files that a commit has added.
    pub(crate) fn note_written(&self, operation: Operation, changes: &[Change]) {
        let is_stored = |file: &DataFile| !file.is_inline();
        let bytes = |change: &Change| match change {
            Change::AddFile(new) if is_stored(&new.file) => new.file.bytes,
            _ => 0,
        };
        let kind = match operation {
            Operation::Flush => 1,
            Operation::Compact => 2,
            _ => 0,
        };
        if let Some(written) = self.written_bytes.get(kind) {
            written.fetch_add(changes.iter().map(bytes).sum(), Ordering::Relaxed);
        }
    }

    pub(crate) fn note_reclaimed(&self, files: u64, bytes: u64) {
        self.reclaimed_files.fetch_add(files, Ordering::Relaxed);
        self.reclaimed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_reclaimed_rows(&self, rows: u64) {
        self.reclaimed_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn gather(&self, of: &mut Gathering<'_>) {
        let passes = self.passes.lock().clone();
        for ((reason, outcome), durations) in &passes {
            let labels = || vec![("kind", reason.to_string()), ("outcome", outcome.as_str().to_owned())];
            of.add("cayenne_compaction_outcome_total", labels(), durations.count);
            of.add_durations("cayenne_compaction_duration_ms", &labels(), durations);
        }
        for (reason, count) in self.triggers.lock().iter() {
            of.add("cayenne_compaction_trigger_total", vec![("kind", reason.to_string())], *count);
        }
        for ((kind, is_done), count) in self.upkeep.lock().iter() {
            let outcome = if *is_done { "committed" } else { "failed" };
            let labels = vec![("kind", kind.as_str().to_owned()), ("outcome", outcome.to_owned())];
            of.add("cayenne_maintenance_outcome_total", labels, *count);
        }
        for (kind, bytes) in ["write", "flush", "compact"].iter().zip(&self.written_bytes) {
            of.add("cayenne_written_bytes_total", vec![("kind", (*kind).to_owned())], load(bytes));
        }
        of.add("cayenne_maintenance_reclaimed_files_total", vec![], load(&self.reclaimed_files));
        of.add("cayenne_maintenance_reclaimed_bytes_total", vec![], load(&self.reclaimed_bytes));
        of.add("cayenne_maintenance_reclaimed_rows_total", vec![], load(&self.reclaimed_rows));
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Gathers the metrics of one table, or of the database.
pub(crate) struct Gathering<'a> {
    pub(crate) metrics: &'a mut Vec<Metric>,
    pub(crate) table: Option<&'a str>,
}

impl Gathering<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a number to be watched")]
    pub(crate) fn add(&mut self, name: &str, labels: Vec<(&'static str, String)>, value: u64) {
        let table = self.table.map(str::to_owned);
        self.metrics.push(Metric { name: name.to_owned(), table, labels, value: value as f64 });
    }

    /// Adds a histogram in the form of Prometheus: each bucket counts the durations up to its bound.
    fn add_durations(&mut self, name: &str, labels: &[(&'static str, String)], durations: &Durations) {
        self.add(&format!("{name}_count"), labels.to_vec(), durations.count);
        self.add(&format!("{name}_sum"), labels.to_vec(), durations.sum_ms);
        let ends = STEPS_MS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(durations.steps.iter().chain([&durations.count])) {
            let labels = labels.iter().cloned().chain([("le", end)]).collect();
            self.add(&format!("{name}_bucket"), labels, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_histogram_counts_what_is_at_most_its_end() {
        let mut durations = Durations::default();
        for ms in [0, 1, 2, 100, 700_000] {
            durations.add(Duration::from_millis(ms));
        }
        assert_eq!((durations.count, durations.sum_ms), (5, 700_103));
        assert_eq!(durations.steps, [2, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
        let mut metrics = Vec::new();
        Gathering { metrics: &mut metrics, table: None }.add_durations(
            "t_ms",
            &[("kind", "files".to_owned())],
            &durations,
        );
        let last = metrics.last().unwrap();
        assert_eq!((last.name.as_str(), last.value), ("t_ms_bucket", 5.0));
        assert_eq!(last.labels, [("kind", "files".to_owned()), ("le", "+Inf".to_owned())]);
    }
}
