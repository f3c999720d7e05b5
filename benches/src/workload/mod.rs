//! The workloads, one module each. A workload that is added here is on the command line and in the report.

mod append;
mod base;
mod churn;
mod compare;
mod delete;
mod flushes;
mod load;
mod lookup;
mod mixed;
mod open;
mod queries;
mod scan;
mod tpch;
mod upsert;

use std::path::PathBuf;

use serde::Serialize;

use crate::Result;
use crate::engines::{CAYENNE, Engines};
use crate::measure::{Outcome, Results};
use crate::report::goal::Goal;
use crate::report::table::Table;

/// The parameters of a run. They are the same for every workload and engine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Options {
    pub(crate) sf: f64,
    pub(crate) threads: usize,
    /// Measured rounds of warm queries.
    pub(crate) rounds: usize,
    /// Fresh processes for each cold query.
    pub(crate) cold_rounds: usize,
    /// How often all tables are loaded.
    pub(crate) load_rounds: usize,
    /// Whether the keyed workloads use a tenth of their rows.
    pub(crate) quick: bool,
    /// Whether all sizes are tiny, to check only that the benchmark runs.
    pub(crate) smoke: bool,
    /// Folder of the generated Parquet files. It is a path of this machine, so it is not in the report.
    #[serde(skip)]
    pub(crate) data: PathBuf,
}

impl Options {
    /// Returns the scale factor of the keyed workloads.
    fn keyed_sf(&self) -> f64 {
        self.sized(self.sf, self.sf / 10.0, self.sf)
    }

    /// Returns the folder of the tables of the keyed workloads.
    fn keyed_data(&self) -> PathBuf {
        self.sized(self.data.clone(), self.data.join("tenth"), self.data.clone())
    }

    /// Returns the size that applies to this run.
    pub(crate) fn sized<T>(&self, full: T, quick: T, smoke: T) -> T {
        match (self.smoke, self.quick) {
            (true, _) => smoke,
            (_, true) => quick,
            _ => full,
        }
    }
}

/// A workload, measured on one engine after the other.
pub(crate) trait Workload {
    /// The name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// One sentence for the report: what is measured, and under which conditions.
    fn describe(&self) -> &'static str;

    /// The engines that support the workload. The others are left out.
    fn engines(&self) -> &'static [&'static str];

    /// Measures all engines. A failure of one engine is a problem in the outcome, and does not end the run.
    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome>;

    /// Returns the rows that the report shows for this workload.
    fn table(&self, results: Results<'_>) -> Table;

    /// Judges the results against the goals of the project.
    fn goals(&self, results: Results<'_>) -> Vec<Goal>;
}

/// The engines that answer analytical queries in reasonable time.
const QUERY_ENGINES: &[&str] = &[CAYENNE, "parquet", "duckdb"];

/// Returns all workloads in the order in which they run.
pub(crate) fn all() -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(tpch::Tpch),
        Box::new(open::Open),
        Box::new(append::Append),
        Box::new(upsert::Upsert),
        Box::new(delete::Delete),
        Box::new(lookup::Lookup),
        Box::new(mixed::Mixed),
        Box::new(churn::Churn),
    ]
}

/// Returns the workloads with these names, or all if `names` is empty.
pub(crate) fn select(names: &[String]) -> Result<Vec<Box<dyn Workload>>> {
    let known: Vec<_> = all().iter().map(|workload| workload.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no workload is called `{unknown}`; there are {}", known.join(", ")).into());
    }
    let chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    Ok(all().into_iter().filter(|workload| chosen(workload.name())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_workload_is_refused_with_the_known_ones() {
        let error = select(&["tpcds".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("tpcds") && error.contains("tpch, open, append"), "{error}");
    }

    #[test]
    fn no_name_selects_all() {
        assert_eq!(select(&[]).unwrap().len(), all().len());
        assert_eq!(select(&["open".to_owned()]).unwrap().len(), 1);
    }
}
