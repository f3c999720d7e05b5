//! Runs statements on both engines, counts rejections, and reduces statements whose results differ.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use parking_lot::Mutex;

use super::answer::Answer;
use super::cayenne::{Cayenne, Refusal};
use super::reference::Reference;
use super::scope::Generator;
use super::statements::Statement;
use super::tree::Dialect;
use super::world::World;

/// Number of statements that read the same tables.
const STATEMENTS_OF_WORLD: u64 = 50;
/// Maximum number of differences that are reported.
const FAILURES_MAX: usize = 5;
/// Maximum number of smaller statements that are tried for one difference.
const SMALLER_MAX: usize = 2_000;
/// Maximum share of statements that an engine may reject, in percent.
const REFUSED_PERCENT_MAX: usize = 2;
/// The rest of a long reason is about the statement.
const REASON_WORDS_MAX: usize = 40;

/// Both engines with the tables of one world.
struct Pair<R> {
    cayenne: Cayenne,
    reference: R,
}

enum Outcome {
    Same,
    Refused { by: &'static str, why: String },
    Differs { ours: String, right: String },
}

impl<R: Reference> Pair<R> {
    fn open(world: &World) -> Self {
        Self { cayenne: Cayenne::new(world), reference: R::open(world) }
    }

    fn ask(&mut self, statement: &Statement) -> Outcome {
        let right = match self.reference.answer(statement) {
            Ok(right) => right,
            Err(why) => return Outcome::Refused { by: "the reference", why },
        };
        let ours = match self.cayenne.answer(statement) {
            Ok(ours) => ours,
            Err(Refusal::Error(why)) => return Outcome::Refused { by: "Cayenne", why },
            Err(Refusal::Bug(text)) => return Outcome::Differs { ours: text, right: right.to_string() },
        };
        let comparable = |answer: Answer| if statement.tree.is_ordered() { answer } else { answer.sorted() };
        let (ours, right) = (comparable(ours), comparable(right));
        if ours == right {
            Outcome::Same
        } else {
            Outcome::Differs { ours: ours.to_string(), right: right.to_string() }
        }
    }

    /// The smallest statement found whose outcome is still one that `is_kept`.
    fn shrunk(&mut self, statement: Statement, is_kept: impl Fn(&Outcome) -> bool) -> Statement {
        let mut smallest = statement;
        let mut tries = SMALLER_MAX;
        'smaller: while tries > 0 {
            for candidate in smallest.smaller() {
                tries = tries.saturating_sub(1);
                if is_kept(&self.ask(&candidate)) {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            break;
        }
        smallest
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The outcomes of many statements.
#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    /// Number of rejected statements, by reason.
    refusals: BTreeMap<String, Vec<String>>,
}

/// Fails if a result differs, or if too many statements are rejected.
///
/// `CAYENNE_WORKERS` threads share the worlds.
#[expect(clippy::print_stderr, reason = "how many were refused is shown with a run")]
pub(super) fn compare<R: Reference>(queries: u64) {
    let queries = variable("CAYENNE_QUERIES").unwrap_or(queries);
    let first = variable("CAYENNE_SEED").unwrap_or(0);
    let workers = variable("CAYENNE_WORKERS").unwrap_or(1);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let tally = &tally;
            scope.spawn(move || {
                let worlds = first / STATEMENTS_OF_WORLD..=(first + queries - 1) / STATEMENTS_OF_WORLD;
                for world in worlds.filter(|world| world % workers == worker) {
                    let begin = (world * STATEMENTS_OF_WORLD).max(first);
                    let end = ((world + 1) * STATEMENTS_OF_WORLD).min(first + queries);
                    compare_in_world::<R>(world, begin..end, tally);
                }
            });
        }
    });
    let Tally { failures, refusals } = tally.into_inner();
    let refused: usize = refusals.values().map(Vec::len).sum();
    eprintln!("{queries} statements, {refused} refused, {} answered differently", failures.len());
    for (why, statements) in &refusals {
        eprintln!("refused {} times: {why}\n  {}", statements.len(), statements[0]);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let allowed = usize::try_from(queries).unwrap() * REFUSED_PERCENT_MAX / 100;
    assert!(refused <= allowed, "{refused} statements were refused, {allowed} may be");
}

fn compare_in_world<R: Reference>(seed: u64, statements: Range<u64>, tally: &Mutex<Tally>) {
    let enough = variable("CAYENNE_FAILURES").map_or(FAILURES_MAX, |most| usize::try_from(most).unwrap());
    if tally.lock().failures.len() >= enough {
        return;
    }
    let world = World::new(seed);
    let mut pair = Pair::<R>::open(&world);
    for seed in statements {
        let statement = Generator::new(seed, &world, R::DIALECT).statement();
        match pair.ask(&statement) {
            Outcome::Same => {}
            Outcome::Refused { by, why } => {
                let reason = reason(&why);
                let statement = if variable("CAYENNE_SHRINK_REFUSED").is_some() {
                    pair.shrunk(statement, |outcome| is_refused_by(outcome, by, &reason))
                } else {
                    statement
                };
                let dialect = if by == "Cayenne" { Dialect::Cayenne } else { R::DIALECT };
                let told = format!("seed {seed}: {}", statement.text(dialect));
                tally.lock().refusals.entry(format!("{by}: {reason}")).or_default().push(told);
            }
            Outcome::Differs { .. } => {
                let failure = failure(seed, &mut pair, &world, statement);
                tally.lock().failures.push(failure);
            }
        }
    }
}

/// Removes the names and numbers that differ from statement to statement from a reason.
fn reason(why: &str) -> String {
    let plain = why.replace('\n', " ");
    let words =
        plain.split_whitespace().filter(|word| !word.chars().any(|letter| letter.is_ascii_digit() || letter == '"'));
    words.take(REASON_WORDS_MAX).collect::<Vec<_>>().join(" ")
}

fn is_refused_by(outcome: &Outcome, engine: &str, wanted: &str) -> bool {
    matches!(outcome, Outcome::Refused { by, why } if *by == engine && reason(why) == wanted)
}

fn failure<R: Reference>(seed: u64, pair: &mut Pair<R>, world: &World, statement: Statement) -> String {
    let statement = pair.shrunk(statement, |outcome| matches!(outcome, Outcome::Differs { .. }));
    let Outcome::Differs { ours, right } = pair.ask(&statement) else {
        return format!("seed {seed}: differs now and then: {}", statement.text(Dialect::Cayenne));
    };
    let mut text = format!("CAYENNE_SEED={seed} CAYENNE_QUERIES=1\n{}\n", statement.text(Dialect::Cayenne));
    let same = statement.text(R::DIALECT);
    if same != statement.text(Dialect::Cayenne) {
        writeln!(text, "as {:?} reads it: {same}", R::DIALECT).unwrap();
    }
    writeln!(text, "Cayenne: {ours}\n{:?}: {right}", R::DIALECT).unwrap();
    for table in world.tables.iter().filter(|table| statement.text(Dialect::Cayenne).contains(table.name)) {
        let insert = table.insert(table.name, &table.rows, Dialect::Cayenne).unwrap_or_default();
        writeln!(text, "{}; {insert};", table.create(table.name, Dialect::Cayenne)).unwrap();
    }
    text + &pair.cayenne.plan(&statement.text(Dialect::Cayenne))
}
