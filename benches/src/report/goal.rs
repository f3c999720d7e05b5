//! Goals: the limits that the project aims at, and whether this run met them. A missed goal never fails the run.

use std::fmt;

use serde::Serialize;

use crate::engines::CAYENNE;

/// A limit that a measured value should stay below or should reach.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) name: String,
    limit: f64,
    bound: Bound,
    measure: Measure,
    /// `None` if one side of the comparison was not measured.
    value: Option<f64>,
    met: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Measure {
    Ratio,
    Bytes,
    Ms,
    Count,
}

/// The side of the limit on which a value should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtMost,
    AtLeast,
}

impl Goal {
    /// Cayenne's value should be at most `limit` times that of `peer`.
    pub(crate) fn ratio(name: &str, value_of: impl Fn(&str) -> Option<f64>, peer: &str, limit: f64) -> Self {
        Self::ratio_of(name, value_of(CAYENNE), value_of(peer), limit)
    }

    /// `ours` should be at most `limit` times `theirs`.
    pub(crate) fn ratio_of(name: &str, ours: Option<f64>, theirs: Option<f64>, limit: f64) -> Self {
        Self::new(name, limit, Measure::Ratio, quotient(ours, theirs))
    }

    /// `ours` should be at least `limit` times `theirs`.
    pub(crate) fn ratio_at_least(name: &str, ours: Option<f64>, theirs: Option<f64>, limit: f64) -> Self {
        let value = quotient(ours, theirs);
        let met = value.map(|value| value >= limit);
        Self { bound: Bound::AtLeast, met, ..Self::new(name, limit, Measure::Ratio, value) }
    }

    /// A time should be at most `limit` milliseconds.
    pub(crate) fn ms(name: &str, value: Option<f64>, limit: f64) -> Self {
        Self::new(name, limit, Measure::Ms, value)
    }

    /// A count should be at most `limit`.
    pub(crate) fn count(name: &str, value: Option<f64>, limit: f64) -> Self {
        Self::new(name, limit, Measure::Count, value)
    }

    /// A size should be at most `limit` bytes.
    #[expect(clippy::cast_precision_loss, reason = "limits are round numbers far below 2^53")]
    pub(crate) fn bytes(name: &str, value: Option<f64>, limit: u64) -> Self {
        Self::new(name, limit as f64, Measure::Bytes, value)
    }

    fn new(name: &str, limit: f64, measure: Measure, value: Option<f64>) -> Self {
        let met = value.map(|value| value <= limit);
        Self { name: name.to_owned(), limit, bound: Bound::AtMost, measure, value, met }
    }

    /// Returns whether the goal was met, as a word.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "ok",
            Some(false) => "missed",
            None => "not measured",
        }
    }

    /// Returns the limit as text.
    pub(crate) fn limit_text(&self) -> String {
        let sign = match self.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        format!("{sign} {}", self.text(self.limit))
    }

    /// Returns the value as text, or a dash if it was not measured.
    pub(crate) fn value_text(&self) -> String {
        self.value.map_or_else(|| "–".to_owned(), |value| self.text(value))
    }

    fn text(&self, value: f64) -> String {
        match self.measure {
            Measure::Ratio => format!("{value:.2}"),
            Measure::Ms => format!("{value:.2} ms"),
            Measure::Count => format!("{value:.1}"),
            Measure::Bytes => format!("{:.0} MiB", value / f64::from(1 << 20)),
        }
    }
}

fn quotient(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    let theirs = theirs.filter(|theirs| *theirs > 0.0);
    ours.zip(theirs).map(|(ours, theirs)| ours / theirs)
}

impl fmt::Display for Goal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {} {}", self.name, self.limit_text(), self.value_text(), self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goal_reads_as_one_line() {
        let met = Goal::ratio_of("warm total vs parquet", Some(5.8), Some(10.0), 0.6);
        assert_eq!(met.to_string(), "warm total vs parquet ≤ 0.60: 0.58 ok");
        let missed = Goal::bytes("load peak memory", Some(2.0 * 1024.0 * 1024.0 * 1024.0), 1 << 30);
        assert_eq!(missed.to_string(), "load peak memory ≤ 1024 MiB: 2048 MiB missed");
    }

    #[test]
    fn goal_to_reach_is_met_above_its_limit() {
        let met = Goal::ratio_at_least("rows/s vs duckdb", Some(30.0), Some(10.0), 2.0);
        assert_eq!(met.to_string(), "rows/s vs duckdb ≥ 2.00: 3.00 ok");
        let missed = Goal::ratio_at_least("rows/s vs duckdb", Some(15.0), Some(10.0), 2.0);
        assert_eq!(missed.verdict(), "missed");
        assert_eq!(Goal::count("flushes", Some(3.0), 1.0).to_string(), "flushes ≤ 1.0: 3.0 missed");
        assert_eq!(Goal::ms("CPU", Some(1.25), 3.0).to_string(), "CPU ≤ 3.00 ms: 1.25 ms ok");
    }

    #[test]
    fn goal_without_a_peer_is_not_measured() {
        let goal = Goal::ratio_of("warm total vs duckdb", Some(5.8), None, 2.3);
        assert_eq!(goal.verdict(), "not measured");
    }
}
