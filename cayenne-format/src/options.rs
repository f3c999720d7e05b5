//! What is decided once for a table and kept with it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::key_options::{parse_columns, show_columns};
use crate::{
    CompactionOptions, ConflictDetection, DeletionMode, Error, InlineTotals, OnConflict, Result, UnsupportedTypeAction,
};

/// How data files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// A cascade of light encodings chosen from samples: fast to read. The default.
    #[default]
    BtrBlocks,
    /// Zstandard for text and bytes, Pcodec for numbers: smaller, slower to read.
    Zstd,
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "btrblocks" => Ok(Self::BtrBlocks),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::invalid("unknown compression strategy")
                .with("found", text)
                .help("use 'btrblocks' or 'zstd'")),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BtrBlocks => "btrblocks",
            Self::Zstd => "zstd",
        })
    }
}

/// The persisted choices of a table. They affect files written from then on; a table may hold files of several choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The size, in MiB, at which a writer closes a data file and opens the next. Default 256.
    pub target_file_size_mb: NonZeroU64,
    /// How data files are compressed. Default `btrblocks`.
    pub compression: Compression,
    /// What is done with columns of types that cannot be stored. Default `error`.
    pub unsupported_type_action: UnsupportedTypeAction,
    /// Which writes stay in the metastore, and until when.
    pub inline: InlineOptions,
    /// Which snapshots besides the current one are kept.
    pub retention: RetentionOptions,
    /// When data files become fewer and larger ones.
    pub compaction: CompactionOptions,
    /// The columns of the primary key, in its order; none: the table has none. They are never null.
    pub primary_key: Vec<String>,
    /// What becomes of rows whose key exists already. Default: they take its place.
    pub on_conflict: OnConflict,
    /// The columns that `on_conflict` was said for, if any were named: they must be those of the primary key. Not stored.
    #[serde(skip)]
    pub conflict_columns: Vec<String>,
    /// Whether incoming keys are compared with those that exist. Default `auto`: they are.
    pub conflict_detection: ConflictDetection,
    /// How hidden rows are recorded. Default `auto`: by position.
    pub deletion_mode: DeletionMode,
    /// What a column holds in rows that are inserted without a value for it, as SQL text by the name of the column.
    /// Columns that are not named here hold null. They are declared with the columns and cannot be set by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub column_defaults: BTreeMap<String, String>,
}

/// Which writes are kept in the metastore, as one transaction without a file, and when their rows move to data files.
///
/// A limit of 0 switches off what it limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InlineOptions {
    /// A write with more rows becomes data files; 0: every write does. Default 1,024.
    pub max_rows: u64,
    /// So does one with more bytes in the form of Arrow IPC; 0: every write does. Default 1 MiB.
    pub max_bytes: u64,
    /// At this many inline rows they are flushed to data files. Default 65,536.
    pub flush_max_rows: u64,
    /// At this many inline data files they are flushed. Default 256.
    pub flush_max_segments: u64,
    /// At this many inline bytes they are flushed. Default 16 MiB.
    pub flush_max_bytes: u64,
}

impl Default for InlineOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            max_rows: 1024,
            max_bytes: MIB,
            flush_max_rows: 64 * 1024,
            flush_max_segments: 256,
            flush_max_bytes: 16 * MIB,
        }
    }
}

impl InlineOptions {
    /// Every write becomes data files.
    pub const OFF: Self =
        Self { max_rows: 0, max_bytes: 0, flush_max_rows: 0, flush_max_segments: 0, flush_max_bytes: 0 };

    /// Says whether small writes are kept in the metastore.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.max_rows > 0 && self.max_bytes > 0
    }

    /// Says whether a write of this many rows and bytes is kept in the metastore.
    #[must_use]
    pub fn admits(&self, rows: u64, bytes: u64) -> bool {
        rows <= self.max_rows && bytes <= self.max_bytes
    }

    /// Says whether so many inline rows are to be flushed.
    #[must_use]
    pub fn is_full(&self, inline: InlineTotals) -> bool {
        let reached = |found: u64, limit: u64| limit > 0 && found >= limit;
        reached(inline.rows, self.flush_max_rows)
            || reached(inline.files, self.flush_max_segments)
            || reached(inline.bytes, self.flush_max_bytes)
    }

    fn validate(&self) -> Result<()> {
        let never = self.flush_max_rows == 0 && self.flush_max_segments == 0 && self.flush_max_bytes == 0;
        if self.is_on() && never {
            return Err(Error::invalid("inline rows would never be flushed to data files")
                .code("invalid-option")
                .with("options", "cayenne_inline_flush_max_rows, …_segments and …_bytes are all 0")
                .help("set one of them, or cayenne_inline_max_rows to 0"));
        }
        Ok(())
    }
}

