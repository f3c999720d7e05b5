//! The result of a query in a form that can be compared between engines, and the comparison.
//!
//! Engines may differ in the type of a sum or an average, and in the order of rows that the query leaves open, but in
//! nothing else.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Engines round averages and quotients to different digits: some to four digits after the point.
const ABSOLUTE_TOLERANCE: f64 = 1e-4;

/// Large enough for sums of doubles in any order, small enough to detect one lost row among a hundred million.
const RELATIVE_TOLERANCE: f64 = 1e-9;

/// One value of a result, independent of the engine's type for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Null,
    Whole(i64),
    Real(f64),
    Text(String),
}

/// The rows of one result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Answer {
    /// Converts record batches, in their order.
    pub(crate) fn from_batches(batches: &[RecordBatch]) -> Result<Self> {
        let mut rows = Vec::new();
        for batch in batches {
            let columns = batch.columns().iter().map(cells).collect::<Result<Vec<_>>>()?;
            let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
            for _ in 0..batch.num_rows() {
                rows.push(columns.iter_mut().filter_map(Iterator::next).collect());
            }
        }
        Ok(Self { rows })
    }

    /// Returns how `other` differs from this answer, or `None` if they agree.
    ///
    /// `ordered` means that the query fixes the order of all rows; otherwise both sides are sorted first.
    pub(crate) fn difference(&self, other: &Self, ordered: bool) -> Option<String> {
        if self.rows.len() != other.rows.len() {
            return Some(format!("{} rows against {}", self.rows.len(), other.rows.len()));
        }
        let (left, right) = (self.in_order(ordered), other.in_order(ordered));
        let differing = left.iter().zip(&right).enumerate().find(|(_, (left, right))| !rows_agree(left, right));
        differing.map(|(row, (left, right))| format!("row {}: {} against {}", row + 1, show(left), show(right)))
    }

    fn in_order(&self, ordered: bool) -> Vec<&Vec<Cell>> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        if !ordered {
            rows.sort_by(|left, right| compare_rows(left, right));
        }
        rows
    }
}

fn rows_agree(left: &[Cell], right: &[Cell]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| cells_agree(left, right))
}

fn cells_agree(left: &Cell, right: &Cell) -> bool {
    match (left.number(), right.number()) {
        (Some(a), Some(b)) if left.is_real() || right.is_real() => close(a, b),
        _ => left == right,
    }
}

fn close(left: f64, right: f64) -> bool {
    let difference = (left - right).abs();
    let size = left.abs().max(right.abs());
    difference <= ABSOLUTE_TOLERANCE || difference <= size * RELATIVE_TOLERANCE || (left.is_nan() && right.is_nan())
}

/// Compares the exact cells first and real numbers last, so that a difference within the tolerance rarely moves a row.
fn compare_rows(left: &[Cell], right: &[Cell]) -> Ordering {
    let exact = |row: &[Cell]| row.iter().filter(|cell| !cell.is_real()).cloned().collect::<Vec<_>>();
    let by_exact = compare_cells(&exact(left), &exact(right));
    by_exact.then_with(|| compare_cells(left, right))
}

