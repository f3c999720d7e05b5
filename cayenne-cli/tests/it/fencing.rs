//! A stopped writer keeps its table. A writer whose lock file was removed by hand can never write again.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::database::{Conversation, Database};
use crate::random::Random;
use crate::signals;

/// How long the second writer gets before the first one, which may be inside a transaction of the metastore, continues.
const PATIENCE: Duration = Duration::from_secs(1);
/// The latest stop of the first writer, in milliseconds after it was sent a statement.
const STOP_MS_MAX: u64 = 20;

struct Fencing {
    database: Database,
    random: Random,
    /// The ids in the table, by the statement that wrote them.
    ids: Vec<RangeInclusive<u64>>,
    next: u64,
    /// How often the write in progress was committed, was not committed, and had to end before the second writer could
    /// begin.
    outcomes: [u32; 3],
}

impl Fencing {
    fn new() -> Self {
        let database = Database::new();
        let made = "CREATE TABLE t AS SELECT CAST(0 AS BIGINT) AS id, 'first' AS name";
        database.ok(&["sql", "-c", made]);
        Self { database, random: Random::from_environment(), ids: vec![0..=0], next: 1, outcomes: [0; 3] }
    }

    /// Returns an insert of rows whose ids were never used before.
    fn insert(&mut self, rows: u64) -> (String, RangeInclusive<u64>) {
        let (first, last) = (self.next, self.next + rows - 1);
        self.next += rows;
        (format!("INSERT INTO t SELECT value, 'name ' || value FROM generate_series({first}, {last})"), first..=last)
    }

    /// Lets a writer insert without interference.
    fn insert_by(&mut self, writer: &mut Conversation) {
        let (statement, ids) = self.insert(3);
        assert_eq!(writer.say(&statement), "OK 3\n");
        self.ids.push(ids);
    }

    fn some_rows(&mut self) -> u64 {
        [1, 700, 3_000, 40_000][usize::try_from(self.random.below(4)).unwrap()]
    }

    fn count(&self) -> String {
        let rows: u64 = self.ids.iter().map(|ids| ids.end() - ids.start() + 1).sum();
        let sum: u64 = self.ids.iter().cloned().flatten().sum();
        format!("n,d,s\n{rows},{rows},{sum}\nOK 1\n")
    }

    /// Waits for the second writer, and continues the first one if the second one is blocked by it.
    fn answer_of(&mut self, second: &mut Conversation, first: &Conversation) -> String {
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| second.answer());
            let patience = Instant::now() + PATIENCE;
            while !answer.is_finished() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !answer.is_finished() {
                self.outcomes[2] += 1;
                signals::send("-CONT", first.process());
            }
            answer.join().unwrap()
        })
    }

    fn round(&mut self) {
        let mut first = self.database.converse(&[]);
        let mut second = self.database.converse(&[]);
        self.insert_by(&mut first);
        signals::stop(first.process());
        let epoch = self.assert_locked_by(&first, &mut second);
        signals::send("-CONT", first.process());

        let rows = self.some_rows();
        let (statement, under_way) = self.insert(rows);
        first.tell(&statement);
        std::thread::sleep(Duration::from_micros(self.random.below(STOP_MS_MAX * 1_000)));
        signals::stop(first.process());
        self.take_the_lock_away();
        let (statement, ids) = self.insert(2);
        second.tell(&statement);
        assert_eq!(self.answer_of(&mut second, &first), "OK 2\n");
        self.ids.push(ids);
        let was_whole = self.was_committed(&mut second, &under_way);
        self.outcomes[usize::from(!was_whole)] += 1;
        signals::send("-CONT", first.process());
        let answer = first.answer();
        let expected = if was_whole { format!("OK {rows}\n") } else { "ERR fenced ".to_owned() };
        assert!(answer.starts_with(&expected), "the write of {rows} rows is there: {was_whole}, but: {answer}");

        self.assert_fenced(&mut first, &mut second);
        first.end();
        let mut third = self.database.converse(&[]);
        assert!(self.assert_locked_by(&second, &mut third) > epoch);
        self.insert_by(&mut second);
        second.end();
        self.insert_by(&mut third);
        assert_eq!(third.say(COUNT), self.count());
    }

    /// Asserts that a writer is refused because of another one, and returns the epoch of the other one.
    fn assert_locked_by(&mut self, holder: &Conversation, refused: &mut Conversation) -> u64 {
        let rows = self.some_rows();
        let answer = refused.say(&self.insert(rows).0);
        let process = format!("process {} ", holder.process().id());
        for part in ["ERR table-locked ", "writer: ", &process, "since: 20", "/metadata/", ".lock", "epoch: "] {
            assert!(answer.contains(part), "{part:?} is missing: {answer}");
        }
        let epoch = answer.split("epoch: ").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
        epoch.parse().unwrap()
    }

    /// Removes or replaces the lock file of the table, as an operator could do by hand.
    fn take_the_lock_away(&mut self) {
        let id = self.database.describe("t")["id"].as_str().unwrap().to_owned();
        let lock = self.database.root().join("metadata").join(format!("{id}.lock"));
        if self.random.below(2) == 0 {
            std::fs::remove_file(lock).unwrap();
        } else {
            let other = self.database.write("other.lock", "");
            std::fs::rename(other, lock).unwrap();
        }
    }

    /// Returns whether the write in progress was committed. All of its rows must be in the table once, or none of them.
    fn was_committed(&mut self, reader: &mut Conversation, under_way: &RangeInclusive<u64>) -> bool {
        let found = reader.say(COUNT);
        let without = self.count();
        if found == without {
            return false;
        }
        self.ids.push(under_way.clone());
        assert_eq!(found, self.count(), "or {without}");
        true
    }

    /// Asserts that the first writer is refused for every statement, before and after commits of the second one.
    fn assert_fenced(&mut self, first: &mut Conversation, second: &mut Conversation) {
        for _ in 0..2 {
            let rows = self.some_rows();
            for statement in
                [&self.insert(rows).0, "TRUNCATE TABLE t", "INSERT OVERWRITE t SELECT 1, 'x'", "DROP TABLE t"]
            {
                let answer = first.say(statement);
                assert!(answer.starts_with("ERR fenced "), "{statement}: {answer}");
            }
            assert_eq!(second.say(COUNT), self.count());
            self.insert_by(second);
        }
    }
}

const COUNT: &str = "SELECT count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s FROM t";

#[test]
fn a_writer_whose_lock_was_taken_away_never_writes_again() {
    let rounds: u32 = std::env::var("CAYENNE_FENCINGS").map_or(10, |rounds| rounds.parse().unwrap());
    let mut fencing = Fencing::new();
    for _ in 0..rounds {
        fencing.round();
    }
    let [whole, refused, waited_for] = fencing.outcomes;
    println!("{rounds} rounds: {whole} writes were done before, {refused} refused, {waited_for} had to end first");
    let database = &fencing.database;
    database.ok(&["expire"]);
    database.ok(&["collect"]);
    database.assert_no_left_overs();
    database.ok(&["check", "--deep"]);
}
