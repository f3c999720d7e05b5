//! Processes that are killed while they change tables with primary keys. Acknowledged statements are there completely,
//! the statement in progress completely or not at all, and each key has one row.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::database::{Conversation, Database};
use crate::keyed_acts::{Act, Content, KeyedTable, keys};
use crate::random::Random;

/// One process writes each of these tables. Small limits that differ between them exercise every way to store rows.
const TABLES: [KeyedTable; 4] = [
    KeyedTable { name: "x", key: &["a"], options: "'inline_flush_max_segments' '4'" },
    KeyedTable { name: "y", key: &["b"], options: "'inline_max_rows' '0', 'compression_strategy' 'zstd'" },
    KeyedTable { name: "w", key: &["a"], options: "'deletion_mode' 'key', 'inline_flush_max_segments' '9'" },
    KeyedTable { name: "z", key: &["b", "a"], options: "'inline_max_rows' '50', 'inline_flush_max_rows' '150'" },
];
/// The latest kill, in milliseconds after the start.
const DEATH_MS_MAX: u64 = 900;
/// More statements than a process can complete before it is killed.
const ACTS: usize = 60;

/// What happened to the processes.
#[derive(Debug, Default)]
struct Outcomes {
    kills: u64,
    acknowledged: u64,
    /// How often a statement in progress had been applied without an acknowledgement.
    done: u64,
    /// Statements that were refused because they would have given two rows one key.
    refused: u64,
    /// Statements that were refused while another process collected orphan files.
    locked_out: u64,
}

struct Torture {
    database: Database,
    random: Random,
    contents: [Content; TABLES.len()],
    outcomes: Outcomes,
}

impl Torture {
    fn new() -> Self {
        let database = Database::new();
        let root = database.root();
        for KeyedTable { name, key, options } in TABLES {
            let columns = format!("(a BIGINT, b VARCHAR, v BIGINT, PRIMARY KEY ({}))", key.join(", "));
            let place = format!("STORED AS CAYENNE LOCATION '{}' OPTIONS ({options})", root.display());
            database.ok(&["sql", "-c", &format!("CREATE EXTERNAL TABLE {name} {columns} {place}")]);
        }
        let random = Random::from_environment();
        Self { database, random, contents: Default::default(), outcomes: Outcomes::default() }
    }

    /// Starts a process with random options, and sends it more statements than it will complete.
    fn start(&mut self, table: &KeyedTable) -> (Vec<Act>, Conversation) {
        let threads = (1 + self.random.below(4)).to_string();
        let durability = ["full", "relaxed"][usize::from(self.random.below(2) == 0)];
        let mut options = vec!["--durability", durability, "--threads", &threads];
        if self.random.below(3) == 0 {
            options.extend(["--memory-limit", "256MiB"]);
        }
        let mut process = self.database.converse(&options);
        let acts: Vec<_> = (0..ACTS).map(|_| Act::draw(&mut self.random)).collect();
        for act in &acts {
            process.tell(&act.text(table));
        }
        (acts, process)
    }

    fn round(&mut self) {
        let started = TABLES.map(|table| self.start(&table));
        std::thread::sleep(Duration::from_micros(self.random.below(DEATH_MS_MAX * 1_000)));
        let found = started.map(|(acts, process)| (acts, process.kill()));
        let mut queries = self.database.converse(&["--read-only"]);
        for (place, (acts, answers)) in found.iter().enumerate() {
            let found = content_of(&TABLES[place], &mut queries);
            self.judge(place, acts, answers, &found);
            self.look_up(place, &mut queries);
        }
        assert_eq!(queries.end(), Some(0));
        let check = self.database.run(&["check", "--deep"]);
        assert_eq!(check.code, Some(0), "{check:?}");
        if self.random.below(4) == 0 {
            self.look_after();
        }
    }

    /// Compares the answers and the content with the effect of the acknowledged statements, and at most of the next
    /// one.
    fn judge(&mut self, place: usize, acts: &[Act], answers: &str, found: &Content) {
        let content = &mut self.contents[place];
        let is_answer = |line: &&str| line.starts_with("OK ") || line.starts_with("ERR ");
        let (mut answered, mut is_writer) = (0, false);
        for (act, answer) in acts.iter().zip(answers.split_inclusive('\n').filter(is_answer)) {
            answered += 1;
            if !is_writer && answer.starts_with("ERR table-locked ") {
                // Another process collects orphan files and briefly locks all tables.
                self.outcomes.locked_out += 1;
                continue;
            }
            let is_refused = !act.apply(content);
            assert!(answer.ends_with('\n') && answer.starts_with(expected(is_refused)), "{act:?}: {answer}");
            self.outcomes.refused += u64::from(is_refused);
            is_writer |= act.adds_rows();
        }
        self.outcomes.kills += 1;
        self.outcomes.acknowledged += answered as u64;
        if found == content {
            return;
        }
        let next = acts.get(answered);
        let before = content.clone();
        next.map(|act| act.apply(content));
        self.outcomes.done += 1;
        let name = TABLES[place].name;
        assert!(
            found == content,
            "table {name}: after {answered} acts, then {next:?}:\nfound, not before: {:?}\nfound, not after: {:?}\nafter, not found: {:?}",
            difference(found, &before),
            difference(found, content),
            difference(content, found),
        );
    }

