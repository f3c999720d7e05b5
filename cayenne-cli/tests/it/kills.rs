//! Processes that are killed during a write: the table is as before or as after the write, and no file is left over.

use std::process::Stdio;
use std::time::Duration;

use crate::database::Database;
use crate::random::Random;
use crate::writers::{self, End, Judge, Writers};

/// The latest kill, in milliseconds after the start.
const DEATH_MS_MAX: u64 = 150;
/// The most acknowledgements of a process with several writers before it is killed.
const ACTS_MAX: u64 = 60;
/// Above this many rows the table is replaced or truncated and no longer appended to.
const ROWS_MAX: u64 = 250_000;

/// The result of `SELECT count(*), sum(id)` on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    rows: u64,
    sum: u64,
}

impl State {
    const EMPTY: Self = Self { rows: 0, sum: 0 };

    fn of(database: &Database) -> Self {
        let answer = database.query("SELECT count(*), coalesce(sum(id), 0) FROM t");
        let (rows, sum) = answer.trim().split_once(',').unwrap();
        Self { rows: rows.parse().unwrap(), sum: sum.parse().unwrap() }
    }

    fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum + other.sum }
    }
}

/// Writes a source file. Its number of rows and its sum differ from those of every other.
fn source(database: &Database, number: u64) -> (String, State) {
    let rows = 10_000 + 5_000 * number;
    let ids = number * 1_000_000..number * 1_000_000 + rows;
    let lines: Vec<String> = ids.clone().map(|id| format!("{id},name {id}")).collect();
    let path = database.write(&format!("s{number}.csv"), format!("id,name\n{}\n", lines.join("\n")));
    (path, State { rows, sum: ids.sum() })
}

struct Torture {
    database: Database,
    sources: Vec<(String, State)>,
    random: Random,
    state: State,
    /// Kills before the commit, kills after it, and processes that ended before they could be killed.
    outcomes: [u32; 3],
    /// Kills that left files behind.
    left_over: u32,
}

impl Torture {
    fn new() -> Self {
        let database = Database::new();
        let sources: Vec<_> = (1..5).map(|number| source(&database, number)).collect();
        let (first, state) = &sources[0];
        database.ok(&["load", first, "--into", "t"]);
        let state = *state;
        Self { database, sources, random: Random::from_environment(), state, outcomes: [0; 3], left_over: 0 }
    }

    fn round(&mut self) {
        let choice = self.random.below(self.sources.len() as u64);
        let (path, rows) = self.sources[usize::try_from(choice).unwrap()].clone();
        // A different default makes it a different table each time.
        let other = self.random.below(1_000_000);
        let replaced = format!(
            "CREATE OR REPLACE TABLE t (id BIGINT DEFAULT {other}, name VARCHAR) AS SELECT id + 1, name FROM t"
        );
        let one_more = State { rows: self.state.rows, sum: self.state.sum + self.state.rows };
        let (args, after): (Vec<&str>, State) = match self.random.below(6) {
            5 => (vec!["sql", "-c", &replaced], one_more),
            0 => (vec!["sql", "-c", "TRUNCATE TABLE t"], State::EMPTY),
            1 | 2 if self.state.rows < ROWS_MAX => {
                (vec!["load", &path, "--into", "t", "--append"], self.state.and(rows))
            }
            _ => (vec!["load", &path, "--into", "t", "--replace"], rows),
        };
        let delay = Duration::from_micros(self.random.below(DEATH_MS_MAX * 1_000));
        let ended_well = self.run_and_kill(&args, delay);
        let found = State::of(&self.database);
        let allowed = if ended_well { vec![after] } else { vec![self.state, after] };
        assert!(allowed.contains(&found), "{args:?} killed after {delay:?}: {found:?} is none of {allowed:?}");
        let outcome = if ended_well { 2 } else { usize::from(found == after) };
        self.outcomes[outcome] += 1;
        self.state = found;
        self.database.ok(&["--quiet", "expire"]);
        let collected = self.database.ok(&["--quiet", "--format", "ndjson", "collect"]);
        self.left_over += u32::from(!collected.is_empty());
        self.database.assert_no_left_overs();
    }

    /// Returns whether the process ended by itself, with success.
    fn run_and_kill(&self, args: &[&str], delay: Duration) -> bool {
        let mut command = self.database.command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let killed = output.status.code().is_none();
        assert!(killed || output.status.success(), "{args:?}: {output:?}");
        !killed
    }
}

/// The number of kills of each test: half of the total.
fn kills() -> u64 {
    std::env::var("CAYENNE_KILLS").map_or(100, |kills| kills.parse().unwrap()) / 2
}

#[test]
fn a_killed_write_is_whole_or_not_there() {
    let kills = kills();
    let mut torture = Torture::new();
    for _ in 0..kills {
        torture.round();
    }
    let [before, after, survived] = torture.outcomes;
    println!("{kills} rounds: {before} left the table as it was, {after} killed after the commit, {survived} too fast");
    println!("{} deaths left files over, which were collected", torture.left_over);
    let check = torture.database.run(&["check", "--deep"]);
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn a_killed_process_keeps_what_it_acknowledged_in_every_table() {
    let (database, mut random) = (Database::new(), Random::from_environment());
    writers::create_tables(&database);
    let seed = random.seed();
    let mut judge = Judge::new(seed);
    let mut acts = 0;
    for life in 0..kills() {
        let mut writers = Writers::start(&database.root(), seed, life, writers::FULL);
        // Sometimes it is killed before it has opened the database.
        for _ in 0..random.below(ACTS_MAX) {
            assert!(writers.wait());
        }
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        let acknowledged = writers.kill();
        acts += acknowledged.iter().sum::<usize>();
        judge.judge(&database, life, acknowledged, End::Suddenly).unwrap();
    }
    println!("{} kills after {acts} acknowledged acts", kills());
    let check = database.run(&["check", "--deep"]);
    assert_eq!(check.code, Some(0), "{check:?}");
}
