//! Measured numbers: the samples of a metric, the place of each sample, and the statistics that a report states.

use serde::Serialize;

use crate::Result;
use crate::engines::Skipped;

/// What a sample measures, with its unit in the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Wall time inside the engine.
    WallMs,
    /// User and system time of the engine's process.
    CpuMs,
    /// Wall time from the start of the process to the answer.
    SpawnToAnswerMs,
    PeakRssBytes,
    DiskBytes,
    RowsPerS,
    CommitsPerS,
    QueriesPerS,
    /// Calls per commit that bring data to stable storage.
    Flushes,
    /// Memory, or bytes on disk, divided by the number of rows that need them.
    BytesPerRow,
    /// The most data files that a table had.
    Files,
    /// Bytes written, divided by the bytes that had to be written.
    Amplification,
    /// Bytes of a table that are rewritten per second.
    BytesPerS,
    /// Commits and queries that failed while others ran.
    Failures,
}

/// All samples of one metric of one subject on one engine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Measurement {
    pub(crate) workload: String,
    /// A part of the workload, such as `load` or `warm`.
    pub(crate) section: String,
    /// What was measured in the section, such as a table or a query; `all` for the section as a whole.
    pub(crate) subject: String,
    pub(crate) engine: String,
    pub(crate) metric: Metric,
    /// The samples in the order in which they were taken. Never empty.
    pub(crate) samples: Vec<f64>,
}

impl Measurement {
    /// Returns the middle sample, or the mean of the two middle ones.
    pub(crate) fn median(&self) -> f64 {
        median(&self.samples)
    }

    pub(crate) fn min(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Returns the median of `samples`, or 0 if there are none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = sorted.len().checked_sub(2).and_then(|twice| sorted.get(twice / 2)).copied().unwrap_or(0.0);
    f64::midpoint(lower, upper)
}

/// Returns the smallest sample that at least `percent` of the samples do not exceed, or 0 if there are none.
pub(crate) fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The place of a sample in the results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) section: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) engine: &'a str,
}

/// The result of a workload: its samples and all failures.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measurements: Vec<Measurement>,
    /// Differing answers and failed requests. A single problem makes the run fail.
    pub(crate) problems: Vec<String>,
    /// What could not be measured here, and why. It does not make the run fail.
    pub(crate) skipped: Vec<Skipped>,
}

impl Outcome {
    /// Adds one sample.
    pub(crate) fn record(&mut self, place: Place<'_>, metric: Metric, sample: f64) {
        let same = |known: &&mut Measurement| {
            known.metric == metric
                && known.engine == place.engine
                && known.subject == place.subject
                && known.section == place.section
        };
        if let Some(known) = self.measurements.iter_mut().find(same) {
            known.samples.push(sample);
            return;
        }
        self.measurements.push(Measurement {
            workload: String::new(),
            section: place.section.to_owned(),
            subject: place.subject.to_owned(),
            engine: place.engine.to_owned(),
            metric,
            samples: vec![sample],
        });
    }

    /// Adds one size. Sizes are far below 2^53, from which on `f64` is no longer exact.
    #[expect(clippy::cast_precision_loss, reason = "no process or folder here is nine petabytes large")]
    pub(crate) fn record_bytes(&mut self, place: Place<'_>, metric: Metric, bytes: u64) {
        self.record(place, metric, bytes as f64);
    }

    /// Returns the value of a step, or records its failure as a problem.
    pub(crate) fn keep<T>(&mut self, what: &str, step: Result<T>) -> Option<T> {
        match step {
            Ok(value) => Some(value),
            Err(failure) => {
                self.problem(format!("{what}: {failure}"));
                None
            }
        }
    }

    /// Prints that something is skipped, and records it for the report.
    pub(crate) fn skip(&mut self, what: &str, reason: String) {
        println!("SKIPPED {what}: {reason}");
        self.skipped.push(Skipped { engine: what.to_owned(), reason });
    }

    /// Prints a problem and records it for the report.
    pub(crate) fn problem(&mut self, text: String) {
        eprintln!("PROBLEM {text}");
        self.problems.push(text);
    }
}

/// Selects one kind of number: the workload, its section, and the metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) workload: &'a str,
    pub(crate) section: &'a str,
    pub(crate) metric: Metric,
}

/// Queries on all measurements of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Results<'a> {
    pub(crate) measurements: &'a [Measurement],
    /// All engines in the order in which a report shows them.
    pub(crate) engines: &'a [String],
}

