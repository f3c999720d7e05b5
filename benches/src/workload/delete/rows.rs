//! Deletes of random rows with several forms of the statement, and of a range.

use super::{DOOMED, Data, TABLE, WARM_UP_TABLE, listed, series};
use crate::answer::Answer;
use crate::engines::{CAYENNE, DUCKDB_FORMS, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results};
use crate::process::Process;
use crate::protocol::{Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::compare::compare;
use crate::workload::load::BEFORE;
use crate::workload::scan::Scan;
use crate::{Result, folders};

const DELETE: &str = "delete";
const RANGE: &str = "range";
const SCAN: &str = "scan";
const AFTER_RANDOM: &str = "after random";
const AFTER_RANGE: &str = "after range";
const DISK: &str = "deletes on disk";

/// Reads two columns of all rows.
const SCAN_SQL: &str =
    "SELECT count(*) AS lines, sum(l_quantity) AS quantity, sum(l_extendedprice) AS price FROM lineitem";

/// How the statement specifies the random keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Subquery,
    Using,
    List,
}

impl Form {
    const ALL: [Self; 3] = [Self::Subquery, Self::Using, Self::List];
    const SUBJECTS: [&str; 3] = [Self::Subquery.subject(), Self::Using.subject(), Self::List.subject()];

    const fn subject(self) -> &'static str {
        match self {
            Self::Subquery => "subquery",
            Self::Using => "using",
            Self::List => "list",
        }
    }

    /// Returns whether the engine supports the form. Only DuckDB supports `USING`.
    fn is_known_to(self, engine: &str) -> bool {
        self != Self::Using || DUCKDB_FORMS.contains(&engine)
    }

    fn delete(self, table: &str, keys: &[i64]) -> Request {
        let sql = match self {
            Self::Subquery => format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {DOOMED})"),
            Self::Using => format!("DELETE FROM {table} USING {DOOMED} WHERE {table}.id = {DOOMED}.id"),
            Self::List => format!("DELETE FROM {table} WHERE id IN ({})", listed(keys)),
        };
        Request::Execute { sql }
    }
}

pub(super) fn run(engines: &mut Engines, data: &Data, round: usize, outcome: &mut Outcome) {
    let mut answers: [Vec<(&str, Answer)>; 3] = Default::default();
    for engine in engines.in_turn(round) {
        let measured = Deletes { data, engine }.measure(outcome);
        match outcome.keep(&format!("{} deletes", engine.name), measured) {
            Some(told) => {
                for (all, one) in answers.iter_mut().zip(told) {
                    all.push((engine.name, one));
                }
            }
            None => engine.set_broken(),
        }
    }
    for (subject, answers) in [BEFORE, AFTER_RANDOM, AFTER_RANGE].into_iter().zip(&answers) {
        compare(&format!("the scan {subject}"), true, answers, outcome);
    }
}

/// One repetition on one engine.
struct Deletes<'a> {
    data: &'a Data,
    engine: &'a Engine,
}

impl Deletes<'_> {
    /// Returns the answers of the three scans. The first form runs last, because the range follows it.
    fn measure(&self, outcome: &mut Outcome) -> Result<[Answer; 3]> {
        for form in [Form::List, Form::Using].into_iter().filter(|form| form.is_known_to(self.engine.name)) {
            let mut process = self.begin(form)?;
            self.random(&mut process, form, outcome)?;
            process.close()?;
        }
        let mut process = self.begin(Form::Subquery)?;
        let before = self.scan(BEFORE).measure(&mut process, outcome)?;
        self.random(&mut process, Form::Subquery, outcome)?;
        let after_random = self.scan(AFTER_RANDOM).measure(&mut process, outcome)?;
        process.close()?;
        self.record_disk(outcome)?;
        let after_range = self.range(outcome)?;
        Ok([before, after_random, after_range])
    }

    /// Opens the database as it was loaded, and deletes from a table that is not measured.
    fn begin(&self, form: Form) -> Result<Process> {
        self.engine.restore()?;
        let (mut process, _) = self.engine.open()?;
        process.ask(&form.delete(WARM_UP_TABLE, &self.data.doomed))?;
        Ok(process)
    }

    fn random(&self, process: &mut Process, form: Form, outcome: &mut Outcome) -> Result<()> {
        let reply = process.ask(&form.delete(TABLE, &self.data.doomed))?;
        check_count(&reply, self.data.doomed.len() as u64)?;
        self.record(DELETE, form.subject(), &reply, outcome);
        Ok(())
    }

    /// Deletes the range in a new process. Its first scan finds the random rows deleted.
    fn range(&self, outcome: &mut Outcome) -> Result<Answer> {
        let (mut process, _) = self.engine.open()?;
        process.ask(&self.scan(AFTER_RANDOM).once())?;
        let (first, last) = self.data.range;
        let delete =
            |table| Request::Execute { sql: format!("DELETE FROM {table} WHERE id BETWEEN {first} AND {last}") };
        process.ask(&delete(WARM_UP_TABLE))?;
        let reply = process.ask(&delete(TABLE))?;
        check_count(&reply, self.data.left_in_range())?;
        self.record(RANGE, RANGE, &reply, outcome);
        let answer = self.scan(AFTER_RANGE).measure(&mut process, outcome)?;
        process.close()?;
        Ok(answer)
    }

    fn scan(&self, subject: &'static str) -> Scan<'_> {
        Scan { place: Place { section: SCAN, subject, engine: self.engine.name }, sql: SCAN_SQL }
    }

    fn record(&self, section: &str, subject: &str, reply: &Reply, outcome: &mut Outcome) {
        let place = Place { section, subject, engine: self.engine.name };
        outcome.record(place, Metric::WallMs, reply.wall_ms);
        outcome.record(place, Metric::CpuMs, reply.cpu_ms);
    }

    /// Records by how much the closed database has grown since the load. If it has shrunk, this is 0.
    fn record_disk(&self, outcome: &mut Outcome) -> Result<()> {
        let grown = folders::size_bytes(&self.engine.dir)?.saturating_sub(self.engine.kept_bytes()?);
        let per_row = f64::from(u32::try_from(grown)?) / f64::from(u32::try_from(self.data.doomed.len())?);
        let place = Place { section: DISK, subject: DISK, engine: self.engine.name };
        outcome.record(place, Metric::BytesPerRow, per_row);
        Ok(())
    }
}

