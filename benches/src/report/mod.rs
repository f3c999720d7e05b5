//! The report of a run: `report.json` for programs, `report.html` for human readers, and a summary on stdout.

mod chart;
pub(crate) mod goal;
mod page;
pub(crate) mod table;
pub(crate) mod text;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::engines::Skipped;
use crate::machine::{Machine, Version};
use crate::measure::{Measurement, Results};
use crate::noise::Noise;
use crate::workload::{Options, Workload};

/// The version of `report.json`. It is raised when its readers must change.
pub(crate) const FORMAT: u32 = 1;

/// All data about one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    /// Start of the run in UTC.
    pub(crate) started: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) versions: Vec<Version>,
    pub(crate) engines: Vec<String>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) options: Options,
    pub(crate) noise_before: Noise,
    pub(crate) noise_after: Noise,
    pub(crate) workloads: Vec<WorkloadReport>,
    pub(crate) measurements: Vec<Statement>,
    pub(crate) problems: Vec<String>,
}

/// A workload of the run, and its results against the goals.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadReport {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) goals: Vec<goal::Goal>,
}

impl WorkloadReport {
    /// Judges the results of one workload. A smoke run is not judged, because the goals do not apply to it.
    pub(crate) fn of(workload: &dyn Workload, results: Results<'_>, options: &Options) -> Self {
        Self {
            name: workload.name().to_owned(),
            description: workload.describe().to_owned(),
            goals: if options.smoke { Vec::new() } else { workload.goals(results) },
        }
    }
}

/// A measurement with its most important statistics.
#[derive(Debug, Serialize)]
pub(crate) struct Statement {
    #[serde(flatten)]
    measurement: Measurement,
    median: f64,
    min: f64,
    max: f64,
}

impl From<Measurement> for Statement {
    fn from(measurement: Measurement) -> Self {
        let (median, min, max) = (measurement.median(), measurement.min(), measurement.max());
        Self { measurement, median, min, max }
    }
}

/// Writes both files into `folder`. `tables` has one entry per workload.
pub(crate) fn write(report: &Report, tables: &[table::Table], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs::write(folder.join("report.html"), page::render(report, tables)?)?;
    Ok(())
}
