//! The tables that queries read: few rows, many NULLs, many duplicates.

use super::numbers::Numbers;
use super::tree::{Dialect, Type};

/// Rows of every table from this number on are inserted only to be deleted.
pub(super) const DELETED_FROM: i64 = 1000;

pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: Type,
    sql: &'static str,
}

const COLUMNS: &[Column] = &[
    Column { name: "id", of: Type::Int, sql: "BIGINT" },
    Column { name: "i", of: Type::Int, sql: "INTEGER" },
    Column { name: "j", of: Type::Int, sql: "BIGINT" },
    Column { name: "n", of: Type::Quarter, sql: "DECIMAL(12, 2)" },
    Column { name: "p", of: Type::Price, sql: "DECIMAL(10, 2)" },
    Column { name: "s", of: Type::Text, sql: "VARCHAR" },
    Column { name: "u", of: Type::Text, sql: "VARCHAR" },
    Column { name: "d", of: Type::Date, sql: "DATE" },
    Column { name: "b", of: Type::Bool, sql: "BOOLEAN" },
];

/// Values of each type, as literals without a type. There are few, so that rows often match.
pub(super) fn literals(of: Type) -> &'static [&'static str] {
    match of {
        Type::Int => &["0", "1", "2", "3", "5", "-1"],
        Type::Quarter => &["0.00", "0.25", "1.00", "1.50", "2.75", "-1.25"],
        Type::Price => &["0.10", "0.20", "0.30", "1.00", "99999999.99", "-0.10"],
        Type::Text => &["'a'", "'ab'", "'b'", "''", "'A'", "'äb'", "'a%'"],
        Type::Date => &["2023-12-31", "2024-01-01", "2024-02-29"],
        Type::Bool => &["TRUE", "FALSE"],
    }
}

/// Formats a literal in a dialect.
pub(super) fn literal(of: Type, text: &str, dialect: Dialect) -> String {
    match (of, dialect) {
        (Type::Date, Dialect::Sqlite) => format!("'{text}'"),
        (Type::Date, _) => format!("DATE '{text}'"),
        _ if text.starts_with('-') => format!("({text})"),
        _ => text.to_owned(),
    }
}

#[derive(Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<&'static Column>,
    /// `None` is NULL. The first column is the number of the row.
    pub(super) rows: Vec<Vec<Option<&'static str>>>,
    pub(super) has_key: bool,
}

/// The tables of one seed, and the settings of the session that reads them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) tables: Vec<Table>,
    pub(super) seed: u64,
}

const NUMBERS: [&str; 16] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let table = |name, rows, has_key, numbers: &mut Numbers| {
            let columns: Vec<&'static Column> = COLUMNS.iter().collect();
            let rows = NUMBERS[..rows].iter().map(|number| row(number, &columns, numbers)).collect();
            Table { name, columns, rows, has_key }
        };
        let sizes = [6 + numbers.below(8), 3 + numbers.below(5), 1 + numbers.below(8), numbers.below(3)];
        let tables = ["t0", "t1", "t2", "t3"]
            .into_iter()
            .zip(sizes)
            .map(|(name, rows)| table(name, rows, name == "t2", &mut numbers));
        Self { tables: tables.collect(), seed }
    }

    /// Whether the session prefers them to hash joins.
    pub(super) fn has_sort_merge_joins(&self) -> bool {
        self.seed % 3 == 2
    }
}

fn row(number: &'static str, columns: &[&'static Column], numbers: &mut Numbers) -> Vec<Option<&'static str>> {
    let cell = |column: &&Column, numbers: &mut Numbers| {
        if numbers.one_in(3) { None } else { Some(numbers.pick(literals(column.of))) }
    };
    let rest = columns[1..].iter().map(|column| cell(column, numbers));
    std::iter::once(Some(number)).chain(rest.collect::<Vec<_>>()).collect()
}

impl Table {
    pub(super) fn create(&self, name: &str, dialect: Dialect) -> String {
        let of = |column: &&Column| match (dialect, column.of) {
            (Dialect::Sqlite, Type::Quarter | Type::Price) => "REAL",
            (Dialect::Sqlite, Type::Date) => "TEXT",
            _ => column.sql,
        };
        let columns = self.columns.iter().map(|column| {
            let key =
                if self.has_key && column.name == "id" && dialect == Dialect::Cayenne { " PRIMARY KEY" } else { "" };
            format!("{} {}{key}", column.name, of(column))
        });
        format!("CREATE TABLE {name} ({})", columns.collect::<Vec<_>>().join(", "))
    }

    /// Returns an insert of some of the rows, or `None` if there are none.
    pub(super) fn insert(&self, name: &str, rows: &[Vec<Option<&'static str>>], dialect: Dialect) -> Option<String> {
        let cell = |(column, cell): (&&Column, Option<&str>)| {
            cell.map_or("NULL".to_owned(), |text| literal(column.of, text, dialect))
        };
        let rows = rows.iter().map(|row| {
            let cells: Vec<String> = self.columns.iter().zip(row.iter().copied()).map(cell).collect();
            format!("({})", cells.join(", "))
        });
        let rows: Vec<String> = rows.collect();
        (!rows.is_empty()).then(|| format!("INSERT INTO {name} VALUES {}", rows.join(", ")))
    }
}