impl<'a> Results<'a> {
    /// Returns the samples of one subject on one engine, if there are any.
    pub(crate) fn find(self, series: Series<'_>, subject: &str, engine: &str) -> Option<&'a Measurement> {
        self.measurements.iter().find(|known| {
            known.workload == series.workload
                && known.section == series.section
                && known.metric == series.metric
                && known.subject == subject
                && known.engine == engine
        })
    }

    /// Returns the median of one subject on one engine, if it was measured.
    pub(crate) fn median(self, series: Series<'_>, subject: &str, engine: &str) -> Option<f64> {
        self.find(series, subject, engine).map(Measurement::median)
    }

    /// Returns the smallest median of all `subjects` on all `engines`: the best form, for a metric where less is
    /// better.
    pub(crate) fn smallest(self, series: Series<'_>, subjects: &[&str], engines: &[&str]) -> Option<f64> {
        self.medians(series, subjects, engines).min_by(f64::total_cmp)
    }

    /// Returns the largest median of all `subjects` on all `engines`: the best form, for a metric where more is better.
    pub(crate) fn largest(self, series: Series<'_>, subjects: &[&str], engines: &[&str]) -> Option<f64> {
        self.medians(series, subjects, engines).max_by(f64::total_cmp)
    }

    fn medians(self, series: Series<'_>, subjects: &[&str], engines: &[&str]) -> impl Iterator<Item = f64> {
        let pairs = subjects.iter().flat_map(|subject| engines.iter().map(move |engine| (subject, engine)));
        pairs.filter_map(move |(subject, engine)| self.median(series, subject, engine))
    }

    /// Returns the sum of the medians of `subjects`, or `None` if one is missing: a partial sum is not comparable.
    pub(crate) fn total(self, series: Series<'_>, subjects: &[&str], engine: &str) -> Option<f64> {
        subjects.iter().map(|subject| self.median(series, subject, engine)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place { section: "warm", subject: "q01", engine: "cayenne" };

    #[test]
    fn median_of_odd_even_and_no_samples() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn percentile_is_a_sample() {
        let samples: Vec<f64> = (1..=500).map(f64::from).collect();
        for (percent, expected) in [(50, 250.0), (99, 495.0), (100, 500.0)] {
            assert!((percentile(&samples, percent) - expected).abs() < f64::EPSILON, "{percent}");
        }
        assert!((percentile(&[3.0], 1) - 3.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
    }

    #[test]
    fn samples_of_one_place_gather() {
        let mut outcome = Outcome::default();
        outcome.record(PLACE, Metric::WallMs, 3.0);
        outcome.record(PLACE, Metric::CpuMs, 9.0);
        outcome.record(PLACE, Metric::WallMs, 5.0);
        assert_eq!(outcome.measurements.len(), 2);
        let wall = outcome.measurements.first().unwrap();
        assert_eq!(wall.samples, [3.0, 5.0]);
        assert!((wall.min() - 3.0).abs() < f64::EPSILON && (wall.max() - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn total_needs_every_subject() {
        let mut outcome = Outcome::default();
        outcome.record(PLACE, Metric::WallMs, 3.0);
        let results = Results { measurements: &outcome.measurements, engines: &[] };
        let series = Series { workload: "", section: "warm", metric: Metric::WallMs };
        assert_eq!(results.total(series, &["q01"], "cayenne"), Some(3.0));
        assert_eq!(results.total(series, &["q01", "q02"], "cayenne"), None);
    }

    #[test]
    fn best_form_is_the_best_of_those_that_were_measured() {
        let mut outcome = Outcome::default();
        outcome.record(PLACE, Metric::WallMs, 3.0);
        outcome.record(Place { subject: "q02", engine: "duckdb", ..PLACE }, Metric::WallMs, 5.0);
        let results = Results { measurements: &outcome.measurements, engines: &[] };
        let series = Series { workload: "", section: "warm", metric: Metric::WallMs };
        let (subjects, engines) = (["q01", "q02", "q03"], ["cayenne", "duckdb"]);
        assert_eq!(results.smallest(series, &subjects, &engines), Some(3.0));
        assert_eq!(results.largest(series, &subjects, &engines), Some(5.0));
        assert_eq!(results.largest(series, &subjects, &["parquet"]), None);
    }

    #[test]
    fn failed_step_becomes_a_problem() {
        let mut outcome = Outcome::default();
        let kept: Option<u32> = outcome.keep("duckdb q01", Err("no such table".into()));
        assert_eq!(kept, None);
        assert_eq!(outcome.problems, ["duckdb q01: no such table"]);
    }
}
