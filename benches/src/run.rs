//! One measured run, from the options to the report.

use std::path::{Path, PathBuf};

use crate::args::RunArgs;
use crate::engines::{Engines, Skipped};
use crate::measure::{Measurement, Results};
use crate::report::table::Table;
use crate::report::{self, Report, WorkloadReport};
use crate::workload::{self, Options, Workload};
use crate::{Result, data, machine, noise};

const SMOKE_SCALE_FACTOR: f64 = 0.001;

/// Measures, writes the report and prints its summary. Returns whether all engines answered, and with equal answers.
pub(crate) fn run(args: &RunArgs) -> Result<bool> {
    let workloads = workload::select(&args.workloads)?;
    let options = options(args)?;
    let started = machine::utc_now();
    let folder = args.out.clone().unwrap_or_else(|| Path::new("bench-results").join(&started));
    if cfg!(debug_assertions) {
        println!("WARNING: this is a debug build; its numbers mean nothing");
    }
    if options.smoke {
        println!("WARNING: this is a smoke run of tiny sizes; its numbers mean nothing, and no goal is judged");
    }
    if options.quick {
        println!("a quick run: upsert, delete, lookup and mixed take a tenth of their rows");
    }
    let mut engines = Engines::prepare(&args.against, options.threads)?;
    let steps = noise::calibrate();
    let noise_before = noise::measure(steps);
    report::text::print_noise("before", &noise_before);
    let Measured { measurements, problems, skipped } = measure(&workloads, &mut engines, &options)?;
    let noise_after = noise::measure(steps);
    report::text::print_noise("after", &noise_after);
    let names = names(&workloads, &engines);
    let results = Results { measurements: &measurements, engines: &names };
    let tables: Vec<_> = workloads.iter().map(|workload| workload.table(results)).collect();
    let judged = workloads.iter().map(|workload| WorkloadReport::of(workload.as_ref(), results, &options)).collect();
    let report = Report {
        format: report::FORMAT,
        started,
        command: command(args, &workloads),
        machine: machine::describe(),
        versions: versions(&engines),
        engines: names,
        skipped: engines.skipped().iter().chain(&skipped).cloned().collect(),
        options,
        noise_before,
        noise_after,
        workloads: judged,
        measurements: measurements.into_iter().map(Into::into).collect(),
        problems,
    };
    finish(&report, &tables, &folder)?;
    Ok(report.problems.is_empty())
}

/// The results of all workloads.
#[derive(Default)]
struct Measured {
    measurements: Vec<Measurement>,
    problems: Vec<String>,
    skipped: Vec<Skipped>,
}

fn measure(workloads: &[Box<dyn Workload>], engines: &mut Engines, options: &Options) -> Result<Measured> {
    let mut measured = Measured::default();
    for workload in workloads {
        let name = workload.name();
        println!("{name}: {}", workload.describe());
        engines.choose(workload.engines());
        let outcome = workload.run(engines, options)?;
        let named = |measurement| Measurement { workload: name.to_owned(), ..measurement };
        measured.measurements.extend(outcome.measurements.into_iter().map(named));
        let problems = outcome.problems.into_iter().map(|problem| format!("{name}: {problem}"));
        measured.problems.extend(problems);
        measured.skipped.extend(outcome.skipped);
    }
    Ok(measured)
}

fn finish(report: &Report, tables: &[Table], folder: &Path) -> Result<()> {
    report::write(report, tables, folder)?;
    report::text::print(report, tables);
    println!("\nreport: {}", folder.join("report.html").display());
    Ok(())
}

fn options(args: &RunArgs) -> Result<Options> {
    let usual_rounds = match (args.smoke, args.quick) {
        (true, _) => 1,
        (_, true) => 3,
        _ => 5,
    };
    let rounds = args.rounds.unwrap_or(usual_rounds).max(1);
    let slow_rounds = if args.quick { 1 } else { rounds };
    Ok(Options {
        sf: scale_factor(args),
        threads: args.threads.unwrap_or_else(machine::cores).max(1),
        rounds,
        cold_rounds: slow_rounds,
        load_rounds: slow_rounds,
        quick: args.quick,
        smoke: args.smoke,
        data: data_folder(args)?,
    })
}

fn scale_factor(args: &RunArgs) -> f64 {
    if args.smoke { SMOKE_SCALE_FACTOR } else { args.sf }
}

fn data_folder(args: &RunArgs) -> Result<PathBuf> {
    let folder = args.data.clone().map_or_else(|| data::folder(scale_factor(args)), Ok)?;
    std::fs::create_dir_all(&folder)?;
    // Engines get absolute paths, because they need not share our working directory.
    Ok(std::path::absolute(folder)?)
}

/// Returns the engines that at least one of the workloads uses.
fn names(workloads: &[Box<dyn Workload>], engines: &Engines) -> Vec<String> {
    let wanted = |name: &str| workloads.iter().any(|workload| workload.engines().contains(&name));
    engines.all().iter().map(|engine| engine.name).filter(|name| wanted(name)).map(str::to_owned).collect()
}

fn versions(engines: &Engines) -> Vec<machine::Version> {
    let mut versions = machine::versions();
    let told = engines.all().iter().filter(|engine| ["duckdb", "sqlite"].contains(&engine.name));
    versions.extend(told.filter_map(|engine| Some(machine::version(engine.name, engine.version()?))));
    versions
}

/// Returns the command that repeats the run on another machine.
fn command(args: &RunArgs, workloads: &[Box<dyn Workload>]) -> String {
    let mut words = vec!["cargo xtask bench".to_owned()];
    words.extend(workloads.iter().map(|workload| workload.name().to_owned()));
    words.push(if args.smoke { "--smoke".to_owned() } else { format!("--sf {}", args.sf) });
    let peers: Vec<_> = args.against.iter().map(|peer| peer.name()).collect();
    words.push(format!("--against {}", peers.join(",")));
    words.extend(args.threads.map(|threads| format!("--threads {threads}")));
    words.extend(args.rounds.map(|rounds| format!("--rounds {rounds}")));
    words.extend(args.quick.then(|| "--quick".to_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    #[test]
    fn command_repeats_what_was_asked() {
        let args = Args::parse_from(["cayenne-bench", "tpch", "--sf", "0.1", "--quick", "--against", "duckdb,parquet"]);
        let workloads = workload::select(&args.run.workloads).unwrap();
        assert_eq!(command(&args.run, &workloads), "cargo xtask bench tpch --sf 0.1 --against duckdb,parquet --quick");
    }

    #[test]
    fn quick_runs_three_rounds_and_one_load() {
        let args = Args::parse_from(["cayenne-bench", "--quick"]);
        let options = options(&RunArgs { data: Some(std::env::temp_dir()), ..args.run }).unwrap();
        assert_eq!((options.rounds, options.cold_rounds, options.load_rounds), (3, 1, 1));
    }

    #[test]
    fn smoke_is_one_round_of_little_and_says_so() {
        let args = Args::parse_from(["cayenne-bench", "append", "--smoke", "--against", "sqlite"]);
        let options = options(&RunArgs { data: Some(std::env::temp_dir()), ..args.run.clone() }).unwrap();
        assert_eq!((options.rounds, options.load_rounds, options.smoke), (1, 1, true));
        assert!(options.sf < 0.01);
        let workloads = workload::select(&args.run.workloads).unwrap();
        assert_eq!(command(&args.run, &workloads), "cargo xtask bench append --smoke --against sqlite");
    }
}
