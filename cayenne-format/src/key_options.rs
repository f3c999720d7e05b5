//! The options of a table that concern its primary key, and their text form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, TableOptions};

/// What is done with a new row whose key already exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The new row replaces the existing one. Of several rows of one statement with one key, the last wins. The
    /// default.
    #[default]
    Upsert,
    /// The new row is left out. Of several rows of one statement with one key, the first wins.
    Drop,
    /// The statement fails and changes nothing.
    Error,
}

impl FromStr for OnConflict {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "upsert" => Ok(Self::Upsert),
            "drop" => Ok(Self::Drop),
            "error" => Ok(Self::Error),
            _ => Err(unknown("unknown action for key conflicts", text, "use 'upsert', 'drop' or 'error'")),
        }
    }
}

impl fmt::Display for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upsert => "upsert",
            Self::Drop => "drop",
            Self::Error => "error",
        })
    }
}

/// Whether the keys of new rows are looked up among the existing ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictDetection {
    /// They are, so that at most one visible row has each key. The default.
    #[default]
    Auto,
    /// They are not: for sources that guarantee to send each key once. If a source breaks the guarantee, several rows
    /// of the table have one key.
    None,
}

impl FromStr for ConflictDetection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => Err(unknown("unknown kind of conflict detection", text, "use 'auto' or 'none'")),
        }
    }
}

impl fmt::Display for ConflictDetection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
        })
    }
}

/// How the rows that a commit hides are recorded. Rows that the same commit adds and hides are always recorded by
/// position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionMode {
    /// The mode that suits the table: by position.
    #[default]
    Auto,
    /// Positions of rows in their data files.
    Position,
    /// Keys of rows; requires a primary key.
    Key,
}

impl DeletionMode {
    /// Returns the effective mode: by position or by key.
    #[must_use]
    pub fn in_force(self) -> Self {
        match self {
            Self::Auto | Self::Position => Self::Position,
            Self::Key => Self::Key,
        }
    }
}

impl FromStr for DeletionMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "position" => Ok(Self::Position),
            "key" => Ok(Self::Key),
            _ => Err(unknown("unknown deletion mode", text, "use 'auto', 'position' or 'key'")),
        }
    }
}

impl fmt::Display for DeletionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Position => "position",
            Self::Key => "key",
        })
    }
}

fn unknown(problem: &'static str, found: &str, help: &'static str) -> Error {
    Error::invalid(problem).with("found", found).help(help)
}

impl TableOptions {
    /// Says whether the table has a primary key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.primary_key.is_empty()
    }

    /// Says whether the keys of new rows are looked up among the existing ones.
    #[must_use]
    pub fn finds_conflicts(&self) -> bool {
        self.has_key() && self.conflict_detection == ConflictDetection::Auto
    }

    /// Reads `upsert`, or `{ (a, b): upsert }` with the columns of the primary key.
    pub(crate) fn set_on_conflict(&mut self, name: &str, value: &str) -> Result<()> {
        let text = value.trim();
        let Some(map) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            (self.on_conflict, self.conflict_columns) = (text.parse()?, Vec::new());
            return Ok(());
        };
        let Some((columns, action)) = map.rsplit_once(':') else {
            return Err(Error::invalid("option needs columns and what becomes of their conflicts")
                .with("option", name)
                .with("found", value)
                .help("write { (a, b): upsert }, or the action alone"));
        };
        (self.on_conflict, self.conflict_columns) = (action.parse()?, parse_columns(name, columns)?);
        Ok(())
    }

    /// Returns warnings about options that have no effect, for the user who set them.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let is_idle = self.conflict_detection == ConflictDetection::None && self.on_conflict != OnConflict::default();
        is_idle
            .then_some("on_conflict has no effect while cayenne_pk_conflict_detection is 'none'")
            .into_iter()
            .collect()
    }

    /// Checks that the columns named with `on_conflict` are those of the primary key, in any order.
    fn validate_conflict_columns(&self) -> Result<()> {
        let named = &self.conflict_columns;
        let is_key = named.len() == self.primary_key.len() && self.primary_key.iter().all(|name| named.contains(name));
        if named.is_empty() || is_key {
            return Ok(());
        }
        Err(Error::invalid("the columns of on_conflict differ from the primary key")
            .code("invalid-option")
            .with("option", "on_conflict")
            .with("found", show_columns(named))
            .with("primary_key", show_columns(&self.primary_key))
            .help("use the columns of the primary key, or only the action"))
    }

    pub(crate) fn validate_key(&self) -> Result<()> {
        self.validate_conflict_columns()?;
        let twice = self
            .primary_key
            .iter()
            .enumerate()
            .find(|(at, column)| self.primary_key.iter().take(*at).any(|earlier| earlier == *column));
        if let Some((_, column)) = twice {
            return Err(Error::invalid("a column is listed twice in the primary key")
                .code("invalid-primary-key")
                .with("column", column));
        }
        let refused = |option: &'static str, found: &dyn fmt::Display| {
            Err(Error::invalid("the option needs a primary key")
                .code("invalid-option")
                .with("option", option)
                .with("found", found)
                .help("declare a primary key, or leave the option out"))
        };
        match self {
            Self { deletion_mode: DeletionMode::Key, conflict_detection: ConflictDetection::None, .. }
                if self.has_key() =>
            {
                // If several rows had one key, its tombstone would hide all of them.
                Err(Error::invalid("rows cannot be deleted by key without conflict detection")
                    .code("invalid-option")
                    .with("option", "cayenne_deletion_mode")
                    .with("found", self.deletion_mode)
                    .help("leave out cayenne_pk_conflict_detection 'none', or use cayenne_deletion_mode 'position'"))
            }
            _ if self.has_key() => Ok(()),
            Self { deletion_mode: DeletionMode::Key, .. } => refused("cayenne_deletion_mode", &self.deletion_mode),
            Self { on_conflict: OnConflict::Drop | OnConflict::Error, .. } => refused("on_conflict", &self.on_conflict),
            Self { conflict_detection: ConflictDetection::None, .. } => {
                refused("cayenne_pk_conflict_detection", &self.conflict_detection)
            }
            _ => Ok(()),
        }
    }
}

