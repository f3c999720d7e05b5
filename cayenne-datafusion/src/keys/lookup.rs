//! Finds filters that determine the keys of all matching rows. Only these rows are looked up and read.
//!
//! The whole filter is still applied to them, so the keys may be a superset of those that match.

use std::collections::BTreeMap;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Schema};
use cayenne_table::Table;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, InList, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::keys::value::{self, Equals};

/// Maximum number of keys that are looked up.
const KEYS_MAX: usize = 65_536;
/// Number of files up to which keys are looked up without pruning the files first.
pub(crate) const FILES_MIN: usize = 64;
/// Maximum depth of a condition for which rows are looked up.
const DEPTH_MAX: usize = 64;

/// Values of some columns of the key, by their index in the key.
type Pinned = BTreeMap<usize, ScalarValue>;

/// Returns the keys of all rows for which all filters can be true, one array per column of the key; `None` if the
/// filters do not determine the keys.
pub(crate) fn keys(table: &Table, filters: &[Expr]) -> Result<Option<Vec<ArrayRef>>> {
    let Some(key) = KeyColumns::of(table) else { return Ok(None) };
    key.rows(filters).map(|rows| key.columns(&rows)).transpose()
}

/// Maximum number of keys that are looked up one by one without considering other plans.
const EXACT_KEYS_MAX: usize = 512;

/// Returns the keys that a condition names, if it is true for exactly the rows with these keys; `None` if it tests
/// anything else.
pub(crate) fn exactly(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    let width = table.options().primary_key.len();
    let says_only = match condition {
        Expr::InList(list) => width == 1 && list.list.len() <= EXACT_KEYS_MAX,
        // As many equalities as key columns test nothing else if together they pin every column.
        condition => {
            let parts = operands(condition, Operator::And);
            parts.len() == width
                && parts.iter().all(|part| matches!(part, Expr::BinaryExpr(pair) if pair.op == Operator::Eq))
        }
    };
    if says_only { exact_keys(table, condition) } else { Ok(None) }
}

/// Says whether a condition is a list that takes longer to plan than to look up.
pub(crate) fn is_long_list(condition: &Expr) -> bool {
    matches!(condition, Expr::InList(list) if list.list.len() > EXACT_KEYS_MAX)
}

/// Returns the keys of such a list, if its values are keys.
pub(crate) fn long_list(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    if is_long_list(condition) && only_key(table).is_some() { exact_keys(table, condition) } else { Ok(None) }
}

/// Returns the keys that a condition names, if it is true for each of them.
fn exact_keys(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    let Some(key) = KeyColumns::of(table) else { return Ok(None) };
    let rows = key.rows(std::slice::from_ref(condition));
    let is_exact = |rows: &Vec<Pinned>| rows.iter().flat_map(BTreeMap::values).all(value::is_equal_to_its_key);
    rows.filter(is_exact).map(|rows| key.columns(&rows)).transpose()
}

/// Returns the column of a single-column primary key, if it can be looked up and its key equality is SQL equality.
pub(crate) fn only_key(table: &Table) -> Option<(&str, &DataType)> {
    let key = KeyColumns::of(table)?;
    match key.0.as_slice() {
        [only] if !only.1.is_floating() => Some(*only),
        _ => None,
    }
}

/// The names and types of the columns of a primary key.
struct KeyColumns<'a>(Vec<(&'a str, &'a DataType)>);

