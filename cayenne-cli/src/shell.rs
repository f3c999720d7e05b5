//! The interactive shell: a line editor, multi-line statements, and a few commands.

use std::io::IsTerminal;
use std::path::PathBuf;

use cayenne_format::{Error, Result};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use crate::args::{DescribeArgs, SqlArgs};
use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, duration};
use crate::signals::Signals;
use crate::sql::run_text;
use crate::statement_reader::StatementReader;
use crate::stopwatch::Stopwatch;
use crate::terminal::{Terminal, complain};
use crate::{describe, report_error, tables};

/// The number of lines that the history keeps.
const HISTORY_LINES: usize = 10_000;
/// The number of data files that `\d TABLE` lists.
const FILES_LISTED: usize = 5;

const HELP: &str = "\\d          list the tables and views\n\\d NAME     describe a table or a view\n\\timing     show or hide times\n\\x          a line for each value, or for each row again\n\\q          leave; Ctrl-D does too\nEverything else is SQL and ends with a semicolon. Ctrl-C cancels a query.\n";

/// Returns whether to start the shell: stdin is a terminal, and the command line has neither statements nor
/// `--acknowledge`.
pub(crate) fn is_wanted(args: &SqlArgs) -> bool {
    args.inputs.0.is_empty() && !args.acknowledge && std::io::stdin().is_terminal()
}

/// Reads and runs statements until the end of the input or `\q`.
pub(crate) async fn run(engine: &Engine, terminal: &mut Terminal) -> Result<u8, Failure> {
    terminal.note(&format!("cayenne {}; \\? for help, \\q to leave", env!("CARGO_PKG_VERSION")));
    let mut editor = Editor::open()?;
    let mut shell = Shell { engine, terminal, signals: Signals::listen()?, timing: true };
    let mut reader = StatementReader::default();
    loop {
        let prompt = if reader.is_pending() { "      -> " } else { "cayenne> " };
        match editor.read_line(prompt).await {
            Ok(line) if !reader.is_pending() && line.trim_start().starts_with('\\') => {
                if shell.run_command(line.trim()).await? {
                    break;
                }
            }
            Ok(line) => {
                reader.push(line.as_bytes());
                reader.push(b"\n");
                shell.run_statements(&mut reader).await?;
            }
            Err(ReadlineError::Interrupted) => reader.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Error::unavailable("cannot read from the terminal").because(error).into()),
        }
    }
    editor.close();
    Ok(exit::OK)
}

struct Shell<'a> {
    engine: &'a Engine,
    terminal: &'a mut Terminal,
    signals: Signals,
    timing: bool,
}

impl Shell<'_> {
    /// Runs a command that begins with a backslash. Returns whether to leave the shell.
    async fn run_command(&mut self, line: &str) -> Result<bool, Failure> {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or_default();
        let name = words.collect::<Vec<_>>().join(" ");
        let database = &self.engine.database;
        let done = match command {
            "\\q" => return Ok(true),
            "\\?" => self.terminal.write(HELP.as_bytes()).and_then(|()| self.terminal.flush()),
            "\\timing" => {
                self.timing = !self.timing;
                self.terminal.note(if self.timing { "timing is on" } else { "timing is off" });
                Ok(())
            }
            "\\x" => {
                let is_expanded = !self.terminal.is_expanded;
                self.terminal.is_expanded = is_expanded;
                self.terminal.note(if is_expanded { "a line for each value" } else { "a line for each row" });
                Ok(())
            }
            "\\d" if name.is_empty() => tables::run(database, self.terminal).await.map(drop),
            "\\d" => {
                let table = name.trim_end_matches(';').trim_matches('"').to_owned();
                let args = DescribeArgs { table, json: false, files: FILES_LISTED };
                describe::run(database, &args, self.terminal).await.map(drop)
            }
            other => {
                Err(Error::invalid("unknown command").with("command", other).help("\\? lists the commands").into())
            }
        };
        Self::survive(done)?;
        Ok(false)
    }

    async fn run_statements(&mut self, reader: &mut StatementReader) -> Result<(), Failure> {
        while let Some(text) = reader.next(cayenne_datafusion::dialect(&self.engine.session).as_ref()) {
            let done = match text {
                Ok(text) => self.run_statement(&text).await,
                Err(error) => Err(error.into()),
            };
            if done.is_err() {
                // Later statements on the line assumed that this one would succeed.
                reader.clear();
            }
            Self::survive(done)?;
        }
        Ok(())
    }

    async fn run_statement(&mut self, text: &str) -> Result<(), Failure> {
        let time = Stopwatch::start();
        let rows = tokio::select! {
            rows = run_text(&self.engine.session, text, self.terminal, false) => rows?,
            () = self.signals.interrupt() => {
                self.terminal.note("cancelled");
                return Ok(());
            }
        };
        if let Some(rows) = rows {
            let rows = counted(rows, "row");
            let time = if self.timing { format!(", {}", duration(time.elapsed())) } else { String::new() };
            self.terminal.note(&format!("({rows}{time})"));
        }
        Ok(())
    }

    /// Reports an error and continues. Only a closed output ends the shell.
    fn survive(done: Result<(), Failure>) -> Result<(), Failure> {
        match done {
            Err(Failure::Error(error)) => {
                complain(&report_error::block(&error));
                Ok(())
            }
            other => other,
        }
    }
}

/// A line editor that waits on its own thread, so that signals are handled meanwhile.
struct Editor {
    editor: Option<DefaultEditor>,
    history: Option<PathBuf>,
}

impl Editor {
    fn open() -> Result<Self> {
        let failed = |error| Error::unavailable("cannot use the terminal").because(error);
        let config = Config::builder().max_history_size(HISTORY_LINES).map_err(failed)?.build();
        let mut editor = DefaultEditor::with_config(config).map_err(failed)?;
        let history = history_file();
        if let Some(path) = &history {
            // At the first start there is no history file.
            editor.load_history(path).ok();
        }
        Ok(Self { editor: Some(editor), history })
    }

    async fn read_line(&mut self, prompt: &'static str) -> std::result::Result<String, ReadlineError> {
        let Some(mut editor) = self.editor.take() else { return Err(ReadlineError::Eof) };
        #[expect(clippy::disallowed_methods, reason = "the thread ends with the line, and the process with the shell")]
        let line = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            if let Ok(line) = &line
                && !line.trim().is_empty()
            {
                editor.add_history_entry(line).ok();
            }
            (editor, line)
        });
        match line.await {
            Ok((editor, line)) => {
                self.editor = Some(editor);
                line
            }
            Err(error) => Err(ReadlineError::Io(std::io::Error::other(error))),
        }
    }

    /// Saves the history. A failure is ignored, since the shell works without one.
    fn close(&mut self) {
        if let (Some(editor), Some(path)) = (&mut self.editor, &self.history) {
            if let Some(folder) = path.parent() {
                #[expect(clippy::disallowed_methods, reason = "the history is the user's and no part of a database")]
                std::fs::create_dir_all(folder).ok();
            }
            editor.save_history(path).ok();
        }
    }
}

/// Returns the path of the history file, following the XDG base directories.
fn history_file() -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")))?;
    Some(data.join("cayenne").join("history"))
}
