//! The results that a workload shows: sections of rows with one value per engine. The page and the summary both use
//! them.

use crate::measure::{Measurement, Metric, Results, Series};

/// The results that one workload shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) sections: Vec<Section>,
}

/// Rows under one title.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) rows: Vec<Row>,
    /// Whether the summary on stdout shows it as well.
    pub(crate) in_text: bool,
}

/// What the bars of a section have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// One scale for all rows: the lengths of bars are comparable between rows.
    Shared,
    /// Each row has its own scale: only the engines within a row are comparable.
    PerRow,
}

/// One value per engine.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) metric: Metric,
    /// The values in the order of the report's engines; `None` where an engine has no number.
    pub(crate) values: Vec<Option<Value>>,
}

/// A median and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Section {
    /// Creates one row for each subject.
    pub(crate) fn of_subjects(title: &str, results: Results<'_>, series: Series<'_>, subjects: &[&str]) -> Self {
        let row = |subject: &&str| Row::of_subject(subject, results, series, subject);
        Self::of_rows(title, Unit::Shared, subjects.iter().map(row).collect())
    }

    /// Creates a section of these rows.
    pub(crate) fn of_rows(title: &str, unit: Unit, rows: Vec<Row>) -> Self {
        Self { title: title.to_owned(), unit, rows, in_text: false }
    }

    /// Shows the section on stdout as well.
    pub(crate) fn in_text(self) -> Self {
        Self { in_text: true, ..self }
    }
}

impl Row {
    /// Creates the row of one subject.
    pub(crate) fn of_subject(label: &str, results: Results<'_>, series: Series<'_>, subject: &str) -> Self {
        let value = |engine: &String| results.find(series, subject, engine).map(Value::of);
        Self { label: label.to_owned(), metric: series.metric, values: results.engines.iter().map(value).collect() }
    }

    /// Creates the row of a sum over `subjects`. The spread is the sum of the best and the sum of the worst samples.
    pub(crate) fn of_total(label: &str, results: Results<'_>, series: Series<'_>, subjects: &[&str]) -> Self {
        let value = |engine: &String| {
            let one = |subject: &&str| results.find(series, subject, engine).map(Value::of);
            let all: Option<Vec<Value>> = subjects.iter().map(one).collect();
            all.map(|values| Value::sum(&values))
        };
        Self { label: label.to_owned(), metric: series.metric, values: results.engines.iter().map(value).collect() }
    }

    /// Returns the median of the first engine divided by that of engine `index`.
    pub(crate) fn ratio(&self, index: usize) -> Option<f64> {
        let ours = self.values.first().copied().flatten()?;
        let theirs = self.values.get(index).copied().flatten()?;
        (theirs.median > 0.0).then(|| ours.median / theirs.median)
    }
}

impl Value {
    fn of(measurement: &Measurement) -> Self {
        Self { median: measurement.median(), min: measurement.min(), max: measurement.max() }
    }

    fn sum(values: &[Self]) -> Self {
        let sum = |field: fn(&Self) -> f64| values.iter().map(field).sum();
        Self { median: sum(|value| value.median), min: sum(|value| value.min), max: sum(|value| value.max) }
    }
}

/// Formats a number with its unit and about three digits.
pub(crate) fn show(metric: Metric, value: f64) -> String {
    match metric {
        Metric::WallMs | Metric::CpuMs | Metric::SpawnToAnswerMs => show_ms(value),
        Metric::RowsPerS | Metric::CommitsPerS | Metric::QueriesPerS => show_rate(value),
        Metric::Flushes | Metric::Amplification => format!("{value:.2}"),
        Metric::BytesPerRow => format!("{value:.1} B"),
        Metric::Failures | Metric::Files => format!("{value:.0}"),
        Metric::BytesPerS => format!("{:.1} MiB/s", value / f64::from(1 << 20)),
        Metric::PeakRssBytes | Metric::DiskBytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
    }
}

fn show_ms(value: f64) -> String {
    match value {
        tiny if tiny < 1.0 => format!("{tiny:.3} ms"),
        small if small < 10.0 => format!("{small:.2} ms"),
        middle if middle < 1_000.0 => format!("{middle:.0} ms"),
        large => format!("{:.2} s", large / 1e3),
    }
}

fn show_rate(value: f64) -> String {
    match value {
        tiny if tiny < 100.0 => format!("{tiny:.1}/s"),
        small if small < 1e4 => format!("{small:.0}/s"),
        middle if middle < 1e6 => format!("{:.1} k/s", middle / 1e3),
        large => format!("{:.2} M/s", large / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Outcome, Place};

    fn outcome() -> Outcome {
        let mut outcome = Outcome::default();
        for (engine, factor) in [("cayenne", 1.0), ("duckdb", 2.0)] {
            for (subject, sample) in [("q01", 10.0), ("q01", 30.0), ("q02", 5.0)] {
                let place = Place { section: "warm", subject, engine };
                outcome.record(place, Metric::WallMs, sample * factor);
            }
        }
        outcome
    }

    #[test]
    fn total_sums_medians_and_spreads() {
        let outcome = outcome();
        let engines = ["cayenne".to_owned(), "duckdb".to_owned(), "parquet".to_owned()];
        let results = Results { measurements: &outcome.measurements, engines: &engines };
        let series = Series { workload: "", section: "warm", metric: Metric::WallMs };
        let row = Row::of_total("all", results, series, &["q01", "q02"]);
        let expected = Value { median: 25.0, min: 15.0, max: 35.0 };
        assert_eq!(row.values.first().copied().flatten(), Some(expected));
        assert_eq!(row.ratio(1), Some(0.5));
        assert_eq!(row.ratio(2), None);
    }

    #[test]
    fn numbers_carry_a_fitting_unit() {
        assert_eq!(show(Metric::WallMs, 3.456), "3.46 ms");
        assert_eq!(show(Metric::WallMs, 0.0456), "0.046 ms");
        assert_eq!(show(Metric::QueriesPerS, 18.04), "18.0/s");
        assert_eq!(show(Metric::CpuMs, 345.6), "346 ms");
        assert_eq!(show(Metric::WallMs, 3_456.0), "3.46 s");
        assert_eq!(show(Metric::CommitsPerS, 812.3), "812/s");
        assert_eq!(show(Metric::RowsPerS, 258_400.0), "258.4 k/s");
        assert_eq!(show(Metric::RowsPerS, 2_584_000.0), "2.58 M/s");
        assert_eq!(show(Metric::Flushes, 1.0), "1.00");
        assert_eq!(show(Metric::DiskBytes, 1_572_864.0), "1.5 MiB");
    }
}
