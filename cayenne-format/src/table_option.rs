//! The list of table options: their names, values, defaults and meanings, and how each is set and shown.

use std::num::NonZeroU64;
use std::str::FromStr;

use crate::key_options::{parse_columns, show_columns};
use crate::{Error, Result, TableOptions};

/// An option of a table, as SQL and the command name it.
#[derive(Clone, Copy, Debug)]
pub struct TableOption {
    /// The name that is shown. The prefix `cayenne_` may be left out, or written `cayenne.`.
    pub name: &'static str,
    /// The values that it takes.
    pub values: &'static str,
    /// What it does.
    pub meaning: &'static str,
    get: fn(&TableOptions) -> String,
    /// Takes the name as it was written, for errors, and the value.
    set: fn(&mut TableOptions, &str, &str) -> Result<()>,
}

impl TableOption {
    /// Returns the value of a table for which the option is not set.
    #[must_use]
    pub fn default_value(&self) -> String {
        (self.get)(&TableOptions::default())
    }

    fn bare_name(&self) -> &'static str {
        self.name.strip_prefix("cayenne_").unwrap_or(self.name)
    }
}

const COUNT: &str = "a whole number";
const COUNT_OR_NONE: &str = "a whole number; 0: no limit";
const COUNT_FROM_1: &str = "a whole number, at least 1";
const COUNT_FROM_2: &str = "a whole number, at least 2";
const MILLISECONDS: &str = "milliseconds; 0: never";

/// Every option of a table, in the order in which they are shown.
pub const TABLE_OPTIONS: [TableOption; 20] = [
    TableOption {
        name: "cayenne_target_file_size_mb",
        values: COUNT_FROM_1,
        meaning: "size in MiB at which a writer closes a data file and opens the next",
        get: |options| options.target_file_size_mb.to_string(),
        set: |options, name, value| parse_size(name, value).map(|it| options.target_file_size_mb = it),
    },
    TableOption {
        name: "cayenne_compression_strategy",
        values: "`btrblocks`, `zstd`",
        meaning: "`btrblocks` is faster to read, `zstd` is smaller",
        get: |options| options.compression.to_string(),
        set: |options, name, value| parse_word(name, value).map(|it| options.compression = it),
    },
    TableOption {
        name: "cayenne_unsupported_type_action",
        values: "`error`, `string`, `warn`, `ignore`",
        meaning: "what is done with a column whose type cannot be stored: refuse it, store it as text, leave it out with \
                  a warning, or leave it out",
        get: |options| options.unsupported_type_action.to_string(),
        set: |options, name, value| parse_word(name, value).map(|it| options.unsupported_type_action = it),
    },
    TableOption {
        name: "cayenne_inline_max_rows",
        values: "a whole number; 0: every write becomes data files",
        meaning: "most rows of a write that is stored in the metastore; a larger write becomes data files",
        get: |options| options.inline.max_rows.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.inline.max_rows = it),
    },
    TableOption {
        name: "cayenne_inline_max_bytes",
        values: "a whole number; 0: every write becomes data files",
        meaning: "most bytes of a write that is stored in the metastore; a larger write becomes data files",
        get: |options| options.inline.max_bytes.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.inline.max_bytes = it),
    },
    TableOption {
        name: "cayenne_inline_flush_max_rows",
        values: COUNT_OR_NONE,
        meaning: "number of inline rows that starts a flush",
        get: |options| options.inline.flush_max_rows.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.inline.flush_max_rows = it),
    },
    TableOption {
        name: "cayenne_inline_flush_max_segments",
        values: COUNT_OR_NONE,
        meaning: "number of inline data files that starts a flush",
        get: |options| options.inline.flush_max_segments.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.inline.flush_max_segments = it),
    },
    TableOption {
        name: "cayenne_inline_flush_max_bytes",
        values: COUNT_OR_NONE,
        meaning: "bytes of inline rows that start a flush",
        get: |options| options.inline.flush_max_bytes.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.inline.flush_max_bytes = it),
    },
    TableOption {
        name: "cayenne_snapshot_retention_count",
        values: COUNT,
        meaning: "number of snapshots that are kept before the current one",
        get: |options| options.retention.count.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.retention.count = it),
    },
    TableOption {
        name: "cayenne_snapshot_retention",
        values: "a length of time: `90s`, `15m`, `6h`, `7d`",
        meaning: "snapshots that were current within this time are kept",
        get: |options| format!("{}s", options.retention.seconds),
        set: |options, name, value| parse_seconds(name, value).map(|it| options.retention.seconds = it),
    },
    TableOption {
        name: "primary_key",
        values: "columns: `a` or `(a, b)`",
        meaning: "columns of the primary key; in SQL, `PRIMARY KEY` declares them",
        get: |options| show_columns(&options.primary_key),
        set: |options, name, value| parse_columns(name, value).map(|it| options.primary_key = it),
    },
    TableOption {
        name: "on_conflict",
        values: "`upsert`, `drop`, `error`, or `{ (a, b): drop }` with the columns of the key",
        meaning: "what is done with a row whose key exists: replace the old row, leave the new one out, or refuse the write",
        get: |options| options.on_conflict.to_string(),
        set: TableOptions::set_on_conflict,
    },
    TableOption {
        name: "cayenne_pk_conflict_detection",
        values: "`auto`, `none`",
        meaning: "`none`: keys of new rows are not looked up, for sources that send each key once; the table has no key \
                  index",
        get: |options| options.conflict_detection.to_string(),
        set: |options, name, value| parse_word(name, value).map(|it| options.conflict_detection = it),
    },
    TableOption {
        name: "cayenne_deletion_mode",
        values: "`auto`, `position`, `key`",
        meaning: "how deleted rows are recorded: by position in their data file (`auto` means this), or by key",
        get: |options| options.deletion_mode.to_string(),
        set: |options, name, value| parse_word(name, value).map(|it| options.deletion_mode = it),
    },
    TableOption {
        name: "cayenne_compaction_trigger_files",
        values: COUNT_FROM_2,
        meaning: "number of data files smaller than a quarter of the target size that starts a compaction",
        get: |options| options.compaction.trigger_files.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.compaction.trigger_files = it.max(2)),
    },
    TableOption {
        name: "cayenne_compaction_trigger_protected_snapshots",
        values: COUNT_FROM_2,
        meaning: "number of commits with data files below the target size that starts a compaction",
        get: |options| options.compaction.trigger_layers.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.compaction.trigger_layers = it.max(2)),
    },
    TableOption {
        name: "cayenne_compaction_trigger_snapshot_age_ms",
        values: MILLISECONDS,
        meaning: "two such commits start a compaction when the older of their files is this old",
        get: |options| options.compaction.trigger_layer_age_ms.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.compaction.trigger_layer_age_ms = it),
    },
    TableOption {
        name: "cayenne_compaction_max_levels",
        values: COUNT_FROM_1,
        meaning: "most passes that one trigger starts",
        get: |options| options.compaction.max_levels.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.compaction.max_levels = it.max(1)),
    },
    TableOption {
        name: "cayenne_compaction_max_files_per_pick",
        values: COUNT_FROM_2,
        meaning: "most data files that a pass reads",
        get: |options| options.compaction.max_files_per_pick.to_string(),
        set: |options, name, value| {
            parse_count(name, value).map(|it| options.compaction.max_files_per_pick = it.max(2))
        },
    },
    TableOption {
        name: "cayenne_compaction_background_interval_ms",
        values: MILLISECONDS,
        meaning: "how often a table is examined for compaction, besides after writes",
        get: |options| options.compaction.background_interval_ms.to_string(),
        set: |options, name, value| parse_count(name, value).map(|it| options.compaction.background_interval_ms = it),
    },
];

