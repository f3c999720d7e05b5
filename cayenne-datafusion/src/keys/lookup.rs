//! Conditions that name the keys of all rows they can be true for: those rows are looked up, and no others are read.
//!
//! The whole condition is still applied to them: what is looked up need only be enough.

use std::collections::BTreeMap;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Schema};
use cayenne_table::Table;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, InList, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::keys::value::{self, Equals};

/// With more keys than this, rows are not looked up.
const KEYS_MAX: usize = 65_536;
/// In so many files keys are looked up without choosing among them first.
pub(crate) const FILES_MIN: usize = 64;
/// With a condition nested deeper than this, rows are not looked up.
const DEPTH_MAX: usize = 64;

/// Values of some columns of the key, by their place in it.
type Pinned = BTreeMap<usize, ScalarValue>;

/// Returns the keys of all rows for which all filters can be true, one array for each column of the key; `None` if the
/// filters do not tell.
pub(crate) fn keys(table: &Table, filters: &[Expr]) -> Result<Option<Vec<ArrayRef>>> {
    let Some(key) = KeyColumns::of(table) else { return Ok(None) };
    key.rows(filters).map(|rows| key.columns(&rows)).transpose()
}

/// So many keys are read one by one without asking what else could be done.
const EXACT_KEYS_MAX: usize = 512;

/// Returns the keys of the rows for which a condition is true, and for which it is true of all; `None` if it says anything
/// else too.
pub(crate) fn exactly(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    let width = table.options().primary_key.len();
    let says_only = match condition {
        Expr::InList(list) => width == 1 && list.list.len() <= EXACT_KEYS_MAX,
        // As many conditions as columns, which together pin every column, say nothing else.
        condition => {
            let parts = operands(condition, Operator::And);
            parts.len() == width
                && parts.iter().all(|part| matches!(part, Expr::BinaryExpr(pair) if pair.op == Operator::Eq))
        }
    };
    if says_only { exact_keys(table, condition) } else { Ok(None) }
}

/// Says whether a condition is a list, and so long that it takes longer to plan than to look up.
pub(crate) fn is_long_list(condition: &Expr) -> bool {
    matches!(condition, Expr::InList(list) if list.list.len() > EXACT_KEYS_MAX)
}

/// Returns the keys of such a list, if it is one of keys.
pub(crate) fn long_list(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    if is_long_list(condition) && only_key(table).is_some() { exact_keys(table, condition) } else { Ok(None) }
}

/// Returns the keys that a condition names, if it is true of each of them.
fn exact_keys(table: &Table, condition: &Expr) -> Result<Option<Vec<ArrayRef>>> {
    let Some(key) = KeyColumns::of(table) else { return Ok(None) };
    let rows = key.rows(std::slice::from_ref(condition));
    let is_exact = |rows: &Vec<Pinned>| rows.iter().flat_map(BTreeMap::values).all(value::is_equal_to_its_key);
    rows.filter(is_exact).map(|rows| key.columns(&rows)).transpose()
}

/// Returns the column of a primary key that has no other, if its values can be looked up and are what SQL takes for equal.
pub(crate) fn only_key(table: &Table) -> Option<(&str, &DataType)> {
    let key = KeyColumns::of(table)?;
    match key.0.as_slice() {
        [only] if !only.1.is_floating() => Some(*only),
        _ => None,
    }
}

/// The columns of a primary key, with their types.
struct KeyColumns<'a>(Vec<(&'a str, &'a DataType)>);

impl<'a> KeyColumns<'a> {
    /// Returns the columns, if keys can be looked up.
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

    /// Returns the keys of all rows for which all filters can be true, or `None` if the filters do not tell.
    fn rows(&self, filters: &[Expr]) -> Option<Vec<Pinned>> {
        let rows = self.all_of(filters.iter(), 0)?;
        rows.iter().all(|row| row.len() == self.0.len()).then_some(rows)
    }

    /// Returns keys as one array for each column.
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

    /// Returns what rows must be like for which all conditions are true.
    fn all_of<'e>(&self, conditions: impl Iterator<Item = &'e Expr>, depth: usize) -> Option<Vec<Pinned>> {
        let known = conditions.filter_map(|condition| self.one_of(condition, depth));
        known.reduce(|all, some| {
            if all.len().saturating_mul(some.len()) > KEYS_MAX {
                // Either of them is enough; the one that pins more columns, or else has fewer keys, is more use.
                let pins = |list: &[Pinned]| list.iter().map(BTreeMap::len).min().unwrap_or(usize::MAX);
                let is_better = (pins(&some), all.len()) > (pins(&all), some.len());
                return if is_better { some } else { all };
            }
            let both = |(all, some)| together(all, some);
            all.iter().flat_map(|all| some.iter().map(move |some| (all, some))).filter_map(both).collect()
        })
    }

    /// Returns what rows must be like for which a condition is true, or `None` if it does not say.
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
                // All of them are compared in one type.
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

    /// Nothing equals null.
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

    /// A condition may be a column of the key itself, or its negation.
    fn is(&self, column: &Expr, value: bool) -> Option<Vec<Pinned>> {
        let Expr::Column(column) = column else { return None };
        let is_it = |(name, data_type): &(&str, &DataType)| *name == column.name && **data_type == DataType::Boolean;
        let place = self.0.iter().position(is_it)?;
        Some(vec![Pinned::from([(place, ScalarValue::from(value))])])
    }
}

/// Returns what is both, or `None` if nothing can be.
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

/// Returns the operands of nested applications of an operator: there may be thousands, one inside the other.
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

/// Returns rows to look up as they are to be read, if looking them up is less work than reading the files.
pub(crate) fn is_worth_it(keys: &[ArrayRef], files_kept: usize, files: usize, rows: u64) -> bool {
    /// The keys of a table are looked up in all of its files, whatever their statistics say.
    const FILES_FOR_EACH_KEPT: usize = 8;
    /// Beyond so few, a lookup is compared with reading so many rows.
    const KEYS_MIN: usize = 1_024;
    const ROWS_FOR_EACH_KEY: usize = 16;
    let wanted = keys.first().map_or(0, |column| column.len());
    let few_files = files <= files_kept.saturating_mul(FILES_FOR_EACH_KEPT).max(FILES_MIN);
    let read = u64::try_from(wanted.saturating_mul(ROWS_FOR_EACH_KEY)).unwrap_or(u64::MAX);
    few_files && (wanted <= KEYS_MIN || read <= rows)
}
