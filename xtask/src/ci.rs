//! Everything that CI runs, cheapest first, so that a mistake shows as early as it can.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cargo::Cargo;
use crate::disk;
use crate::duckdb;
use crate::failure::{Failure, Result};
use crate::tidy;

#[derive(clap::Args)]
pub(crate) struct TestArgs {
    /// Run only these steps, in their usual order
    #[arg(long, value_enum, value_name = "STEP", num_args = 1.., value_delimiter = ',')]
    only: Vec<Step>,
    /// Name the steps and what each runs, and run none
    #[arg(long)]
    list: bool,
}

/// One thing CI runs. The order of the variants is the order of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Clippy,
    Tidy,
    Doc,
    Test,
    Doctest,
    Deny,
    Machete,
}

/// What a step comes to on this machine.
#[derive(Debug, PartialEq)]
enum Plan {
    /// The house rules, inside this process.
    Tidy,
    /// `cargo` with these arguments and, before them, these variables.
    Cargo { variables: &'static [(&'static str, &'static str)], args: &'static [&'static str] },
    /// A step that needs a tool this machine lacks.
    Skipped { tool: &'static str },
}

impl Step {
    /// Decides what the step comes to, given which cargo subcommands are installed.
    fn plan(self, installed: impl Fn(&str) -> bool) -> Plan {
        match self {
            Self::Fmt => Plan::cargo(&["fmt", "--all", "--check"]),
            Self::Clippy => Plan::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
            Self::Tidy => Plan::Tidy,
            Self::Doc => Plan::Cargo {
                variables: &[("RUSTDOCFLAGS", "-D warnings")],
                args: &["doc", "--workspace", "--no-deps", "--document-private-items"],
            },
            Self::Test if installed("nextest") => Plan::cargo(&["nextest", "run", "--workspace"]),
            Self::Test => Plan::cargo(&["test", "--workspace", "--all-targets"]),
            Self::Doctest => Plan::cargo(&["test", "--workspace", "--doc"]),
            Self::Deny if installed("deny") => Plan::cargo(&["deny", "check"]),
            Self::Deny => Plan::Skipped { tool: "cargo-deny" },
            Self::Machete if installed("machete") => Plan::cargo(&["machete"]),
            Self::Machete => Plan::Skipped { tool: "cargo-machete" },
        }
    }

    /// The name the step has on the command line.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Plan {
    fn cargo(args: &'static [&'static str]) -> Self {
        Self::Cargo { variables: &[], args }
    }

    /// What a person would type to run this alone.
    fn command_line(&self) -> String {
        match self {
            Self::Tidy => "cargo xtask tidy".to_owned(),
            Self::Skipped { tool } => format!("skipped: {tool} is not installed"),
            Self::Cargo { variables, args } => {
                let variables = variables.iter().map(|(name, value)| format!("{name}=\"{value}\""));
                let words = variables.chain(["cargo".to_owned(), args.join(" ")]);
                words.collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn run(&self, cargo: &Cargo) -> Result<()> {
        match self {
            Self::Tidy => tidy::run(cargo),
            Self::Skipped { .. } => Ok(()),
            Self::Cargo { variables, args } => {
                let status = cargo.command().envs(variables.iter().copied()).args(*args).status();
                match status {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(Failure::new(format!("it ended with {status}"))),
                    Err(error) => Err(Failure::new(format!("it could not be started: {error}"))),
                }
            }
        }
    }
}

/// A step that was run, or that was skipped for want of a tool.
struct Done {
    step: Step,
    plan: Plan,
    took: Duration,
}

/// Runs the steps, and prints what each took whether they all passed or not.
pub(crate) fn run(cargo: &Cargo, args: &TestArgs) -> Result<()> {
    let steps = chosen(&args.only);
    if args.list {
        for step in steps {
            println!("{:<8} {}", step.name(), step.plan(|tool| cargo.has_subcommand(tool)).command_line());
        }
        return Ok(());
    }
    let mut done = Vec::new();
    let outcome = steps.into_iter().try_for_each(|step| run_step(cargo, step, &mut done));
    print_table(cargo, &done);
    outcome
}

/// All steps, or those named, in the order of the run and each once.
fn chosen(only: &[Step]) -> Vec<Step> {
    Step::value_variants().iter().copied().filter(|step| only.is_empty() || only.contains(step)).collect()
}

fn run_step(cargo: &Cargo, step: Step, done: &mut Vec<Done>) -> Result<()> {
    let name = step.name();
    let plan = step.plan(|tool| cargo.has_subcommand(tool));
    println!("\n=== {name}: {}", plan.command_line());
    if step == Step::Test && !plan.command_line().contains("nextest") {
        println!("=== {name}: cargo-nextest is not installed, so the runner of the toolchain is used");
    }
    if step == Step::Test
        && let Err(failure) = duckdb::install()
    {
        println!("=== {name}: answers are not compared with DuckDB's: {failure}");
    }
    let start = Instant::now();
    let outcome = plan.run(cargo);
    let took = start.elapsed();
    let command = plan.command_line();
    done.push(Done { step, plan, took });
    match outcome {
        Ok(()) => {
            println!("=== {name}: {:.1} s", took.as_secs_f64());
            Ok(())
        }
        Err(failure) => {
            println!("=== {name}: FAILED after {:.1} s", took.as_secs_f64());
            Err(Failure::new(format!(
                "step {name} failed ({failure})\n  repeat it with: cargo xtask test --only {name}\n  or directly:    {command}"
            )))
        }
    }
}

fn print_table(cargo: &Cargo, done: &[Done]) {
    println!("\n{:<8} {:>8}", "step", "seconds");
    for Done { step, plan, took } in done {
        match plan {
            Plan::Skipped { .. } => println!("{:<8} {:>8}  {}", step.name(), "-", plan.command_line().to_uppercase()),
            _ => println!("{:<8} {:>8.1}", step.name(), took.as_secs_f64()),
        }
    }
    let total: Duration = done.iter().map(|done| done.took).sum();
    println!("{:<8} {:>8.1}", "total", total.as_secs_f64());
    let folder = cargo.target_dir();
    match disk::folder_bytes(folder) {
        Ok(bytes) => println!("target folder: {}, {}", folder.display(), disk::human_bytes(bytes)),
        Err(failure) => println!("target folder: {failure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_everything(_tool: &str) -> bool {
        true
    }

    fn with_nothing(_tool: &str) -> bool {
        false
    }

    #[test]
    fn without_arguments_every_step_runs_cheapest_first() {
        let steps = chosen(&[]);
        assert_eq!(steps.len(), Step::value_variants().len());
        assert_eq!(steps.first(), Some(&Step::Fmt));
    }

    #[test]
    fn named_steps_run_once_in_their_usual_order() {
        assert_eq!(chosen(&[Step::Doc, Step::Fmt, Step::Doc]), [Step::Fmt, Step::Doc]);
    }

    #[test]
    fn tests_run_with_only_a_toolchain() {
        assert_eq!(Step::Test.plan(with_everything).command_line(), "cargo nextest run --workspace");
        assert_eq!(Step::Test.plan(with_nothing).command_line(), "cargo test --workspace --all-targets");
    }

    #[test]
    fn only_the_checks_of_dependencies_may_be_skipped() {
        let skipped = |step: &&Step| matches!(step.plan(with_nothing), Plan::Skipped { .. });
        let skipped: Vec<_> = Step::value_variants().iter().filter(skipped).collect();
        assert_eq!(skipped, [&Step::Deny, &Step::Machete]);
        assert!(!Step::value_variants().iter().any(|step| matches!(step.plan(with_everything), Plan::Skipped { .. })));
    }

    #[test]
    fn command_line_can_be_pasted() {
        let doc = Step::Doc.plan(with_everything).command_line();
        assert_eq!(doc, "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --document-private-items");
    }
}
