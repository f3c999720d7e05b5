//! What is decided once for a table and kept with it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, UnsupportedTypeAction};

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
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            target_file_size_mb: DEFAULT_TARGET,
            compression: Compression::default(),
            unsupported_type_action: UnsupportedTypeAction::default(),
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
            "compression_strategy" => {
                self.compression = value.parse().map_err(|error: Error| error.with("option", name))?;
            }
            "unsupported_type_action" => {
                self.unsupported_type_action = value.parse().map_err(|error: Error| error.with("option", name))?;
            }
            _ => return Err(unknown(name, bare)),
        }
        Ok(())
    }

    /// Returns the options as name and text, as [`set`](Self::set) takes them.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cayenne_target_file_size_mb", self.target_file_size_mb.to_string()),
            ("cayenne_compression_strategy", self.compression.to_string()),
            ("cayenne_unsupported_type_action", self.unsupported_type_action.to_string()),
        ]
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

const NAMES: [&str; 3] = ["target_file_size_mb", "compression_strategy", "unsupported_type_action"];

fn parse_size(name: &str, value: &str) -> Result<NonZeroU64> {
    value.trim().parse().map_err(|error: std::num::ParseIntError| {
        Error::invalid("option needs a whole number of at least 1")
            .with("option", name)
            .with("found", value)
            .because(error)
    })
}

fn unknown(name: &str, bare: &str) -> Error {
    let nearest = NAMES.iter().min_by_key(|known| distance(known, bare)).copied().unwrap_or_default();
    Error::invalid("unknown table option")
        .code("unknown-option")
        .with("option", name)
        .help(format!("did you mean 'cayenne_{nearest}'? known options: cayenne_{}", NAMES.join(", cayenne_")))
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
        let mut again = TableOptions::default();
        options.to_pairs().iter().for_each(|(name, value)| again.set(name, value).unwrap());
        assert_eq!(again, options);
        assert_eq!(TableOptions::decode(&options.encode()).unwrap(), options);
        assert_eq!(NAMES.len(), options.to_pairs().len());
    }

    #[test]
    fn a_misspelt_option_names_its_nearest_neighbour() {
        let error = TableOptions::default().set("cayenne_target_file_sise_mb", "7").unwrap_err();
        assert!(error.way_to_mend().unwrap().contains("did you mean 'cayenne_target_file_size_mb'"), "{error:?}");
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for value in ["0", "-1", "", "1e3", "99999999999999999999"] {
            assert!(TableOptions::default().set("target_file_size_mb", value).is_err(), "{value} was accepted");
        }
    }
}