/// Reads `a`, `a, b` or `(a, "b c")`: column names, quoted if they contain a comma or a quote, or begin or end with a
/// space.
pub(crate) fn parse_columns(name: &str, value: &str) -> Result<Vec<String>> {
    let text = value.trim();
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let mut columns = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let Some((column, after)) = first_column(rest) else {
            return Err(Error::invalid("option needs names of columns")
                .with("option", name)
                .with("found", value)
                .help("write (a, b); a name with a comma or a quote in it in double quotes"));
        };
        columns.push(column);
        rest = after;
    }
    Ok(columns)
}

/// Takes the first name off a list.
fn first_column(list: &str) -> Option<(String, &str)> {
    let (column, after) = if let Some(quoted) = list.strip_prefix('"') {
        until_quote(quoted)?
    } else {
        let (column, after) = list.split_at(list.find(',').unwrap_or(list.len()));
        (column.trim().to_owned(), after)
    };
    let after = after.trim_start();
    let next = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    // A comma needs a name after it.
    let is_cut_short = !after.is_empty() && next.is_empty();
    (!column.is_empty() && !is_cut_short).then_some((column, next))
}

/// Reads up to the closing quote of a name; a doubled quote stands for one quote.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Writes names of columns as [`parse_columns`] reads them.
pub(crate) fn show_columns(columns: &[String]) -> String {
    let quoted = |column: &String| {
        let is_plain = !column.contains(['"', ',', '(', ')']) && column.trim() == column && !column.is_empty();
        if is_plain { column.clone() } else { format!("\"{}\"", column.replace('"', "\"\"")) }
    };
    columns.iter().map(quoted).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_read_in_every_way_people_write_them() {
        let of = |text| parse_columns("primary_key", text).ok();
        let ab = Some(vec!["a".to_owned(), "b c".to_owned()]);
        assert_eq!([of("a, b c"), of(" (a ,b c) "), of("\"a\",\"b c\"")], [ab.clone(), ab.clone(), ab]);
        assert_eq!(of(""), Some(vec![]));
        assert_eq!([of("a,"), of(",a"), of("\"a"), of("\"a\"b"), of("a,,b")], [const { None }; 5]);
    }

    proptest! {
        #[test]
        fn shown_columns_are_read_back(columns in prop::collection::vec("[a-c \",()é]{1,4}", 0..4)) {
            prop_assert_eq!(parse_columns("primary_key", &show_columns(&columns)).unwrap(), columns);
        }
    }

    #[test]
    fn conflicts_are_said_for_the_key_or_for_no_columns() {
        let of = |key: &str, on_conflict: &str| {
            let mut options = TableOptions::default();
            options.set("primary_key", key)?;
            options.set("on_conflict", on_conflict)?;
            options.validate()?;
            Ok::<_, Error>(options.on_conflict)
        };
        for (key, text) in
            [("a", "{a: drop}"), ("a, b", "{ (b, a) : DROP }"), ("a", " drop "), ("\"x:y\"", "{\"x:y\": drop}")]
        {
            assert_eq!(of(key, text).unwrap(), OnConflict::Drop, "{text}");
        }
        for text in ["{a: drop}", "{(a, b, c): drop}", "{(a, a): drop}", "{a, c: drop}"] {
            assert_eq!(of("a, b", text).unwrap_err().stable_code(), "invalid-option", "{text}");
        }
        for text in ["{a}", "{a: keep}", "{:", "{a,: drop}", "a: drop"] {
            of("a", text).unwrap_err();
        }
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let mut options = TableOptions::default();
        options.set("primary_key", "id").unwrap();
        options.set("on_conflict", "drop").unwrap();
        assert_eq!(options.warnings(), [""; 0]);
        options.set("pk_conflict_detection", "none").unwrap();
        assert_eq!(options.warnings().len(), 1);
    }

    #[test]
    fn what_needs_a_key_is_refused_without_one() {
        for (name, value) in [("deletion_mode", "key"), ("on_conflict", "drop"), ("pk_conflict_detection", "none")] {
            let mut options = TableOptions::default();
            options.set(name, value).unwrap();
            assert_eq!(options.validate().unwrap_err().stable_code(), "invalid-option", "{name}");
            options.set("primary_key", "id").unwrap();
            options.validate().unwrap();
        }
        let mut options = TableOptions::default();
        options.set("primary_key", "a, b, a").unwrap();
        assert_eq!(options.validate().unwrap_err().stable_code(), "invalid-primary-key");
    }
}