/// Fails if a delete reports another number of rows than expected.
pub(super) fn check_count(reply: &Reply, expected: u64) -> Result<()> {
    if reply.rows == expected {
        return Ok(());
    }
    Err(format!("{} rows were deleted instead of {expected}", reply.rows).into())
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, section, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
    let mut deletes: Vec<_> = Form::ALL
        .iter()
        .map(|form| row(&format!("1 % at random, {}", form.subject()), DELETE, Metric::WallMs, form.subject()))
        .collect();
    deletes.extend([
        row("CPU of that, subquery", DELETE, Metric::CpuMs, Form::Subquery.subject()),
        row("a range of 10 %", RANGE, Metric::WallMs, RANGE),
        row("CPU of that", RANGE, Metric::CpuMs, RANGE),
        row("bytes on disk per random row", DISK, Metric::BytesPerRow, DISK),
    ]);
    let scans = vec![
        row("before", SCAN, Metric::WallMs, BEFORE),
        row("after 1 % at random", SCAN, Metric::WallMs, AFTER_RANDOM),
        row("after 10 % in a range", SCAN, Metric::WallMs, AFTER_RANGE),
        row("CPU before", SCAN, Metric::CpuMs, BEFORE),
        row("CPU after 1 % at random", SCAN, Metric::CpuMs, AFTER_RANDOM),
        row("CPU after 10 % in a range", SCAN, Metric::CpuMs, AFTER_RANGE),
    ];
    vec![
        Section::of_rows("Deletes", Unit::PerRow, deletes).in_text(),
        Section::of_rows("Sums of two columns", Unit::Shared, scans).in_text(),
    ]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let best = |engines: &[&str]| results.smallest(series(DELETE, Metric::WallMs), &Form::SUBJECTS, engines);
    let wall = |section, subject| results.median(series(section, Metric::WallMs), subject, CAYENNE);
    let scan = |subject| wall(SCAN, subject);
    let disk = results.median(series(DISK, Metric::BytesPerRow), DISK, CAYENNE);
    vec![
        Goal::ratio_of("delete 1 % at random vs best duckdb (aim 0.11)", best(&[CAYENNE]), best(&DUCKDB_FORMS), 0.5),
        Goal::ms("delete a range of 10 % (aim 5)", wall(RANGE, RANGE), 25.0),
        Goal::ratio_of("scan after 1 % vs before (aim 1.05)", scan(AFTER_RANDOM), scan(BEFORE), 1.1),
        Goal::ratio_of("scan after 11 % vs before (aim 1.05)", scan(AFTER_RANGE), scan(BEFORE), 1.1),
        Goal::count("bytes on disk per random row", disk, 2.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_names_the_same_keys() {
        let sql = |form: Form| match form.delete("t", &[1, 22]) {
            Request::Execute { sql } => sql,
            other => format!("{other:?}"),
        };
        assert_eq!(sql(Form::Subquery), "DELETE FROM t WHERE id IN (SELECT id FROM doomed)");
        assert_eq!(sql(Form::Using), "DELETE FROM t USING doomed WHERE t.id = doomed.id");
        assert_eq!(sql(Form::List), "DELETE FROM t WHERE id IN (1, 22)");
        assert!(Form::Using.is_known_to("duckdb-key") && !Form::Using.is_known_to("cayenne"));
    }
}