impl TableOptions {
    /// Sets one option from text. `name` may carry the prefix `cayenne_` or `cayenne.`. A compaction option below its least
    /// value is raised to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an unknown name (naming a known one of nearly the same
    /// spelling) or a value out of range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("cayenne_").or_else(|| lower.strip_prefix("cayenne.")).unwrap_or(&lower);
        let option = TABLE_OPTIONS.iter().find(|option| option.bare_name() == bare);
        (option.ok_or_else(|| unknown(name, bare))?.set)(self, name, value)
    }

    /// Returns the options as name and text, as [`set`](Self::set) takes them.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        TABLE_OPTIONS.iter().map(|option| (option.name, (option.get)(self))).collect()
    }
}

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

/// A name is taken for a misspelt one if at most a third of its characters are wrong.
fn unknown(name: &str, bare: &str) -> Error {
    let distance = |option: &&TableOption| strsim::levenshtein(option.bare_name(), bare);
    let nearest = TABLE_OPTIONS.iter().min_by_key(distance).filter(|option| distance(option) * 3 <= bare.len());
    let question = nearest.map(|option| format!("did you mean '{}'? ", option.name)).unwrap_or_default();
    let known = TABLE_OPTIONS.map(|option| option.name).join(", ");
    Error::invalid("unknown table option")
        .code("unknown-option")
        .with("option", name)
        .help(format!("{question}known options: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_can_be_set_to_what_it_shows() {
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
    }

    #[test]
    fn no_option_sets_what_another_one_shows() {
        for (place, option) in TABLE_OPTIONS.iter().enumerate() {
            let values = ["77", "zstd", "string", "drop", "none", "key", "(a, b)"];
            let mut options = TableOptions::default();
            let set = values.iter().any(|value| {
                options.set(option.name, value).is_ok() && (option.get)(&options) != option.default_value()
            });
            assert!(set, "{}", option.name);
            let changed = |(other, _): &(usize, &TableOption)| *other != place;
            for (_, other) in TABLE_OPTIONS.iter().enumerate().filter(changed) {
                assert_eq!((other.get)(&options), other.default_value(), "{} and {}", option.name, other.name);
            }
        }
    }

    #[test]
    fn a_misspelt_option_names_its_nearest_neighbour_and_another_word_none() {
        let help = |name| TableOptions::default().set(name, "7").unwrap_err().way_to_mend().unwrap().to_owned();
        assert!(help("cayenne_target_file_sise_mb").starts_with("did you mean 'cayenne_target_file_size_mb'?"));
        assert!(help("cayenne_colour").starts_with("known options: cayenne_target_file_size_mb, "));
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
    fn sizes_out_of_range_are_refused() {
        for value in ["0", "-1", "", "1e3", "99999999999999999999"] {
            assert!(TableOptions::default().set("target_file_size_mb", value).is_err(), "{value} was accepted");
        }
    }
}
