//! The `cayenne` command: loads files into tables, runs SQL on them, and maintains the database.
//!
//! It only parses and prints. Everything that a program needs is in the libraries.

mod acknowledge;
mod allocator;
mod args;
mod check;
mod collect;
mod compact;
mod describe;
mod engine;
mod escape;
mod exit;
mod expanded;
mod fault;
mod figures;
mod listing;
mod load;
mod output;
mod progress;
mod recover;
mod report_error;
mod shell;
mod signals;
mod slice;
mod source_help;
mod source_reader;
mod source_schema;
mod sources;
mod sql;
mod statement_reader;
mod stopwatch;
mod tables;
mod terminal;
mod text_args;
mod upkeep;
mod views;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command, Globals};
use crate::engine::{Interrupts, with_engine};
use crate::exit::Failure;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    allocator::use_small_pages();
    let Cli { mut globals, command } = Cli::parse();
    globals.has_upkeep = matches!(command, Command::Sql(_));
    terminal::log_to_stderr(globals.verbosity());
    fault::log_panics();
    let mut terminal = Terminal::new(globals.format, globals.quiet);
    let done = run(&globals, command, &mut terminal).and_then(|code| terminal.flush().map(|()| code));
    ExitCode::from(done.unwrap_or_else(|failure| failure.report()))
}

fn run(globals: &Globals, command: Command, terminal: &mut Terminal) -> Result<u8, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cayenne", &mut script);
            terminal.write(&script)?;
            Ok(exit::OK)
        }
        Command::Version => {
            let engine = datafusion::DATAFUSION_VERSION;
            terminal.write(format!("cayenne {} (DataFusion {engine})\n", env!("CARGO_PKG_VERSION")).as_bytes())?;
            Ok(exit::OK)
        }
        command => {
            let runtime = engine::runtime(globals)?;
            let done = runtime.block_on(with_database(globals, command, terminal));
            // A thread may still wait for a line of stdin; nothing else runs.
            runtime.shutdown_background();
            done
        }
    }
}

async fn with_database(globals: &Globals, command: Command, terminal: &mut Terminal) -> Result<u8, Failure> {
    use cayenne_table::Access::{ReadOnly, ReadWrite};
    let stops = Interrupts::Stop;
    match command {
        Command::Load(args) => {
            with_engine(globals, ReadWrite, stops, async |engine| load::run(engine, &args, terminal).await).await
        }
        Command::Sql(args) => {
            let access = if args.read_only { ReadOnly } else { ReadWrite };
            if shell::is_wanted(&args) {
                let shell = async |engine: &_| shell::run(engine, terminal).await;
                return with_engine(globals, access, Interrupts::CancelTheQuery, shell).await;
            }
            with_engine(globals, access, stops, async |engine| sql::run(engine, &args, terminal).await).await
        }
        Command::Tables => {
            with_engine(globals, ReadOnly, stops, async |engine| tables::run(&engine.database, terminal).await).await
        }
        Command::Describe(args) => {
            let describe = async |engine: &engine::Engine| describe::run(&engine.database, &args, terminal).await;
            with_engine(globals, ReadOnly, stops, describe).await
        }
        Command::Check { deep } => {
            with_engine(globals, ReadOnly, stops, async |engine| check::run(engine, deep, terminal).await).await
        }
        Command::Repair { deep, dry_run } => {
            engine::refuse_missing(globals)?;
            let repair = async |engine: &engine::Engine| check::repair(engine, deep, !dry_run, terminal).await;
            with_engine(globals, ReadWrite, stops, repair).await
        }
        Command::Recover { from_manifest: _, dry_run } => recover::run(globals, dry_run, terminal).await,
        Command::Export { table, to } => {
            let export = async |engine: &engine::Engine| slice::export(engine, &table, &to, terminal).await;
            with_engine(globals, ReadOnly, stops, export).await
        }
        Command::Import(args) => {
            with_engine(globals, ReadWrite, stops, async |engine| slice::import(engine, &args, terminal).await).await
        }
        Command::Collect { dry_run } => {
            engine::refuse_missing(globals)?;
            with_engine(globals, ReadWrite, stops, async |engine| collect::run(engine, !dry_run, terminal).await).await
        }
        Command::Flush { tables } => {
            engine::refuse_missing(globals)?;
            with_engine(globals, ReadWrite, stops, async |engine| upkeep::flush(engine, &tables, terminal).await).await
        }
        Command::Compact(args) => {
            engine::refuse_missing(globals)?;
            let access = if args.why || args.dry_run { ReadOnly } else { ReadWrite };
            with_engine(globals, access, stops, async |engine| compact::run(engine, &args, terminal).await).await
        }
        Command::Expire(args) => {
            engine::refuse_missing(globals)?;
            with_engine(globals, ReadWrite, stops, async |engine| upkeep::expire(engine, &args, terminal).await).await
        }
        Command::Completions { .. } | Command::Version => Ok(exit::OK),
    }
}