fn compare_cells(left: &[Cell], right: &[Cell]) -> Ordering {
    let pairs = left.iter().zip(right);
    pairs.map(|(left, right)| left.compare(right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn show(row: &[Cell]) -> String {
    let cells: Vec<_> = row.iter().map(Cell::show).collect();
    format!("({})", cells.join(", "))
}

impl Cell {
    fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    #[expect(clippy::cast_precision_loss, reason = "a whole number meets a real one only within a tolerance")]
    fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            Self::Null | Self::Text(_) => None,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Whole(left), Self::Whole(right)) => left.cmp(right),
            _ => match (self.number(), other.number()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Whole(_) | Self::Real(_) => 1,
            Self::Text(_) => 2,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Whole(value) => value.to_string(),
            Self::Real(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

fn cells(column: &ArrayRef) -> Result<Vec<Cell>> {
    if let DataType::Dictionary(_, values) = column.data_type() {
        return cells(&arrow_cast::cast(column, values)?);
    }
    if column.data_type().is_integer() {
        let column = arrow_cast::cast(column, &DataType::Int64)?;
        let values = column.as_primitive::<arrow_array::types::Int64Type>();
        return Ok(values.iter().map(|value| value.map_or(Cell::Null, Cell::Whole)).collect());
    }
    let real = column.data_type().is_numeric();
    let options = FormatOptions::default();
    let texts = ArrayFormatter::try_new(column.as_ref(), &options)?;
    (0..column.len()).map(|row| cell(column, &texts, row, real)).collect()
}

fn cell(column: &ArrayRef, texts: &ArrayFormatter<'_>, row: usize, real: bool) -> Result<Cell> {
    if column.is_null(row) {
        return Ok(Cell::Null);
    }
    let text = texts.value(row).try_to_string()?;
    if real { Ok(Cell::Real(text.parse()?)) } else { Ok(Cell::Text(text)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Decimal128Array, Int32Array, StringArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn answer(rows: &[&[Cell]]) -> Answer {
        Answer { rows: rows.iter().map(|row| row.to_vec()).collect() }
    }

    fn text(value: &str) -> Cell {
        Cell::Text(value.to_owned())
    }

    #[test]
    fn rows_in_another_order_agree_when_order_is_open() {
        let left = answer(&[&[text("a"), Cell::Real(1.0)], &[text("b"), Cell::Real(2.0)]]);
        let right = answer(&[&[text("b"), Cell::Real(2.0)], &[text("a"), Cell::Real(1.0)]]);
        assert_eq!(left.difference(&right, false), None);
        assert!(left.difference(&right, true).is_some());
    }

    #[test]
    fn real_numbers_agree_within_the_tolerance() {
        let left = answer(&[&[Cell::Real(37.331_41)]]);
        assert_eq!(left.difference(&answer(&[&[Cell::Real(37.331_45)]]), true), None);
        assert!(left.difference(&answer(&[&[Cell::Real(37.34)]]), true).is_some());
    }

    #[test]
    fn one_lost_row_in_a_large_sum_is_seen() {
        let left = answer(&[&[Cell::Real(100_000_000_000.0)]]);
        let right = answer(&[&[Cell::Real(99_999_999_000.0)]]);
        assert!(left.difference(&right, true).is_some());
    }

    #[test]
    fn whole_numbers_must_be_equal() {
        let left = answer(&[&[Cell::Whole(6_000_000_001)]]);
        let right = answer(&[&[Cell::Whole(6_000_000_002)]]);
        assert_eq!(left.difference(&right, true), Some("row 1: (6000000001) against (6000000002)".to_owned()));
    }

    #[test]
    fn whole_and_real_of_the_same_value_agree() {
        let left = answer(&[&[Cell::Whole(42)]]);
        assert_eq!(left.difference(&answer(&[&[Cell::Real(42.0)]]), true), None);
    }

    #[test]
    fn null_differs_from_every_value() {
        let left = answer(&[&[Cell::Null]]);
        assert!(left.difference(&answer(&[&[Cell::Whole(0)]]), true).is_some());
        assert_eq!(left.difference(&left, true), None);
    }

    #[test]
    fn different_row_counts_are_told() {
        let left = answer(&[&[Cell::Null], &[Cell::Null]]);
        assert_eq!(left.difference(&Answer::default(), false), Some("2 rows against 0".to_owned()));
    }

    #[test]
    fn cells_survive_json() {
        let row = vec![Cell::Null, Cell::Whole(7), Cell::Real(2.0), text("1994-01-01")];
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(json, r#"[null,7,2.0,"1994-01-01"]"#);
        assert_eq!(serde_json::from_str::<Vec<Cell>>(&json).unwrap(), row);
    }

    #[test]
    fn batches_become_cells_by_kind() {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int32, true),
            Field::new("d", DataType::Decimal128(15, 2), true),
            Field::new("s", DataType::Utf8, true),
        ]);
        let money = Decimal128Array::from(vec![Some(12345), None]).with_precision_and_scale(15, 2).unwrap();
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int32Array::from(vec![1, 2])),
                Arc::new(money),
                Arc::new(StringArray::from(vec![Some("x"), None])),
            ],
        );
        let found = Answer::from_batches(&[batch.unwrap()]).unwrap();
        let first = vec![Cell::Whole(1), Cell::Real(123.45), text("x")];
        assert_eq!(found.rows, vec![first, vec![Cell::Whole(2), Cell::Null, Cell::Null]]);
    }
}
