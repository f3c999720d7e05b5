//! The options of a table, which are persisted with it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    CompactionOptions, ConflictDetection, DeletionMode, Error, InlineTotals, OnConflict, Result, UnsupportedTypeAction,
};

/// How data files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// A cascade of lightweight encodings, chosen from samples: fast to read. The default.
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

/// The persisted options of a table. They apply to files written from then on; a table may hold files written under
/// different options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The size, in MiB, at which a writer closes a data file and opens the next. Default 256.
    pub target_file_size_mb: NonZeroU64,
    /// How data files are compressed. Default `btrblocks`.
    pub compression: Compression,
    /// What is done with columns of types that cannot be stored. Default `error`.
    pub unsupported_type_action: UnsupportedTypeAction,
    /// Which writes are stored inline, and when their rows are flushed.
    pub inline: InlineOptions,
    /// Which snapshots are kept besides the current one.
    pub retention: RetentionOptions,
    /// When data files are compacted.
    pub compaction: CompactionOptions,
    /// The columns of the primary key, in key order; empty if the table has none. They are never null.
    pub primary_key: Vec<String>,
    /// What is done with rows whose key already exists. Default: they replace the existing rows.
    pub on_conflict: OnConflict,
    /// The columns that were named with `on_conflict`, if any: they must be those of the primary key. Not stored.
    #[serde(skip)]
    pub conflict_columns: Vec<String>,
    /// Whether the keys of new rows are looked up among the existing ones. Default `auto`: they are.
    pub conflict_detection: ConflictDetection,
    /// How hidden rows are recorded. Default `auto`: by position.
    pub deletion_mode: DeletionMode,
    /// The defaults of columns, as SQL text by column name: what rows hold that are inserted without a value. The
    /// default of all other columns is null. Defaults are declared with the columns and cannot be set by option name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub column_defaults: BTreeMap<String, String>,
}

/// Which writes are stored inline, as one metastore transaction without a file, and when their rows are flushed to data
/// files.
///
/// A limit of 0 switches off what it limits: inline writes, or that trigger of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InlineOptions {
    /// Maximum number of rows of an inline write; a larger write becomes data files. 0: every write does. Default
    /// 1,024.
    pub max_rows: u64,
    /// Maximum size of an inline write as Arrow IPC, in bytes; a larger write becomes data files. 0: every write does.
    /// Default 1 MiB.
    pub max_bytes: u64,
    /// Number of inline rows that starts a flush. Default 65,536.
    pub flush_max_rows: u64,
    /// Number of inline data files that starts a flush. Default 256.
    pub flush_max_segments: u64,
    /// Bytes of inline rows that start a flush. Default 16 MiB.
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

    /// Says whether small writes are stored inline.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.max_rows > 0 && self.max_bytes > 0
    }

    /// Says whether a write of this many rows and bytes is stored inline.
    #[must_use]
    pub fn admits(&self, rows: u64, bytes: u64) -> bool {
        rows <= self.max_rows && bytes <= self.max_bytes
    }

    /// Says whether this many inline rows must be flushed.
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

/// Which snapshots are kept besides the current one. A snapshot is kept if either rule keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionOptions {
    /// Number of snapshots kept before the current one. Default 0.
    pub count: u64,
    /// Snapshots that were current within this many seconds are kept. Default 0.
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

    /// Checks that these options are valid together.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the options.
    pub fn validate(&self) -> Result<()> {
        self.inline.validate()?;
        self.validate_key()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_columns_are_stored_only_where_there_are_any() {
        let mut options = TableOptions::default();
        assert!(!options.encode().contains("column_defaults"), "earlier versions refuse what they do not know");
        options.column_defaults.insert("a \"b\"".to_owned(), "'it''s' || now()".to_owned());
        assert_eq!(TableOptions::decode(&options.encode()).unwrap(), options);
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
}
