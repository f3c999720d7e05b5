//! Compares the answers of several engines to one query, which must agree.

use std::fmt::Display;

use crate::answer::Answer;
use crate::measure::Outcome;

/// Compares every pair, so that an engine that differs from all others stands out.
///
/// `ordered` means that the query fixes the order of all rows.
pub(super) fn compare(query: &str, ordered: bool, answers: &[(impl Display, Answer)], outcome: &mut Outcome) {
    for (index, (left, expected)) in answers.iter().enumerate() {
        for (right, found) in answers.iter().skip(index + 1) {
            if let Some(difference) = expected.difference(found, ordered) {
                outcome.problem(format!("{query} differs between {left} and {right}: {difference}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Cell;

    fn one(value: i64) -> Answer {
        Answer { rows: vec![vec![Cell::Whole(value)]] }
    }

    #[test]
    fn engine_that_differs_from_all_others_shows() {
        let mut outcome = Outcome::default();
        compare("q06", true, &[("cayenne", one(1)), ("parquet", one(2)), ("duckdb", one(2))], &mut outcome);
        assert_eq!(outcome.problems.len(), 2);
        assert!(outcome.problems.iter().all(|problem| problem.contains("cayenne")));
    }

    #[test]
    fn equal_answers_are_no_problem() {
        let mut outcome = Outcome::default();
        compare("q06", true, &[("cayenne", one(1)), ("duckdb", one(1))], &mut outcome);
        assert!(outcome.problems.is_empty());
    }
}