    /// Asserts that a lookup by keys, without a scan, finds the same rows as a scan.
    fn look_up(&mut self, place: usize, queries: &mut Conversation) {
        let keys = keys(&mut self.random);
        let KeyedTable { name, .. } = TABLES[place];
        let found =
            rows_of(&queries.say(&format!("SELECT a, v FROM {name} WHERE {}", TABLES[place].has_one_of(&keys))));
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let content = &self.contents[place];
        let there = keys.iter().filter_map(|key| Some((*key, *content.get(key)?)));
        assert_eq!(found, there.collect::<Vec<_>>(), "table {name}: {keys:?}");
    }

    /// Runs maintenance on all tables. Afterwards there are no orphan files, and the content is unchanged.
    fn look_after(&mut self) {
        match self.random.below(4) {
            0 => drop(self.database.ok(&["--quiet", "flush"])),
            1 => drop(self.database.ok(&["--quiet", "compact"])),
            _ => {}
        }
        self.database.ok(&["--quiet", "expire"]);
        self.database.ok(&["--quiet", "collect"]);
        let named = self.database.query("SELECT location FROM system.files WHERE location <> 'inline'");
        assert_eq!(self.database.files_on_disk(), named.lines().map(str::to_owned).collect());
        let deletions = self.database.query("SELECT path FROM system.deletes WHERE path IS NOT NULL");
        assert_eq!(self.database.deletion_files_on_disk(), deletions.lines().map(str::to_owned).collect());
        let mut queries = self.database.converse(&["--read-only"]);
        for (table, content) in TABLES.iter().zip(&self.contents) {
            assert!(content_of(table, &mut queries) == *content, "table {}: rows have changed", table.name);
        }
    }
}

fn expected(is_refused: bool) -> &'static str {
    if is_refused { "ERR duplicate-key " } else { "OK " }
}

/// Reads a table with a scan. Each key must be there once, and the row count must equal the one known without a scan.
fn content_of(table: &KeyedTable, queries: &mut Conversation) -> Content {
    let name = table.name;
    let rows = rows_of(&queries.say(&format!("SELECT a, v FROM {name}")));
    let content: Content = rows.iter().copied().collect();
    assert_eq!(content.len(), rows.len(), "table {name}: keys have several rows");
    let counted =
        format!("SELECT count(*), count(b), count(DISTINCT b), count(*) FILTER (WHERE b <> 'key ' || a) FROM {name}");
    let counts = queries.say(&counted);
    let count = rows.len();
    assert_eq!(counts.lines().nth(1), Some(format!("{count},{count},{count},0").as_str()), "table {name}");
    let known = queries.say(&format!("SELECT count(*) AS n FROM {name}"));
    assert_eq!(known, format!("n\n{count}\nOK 1\n"), "table {name}");
    content
}

/// Parses pairs of numbers from an answer in CSV, and sorts them.
fn rows_of(answer: &str) -> Vec<(i64, i64)> {
    let pair = |line: &str| line.split_once(',').map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
    let lines = answer.lines().skip(1).take_while(|line| !line.starts_with("OK "));
    let mut rows: Vec<_> = lines.map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect();
    rows.sort_unstable();
    rows
}

/// Returns the first pairs that are in `one` but not in `other`.
fn difference(one: &Content, other: &Content) -> Vec<(i64, i64)> {
    let only = one.iter().filter(|(key, value)| other.get(key) != Some(value));
    only.map(|(key, value)| (*key, *value)).take(5).collect()
}

#[test]
fn a_killed_process_keeps_every_change_that_it_acknowledged_and_one_row_for_each_key() {
    let kills: u64 = std::env::var("CAYENNE_KEYED_KILLS").map_or(150, |kills| kills.parse().unwrap());
    let mut torture = Torture::new();
    while torture.outcomes.kills < kills {
        torture.round();
    }
    torture.look_after();
    println!("{:?}", torture.outcomes);
}
