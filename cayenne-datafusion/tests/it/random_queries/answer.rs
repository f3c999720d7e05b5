//! Rows of any engine in a common form.

/// Number of decimal digits to compare. Further digits differ between engines: sums of floats, quotients of decimals.
const DIGITS: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Number(String),
    Text(String),
}

impl Cell {
    /// A number, or a boolean as one: SQLite has no booleans.
    pub(super) fn number(number: f64) -> Self {
        let text = format!("{number:.DIGITS$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        Self::Number(if text == "-0" { "0".to_owned() } else { text.to_owned() })
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// The rows of a result, in the order in which they were returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer(pub(super) Vec<Vec<Cell>>);

impl Answer {
    /// The rows of a query without an order.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = |row: &Vec<Cell>| {
            let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
            format!("({})", cells.join(", "))
        };
        let rows: Vec<String> = self.0.iter().map(row).collect();
        write!(f, "{} rows: {}", rows.len(), rows.join(" "))
    }
}