/// Which snapshots besides the current one are kept; one is kept if either rule keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionOptions {
    /// This many of the latest before the current one. Default 0.
    pub count: u64,
    /// Those that were current within this many seconds. Default 0.
    pub seconds: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            target_file_size_mb: DEFAULT_TARGET,
            compression: Compression::default(),
            unsupported_type_action: UnsupportedTypeAction::default(),
            inline: InlineOptions::default(),
            retention: RetentionOptions::default(),
            compaction: CompactionOptions::default(),
            primary_key: Vec::new(),
            on_conflict: OnConflict::default(),
            conflict_detection: ConflictDetection::default(),
            conflict_columns: Vec::new(),
            deletion_mode: DeletionMode::default(),
            column_defaults: BTreeMap::new(),
        }
    }
}

const DEFAULT_TARGET: NonZeroU64 = NonZeroU64::MIN.saturating_add(255);

impl TableOptions {
    /// Returns the size at which a writer closes a data file, in bytes.
    #[must_use]
    pub fn target_file_bytes(&self) -> u64 {
        self.target_file_size_mb.get().saturating_mul(1024 * 1024)
    }

    /// Sets one option from text. `name` may carry the prefix `cayenne_` or `cayenne.`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an unknown name (naming the nearest known one) or a value
    /// out of range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("cayenne_").or_else(|| lower.strip_prefix("cayenne.")).unwrap_or(&lower);
        match bare {
            "target_file_size_mb" => self.target_file_size_mb = parse_size(name, value)?,
            "compression_strategy" => self.compression = parse_word(name, value)?,
            "unsupported_type_action" => self.unsupported_type_action = parse_word(name, value)?,
            "inline_max_rows" => self.inline.max_rows = parse_count(name, value)?,
            "inline_max_bytes" => self.inline.max_bytes = parse_count(name, value)?,
            "inline_flush_max_rows" => self.inline.flush_max_rows = parse_count(name, value)?,
            "inline_flush_max_segments" => self.inline.flush_max_segments = parse_count(name, value)?,
            "inline_flush_max_bytes" => self.inline.flush_max_bytes = parse_count(name, value)?,
            "snapshot_retention_count" => self.retention.count = parse_count(name, value)?,
            "snapshot_retention" => self.retention.seconds = parse_seconds(name, value)?,
            "primary_key" => self.primary_key = parse_columns(name, value)?,
            "on_conflict" => self.set_on_conflict(name, value)?,
            "pk_conflict_detection" => self.conflict_detection = parse_word(name, value)?,
            "deletion_mode" => self.deletion_mode = parse_word(name, value)?,
            _ => {
                let set = self.compaction.set(bare, || parse_count(name, value));
                set.unwrap_or_else(|| Err(unknown(name, bare)))?;
            }
        }
        Ok(())
    }

    /// Says what is wrong with these options together, if anything is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the options.
    pub fn validate(&self) -> Result<()> {
        self.inline.validate()?;
        self.validate_key()
    }

    /// Returns the options as name and text, as [`set`](Self::set) takes them.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let others = vec![
            ("cayenne_target_file_size_mb", self.target_file_size_mb.to_string()),
            ("cayenne_compression_strategy", self.compression.to_string()),
            ("cayenne_unsupported_type_action", self.unsupported_type_action.to_string()),
            ("cayenne_inline_max_rows", self.inline.max_rows.to_string()),
            ("cayenne_inline_max_bytes", self.inline.max_bytes.to_string()),
            ("cayenne_inline_flush_max_rows", self.inline.flush_max_rows.to_string()),
            ("cayenne_inline_flush_max_segments", self.inline.flush_max_segments.to_string()),
            ("cayenne_inline_flush_max_bytes", self.inline.flush_max_bytes.to_string()),
            ("cayenne_snapshot_retention_count", self.retention.count.to_string()),
            ("cayenne_snapshot_retention", format!("{}s", self.retention.seconds)),
            ("primary_key", show_columns(&self.primary_key)),
            ("on_conflict", self.on_conflict.to_string()),
            ("cayenne_pk_conflict_detection", self.conflict_detection.to_string()),
            ("cayenne_deletion_mode", self.deletion_mode.to_string()),
        ];
        others.into_iter().chain(self.compaction.to_pairs()).collect()
    }

    /// Returns the stored form: JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the text is not what [`encode`](Self::encode) writes.
    pub fn decode(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::corrupt("stored table options cannot be read").because(error))
    }
}

const NAMES: [&str; 14] = [
    "target_file_size_mb",
    "compression_strategy",
    "unsupported_type_action",
    "inline_max_rows",
    "inline_max_bytes",
    "inline_flush_max_rows",
    "inline_flush_max_segments",
    "inline_flush_max_bytes",
    "snapshot_retention_count",
    "snapshot_retention",
    "primary_key",
    "on_conflict",
    "pk_conflict_detection",
    "deletion_mode",
];