impl<'a> KeyColumns<'a> {
    /// Returns the columns of a table's key, if keys can be looked up in the table.
    fn of(table: &'a Table) -> Option<Self> {
        if !table.options().finds_conflicts() {
            return None;
        }
        let schema: &Schema = table.schema();
        let column = |name: &'a String| {
            let data_type = schema.field_with_name(name).ok()?.data_type();
            value::is_key(data_type).then_some((name.as_str(), data_type))
        };
        table.options().primary_key.iter().map(column).collect::<Option<_>>().map(Self)
    }

    /// Returns the keys of all rows for which all filters can be true; `None` if the filters do not determine every
    /// column.
    fn rows(&self, filters: &[Expr]) -> Option<Vec<Pinned>> {
        let rows = self.all_of(filters.iter(), 0)?;
        rows.iter().all(|row| row.len() == self.0.len()).then_some(rows)
    }

    /// Returns the keys as one array per column.
    fn columns(&self, rows: &[Pinned]) -> Result<Vec<ArrayRef>> {
        let column = |(place, (_, data_type)): (usize, &(&str, &DataType))| {
            let values: Vec<ScalarValue> = rows.iter().filter_map(|row| row.get(&place).cloned()).collect();
            if values.is_empty() {
                return Ok(arrow_array::new_empty_array(data_type));
            }
            ScalarValue::iter_to_array(values)
        };
        self.0.iter().enumerate().map(column).collect()
    }

    /// Returns the key values that rows must have for all conditions to be true; `None` if no condition determines any.
    fn all_of<'e>(&self, conditions: impl Iterator<Item = &'e Expr>, depth: usize) -> Option<Vec<Pinned>> {
        let known = conditions.filter_map(|condition| self.one_of(condition, depth));
        known.reduce(|all, some| {
            if all.len().saturating_mul(some.len()) > KEYS_MAX {
                // Either list is sufficient. The one that pins more columns is better; if equal, the one with fewer
                // keys.
                let pins = |list: &[Pinned]| list.iter().map(BTreeMap::len).min().unwrap_or(usize::MAX);
                let is_better = (pins(&some), all.len()) > (pins(&all), some.len());
                return if is_better { some } else { all };
            }
            let both = |(all, some)| together(all, some);
            all.iter().flat_map(|all| some.iter().map(move |some| (all, some))).filter_map(both).collect()
        })
    }

    /// Returns the key values that rows must have for a condition to be true; `None` if it does not determine any.
    fn one_of(&self, condition: &Expr, depth: usize) -> Option<Vec<Pinned>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match condition {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                self.all_of(operands(condition, Operator::And).into_iter(), depth + 1)
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                let mut any = Vec::new();
                for operand in operands(condition, Operator::Or) {
                    any.extend(self.one_of(operand, depth + 1)?);
                    if any.len() > KEYS_MAX {
                        return None;
                    }
                }
                Some(any)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                self.equals(left, right).or_else(|| self.equals(right, left))
            }
            Expr::InList(InList { expr, list, negated: false }) if list.len() <= KEYS_MAX => {
                // The planner compares all values of a list in one type.
                let mut types = list.iter().map(|value| value.as_literal().map(ScalarValue::data_type));
                let first = types.next();
                if types.any(|found| Some(found) != first) {
                    return None;
                }
                let mut any = Vec::with_capacity(list.len());
                for value in list {
                    any.extend(self.equals(expr, value)?);
                }
                Some(any)
            }
            Expr::Not(column) => self.is(column, false),
            column => self.is(column, true),
        }
    }

    /// Returns the key values for which `column = value` is true. Nothing equals null.
    fn equals(&self, column: &Expr, value: &Expr) -> Option<Vec<Pinned>> {
        let Expr::Literal(value, _) = value else { return None };
        let (column, compared) = match column {
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                (&**expr, Some(field.data_type()))
            }
            column => (column, None),
        };
        let Expr::Column(column) = column else { return None };
        let place = self.0.iter().position(|(name, _)| *name == column.name)?;
        let (_, data_type) = self.0.get(place)?;
        if value.is_null() {
            return Some(Vec::new());
        }
        let equals = match compared {
            None => value::equal_to(data_type, value),
            Some(compared) => value::compared_as(data_type, compared, value),
        };
        Some(match equals? {
            Equals::Nothing => Vec::new(),
            Equals::Value(value) => vec![Pinned::from([(place, value)])],
        })
    }

    /// Returns the key value for a condition that is a Boolean key column (`value` is true) or its negation.
    fn is(&self, column: &Expr, value: bool) -> Option<Vec<Pinned>> {
        let Expr::Column(column) = column else { return None };
        let is_it = |(name, data_type): &(&str, &DataType)| *name == column.name && **data_type == DataType::Boolean;
        let place = self.0.iter().position(is_it)?;
        Some(vec![Pinned::from([(place, ScalarValue::from(value))])])
    }
}

/// Combines two sets of key values; `None` if they contradict each other.
fn together(a: &Pinned, b: &Pinned) -> Option<Pinned> {
    let mut both = a.clone();
    for (place, value) in b {
        if both.get(place).is_some_and(|other| other != value) {
            return None;
        }
        both.insert(*place, value.clone());
    }
    Some(both)
}

/// Returns the operands of nested applications of an operator. It does not recurse, because there may be thousands.
fn operands(expr: &Expr, operator: Operator) -> Vec<&Expr> {
    let mut open = vec![expr];
    let mut found = Vec::new();
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == operator => open.extend([&**right, &**left]),
            operand => found.push(operand),
        }
    }
    found
}

/// Says whether looking up the keys is less work than reading the files that pruning keeps.
pub(crate) fn is_worth_it(keys: &[ArrayRef], files_kept: usize, files: usize, rows: u64) -> bool {
    /// Maximum number of files per kept file. A lookup searches all files of the table, whatever their statistics say.
    const FILES_FOR_EACH_KEPT: usize = 8;
    /// Number of keys up to which a lookup is worth it. With more, each key counts as reading `ROWS_FOR_EACH_KEY` rows.
    const KEYS_MIN: usize = 1_024;
    const ROWS_FOR_EACH_KEY: usize = 16;
    let wanted = keys.first().map_or(0, |column| column.len());
    let few_files = files <= files_kept.saturating_mul(FILES_FOR_EACH_KEPT).max(FILES_MIN);
    let read = u64::try_from(wanted.saturating_mul(ROWS_FOR_EACH_KEY)).unwrap_or(u64::MAX);
    few_files && (wanted <= KEYS_MIN || read <= rows)
}
