//! A writer that stands still keeps its table; one whose lock was taken away by hand can never write again.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::database::{Conversation, Database};
use crate::random::Random;
use crate::signals;

/// How long a second writer is given before the first one, which may be in a transaction of the metastore, goes on.
const PATIENCE: Duration = Duration::from_secs(1);
/// Within this time after it was told something, the first writer is stopped.
const STOP_MS_MAX: u64 = 20;

struct Fencing {
    database: Database,
    random: Random,
    /// The ids that the table holds, by what wrote them.
    ids: Vec<RangeInclusive<u64>>,
    next: u64,
    /// How often the write under way was there, was not there, and had to end before the other one could begin.
    outcomes: [u32; 3],
}

impl Fencing {
    fn new() -> Self {
        let database = Database::new();
        let made = "CREATE TABLE t AS SELECT CAST(0 AS BIGINT) AS id, 'first' AS name";
        database.ok(&["sql", "-c", made]);
        Self { database, random: Random::from_environment(), ids: vec![0..=0], next: 1, outcomes: [0; 3] }
    }

    /// An insert of rows with ids that were never used before.
    fn insert(&mut self, rows: u64) -> (String, RangeInclusive<u64>) {
        let (first, last) = (self.next, self.next + rows - 1);
        self.next += rows;
        (format!("INSERT INTO t SELECT value, 'name ' || value FROM generate_series({first}, {last})"), first..=last)
    }

    /// Lets a writer insert something that nobody hinders.
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

    /// Waits for the second writer, and lets the first one go on if the second one waits for it.
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

    /// Asserts that a writer is refused because of another one, and returns the epoch of that one.
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

    /// What an operator does by hand: removes the lock file of the table, or puts another one in its place.
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

    /// Says whether the write that was under way is in the table, all of it and once; else nothing of it may be.
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

    /// Asserts that the first writer is refused whatever it tries, before and after commits of the second one.
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