fn parse_word<T: FromStr<Err = Error>>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error: Error| error.with("option", name))
}

fn parse_size(name: &str, value: &str) -> Result<NonZeroU64> {
    value.trim().parse().map_err(|error: std::num::ParseIntError| {
        Error::invalid("option needs a whole number of at least 1")
            .with("option", name)
            .with("found", value)
            .because(error)
    })
}

fn parse_count(name: &str, value: &str) -> Result<u64> {
    value.trim().parse().map_err(|error: std::num::ParseIntError| {
        Error::invalid("option needs a whole number").with("option", name).with("found", value).because(error)
    })
}

/// Reads `90s`, `15m`, `6h`, `7d`, or a plain number of seconds.
fn parse_seconds(name: &str, value: &str) -> Result<u64> {
    let text = value.trim().to_ascii_lowercase();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((&text, ""));
    let factor = match unit.trim() {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = factor.and_then(|factor: u64| number.parse::<u64>().ok()?.checked_mul(factor));
    seconds.ok_or_else(|| {
        Error::invalid("option needs a length of time")
            .with("option", name)
            .with("found", value)
            .help("write it as a whole number and a unit: 90s, 15m, 6h or 7d")
    })
}

fn unknown(name: &str, bare: &str) -> Error {
    let of_compaction = CompactionOptions::NAMES.iter().filter_map(|name| name.strip_prefix("cayenne_"));
    let known: Vec<&str> = NAMES.into_iter().chain(of_compaction).collect();
    let nearest = known.iter().min_by_key(|known| distance(known, bare)).copied().unwrap_or_default();
    Error::invalid("unknown table option")
        .code("unknown-option")
        .with("option", name)
        .help(format!("did you mean 'cayenne_{nearest}'? known options: cayenne_{}", known.join(", cayenne_")))
}

/// The Levenshtein distance of two short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let cheapest = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, cheapest);
            left = cheapest;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_option_can_be_set_and_read_back() {
        let mut options = TableOptions::default();
        options.set("cayenne.target_file_size_mb", "7").unwrap();
        options.set("COMPRESSION_STRATEGY", "zstd").unwrap();
        options.set("cayenne_unsupported_type_action", "string").unwrap();
        options.set("cayenne_compaction_trigger_files", "1").unwrap();
        options.set("compaction_background_interval_ms", "0").unwrap();
        assert_eq!((options.compaction.trigger_files, options.compaction.background_interval_ms), (2, 0), "clamped");
        let mut again = TableOptions::default();
        options.to_pairs().iter().for_each(|(name, value)| again.set(name, value).unwrap());
        assert_eq!(again, options);
        assert_eq!(TableOptions::decode(&options.encode()).unwrap(), options);
        assert_eq!(NAMES.len() + CompactionOptions::NAMES.len(), options.to_pairs().len());
    }

    #[test]
    fn defaults_of_columns_are_stored_only_where_there_are_any() {
        let mut options = TableOptions::default();
        assert!(!options.encode().contains("column_defaults"), "earlier versions refuse what they do not know");
        options.column_defaults.insert("a \"b\"".to_owned(), "'it''s' || now()".to_owned());
        assert_eq!(TableOptions::decode(&options.encode()).unwrap(), options);
    }

    #[test]
    fn a_misspelt_option_names_its_nearest_neighbour() {
        let error = TableOptions::default().set("cayenne_target_file_sise_mb", "7").unwrap_err();
        assert!(error.way_to_mend().unwrap().contains("did you mean 'cayenne_target_file_size_mb'"), "{error:?}");
    }

    #[test]
    fn lengths_of_time_have_units() {
        let of = |text: &str| {
            let mut options = TableOptions::default();
            options.set("cayenne_snapshot_retention", text).map(|()| options.retention.seconds).ok()
        };
        assert_eq!(
            [of("90"), of("90s"), of("15m"), of("6 h"), of("7D")],
            [Some(90), Some(90), Some(900), Some(21_600), Some(604_800)]
        );
        assert_eq!([of(""), of("s"), of("-1s"), of("1w"), of("99999999999999999d")], [None; 5]);
    }

    #[test]
    fn inlining_without_a_way_out_is_refused() {
        let mut options = TableOptions::default();
        for limit in ["rows", "segments", "bytes"] {
            assert!(options.validate().is_ok(), "one limit is enough");
            options.set(&format!("inline_flush_max_{limit}"), "0").unwrap();
        }
        assert_eq!(options.validate().unwrap_err().stable_code(), "invalid-option");
        options.set("inline_max_rows", "0").unwrap();
        assert!(options.validate().is_ok(), "nothing is inlined");
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for value in ["0", "-1", "", "1e3", "99999999999999999999"] {
            assert!(TableOptions::default().set("target_file_size_mb", value).is_err(), "{value} was accepted");
        }
    }
}
