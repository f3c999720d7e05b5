//! The only place that builds or reads names of objects.
//!
//! Every name is injective (two things never share one), relative, bounded in length, and made of bytes that every
//! file system and object store keeps as they are.

use std::fmt::Write as _;

use crate::{ContentHash, FileId, PartitionValue, ReaderId, Sequence, TableId, TableName, Value};

/// The folder of the metastore and of the lock files, below the root of a database.
pub const METADATA_FOLDER: &str = "metadata";
/// The file of the SQLite metastore.
pub const METASTORE_FILE: &str = "cayenne.db";
/// The file of the Turso metastore.
pub const TURSO_METASTORE_FILE: &str = "cayenne-turso.db";
/// The folder, below [`METADATA_FOLDER`], in which reader processes announce the snapshots that they read.
pub const READERS_FOLDER: &str = "readers";
/// The folder of the table folders, below the root of a database.
pub const DATA_FOLDER: &str = "data";
/// The marker in a table folder, which names the table that the folder belongs to.
pub const TABLE_MARKER: &str = "_table.json";
/// The folder, in a table folder, of the stored manifests from which a lost metastore is rebuilt.
pub const MANIFEST_FOLDER: &str = "_manifest";
/// The folder, in a table folder, of the key indexes of the data files.
pub const KEY_FOLDER: &str = "_keys";
/// The folder, in a table folder, of deletion files.
pub const DELETION_FOLDER: &str = "_deletes";
/// The folder, below the root of a database, for files that a repair has moved aside.
pub const ASIDE_FOLDER: &str = "aside";
/// The metastore of a slice, which is always SQLite.
pub const SLICE_METASTORE: &str = "metadata.db";
/// The folder of the data files of a slice.
pub const SLICE_FILES: &str = "files";
/// The suffix of data file names.
pub const DATA_FILE_SUFFIX: &str = ".vortex";

/// The suffix of key index names.
const KEY_INDEX_SUFFIX: &str = ".keys";
/// The suffix of deletion file names.
const DELETION_SUFFIX: &str = ".dv";

/// The maximum depth of partition folders: a table has at most this many partition keys.
pub const PARTITION_DEPTH_MAX: usize = 64;

/// The maximum length, in bytes, of a part of a name that is kept as text; a longer one is cut and ends in a hash.
const TEXT_BYTES_MAX: usize = 120;
/// The partition value that Hive writes for null.
const NULL_TEXT: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the folder of a table below [`DATA_FOLDER`]. The id makes it unique; the name is for readability.
#[must_use]
pub fn table_folder(name: &TableName, id: TableId) -> String {
    format!("{}-{id}", bounded(percent(name.as_str())))
}

/// Returns the id in the name of a table folder, or `None` if the name was not made by [`table_folder`].
#[must_use]
pub fn table_folder_id(name: &str) -> Option<TableId> {
    const ID_CHARS: usize = 36;
    let id_at = name.len().checked_sub(ID_CHARS)?;
    let (head, id) = name.split_at_checked(id_at)?;
    (head.len() > 1 && head.ends_with('-')).then(|| id.parse().ok())?
}

/// Returns the name of the lock file of a table below [`METADATA_FOLDER`].
#[must_use]
pub fn lock_file(id: TableId) -> String {
    format!("{id}.lock")
}

/// Returns the name of the lock file of a reader below [`READERS_FOLDER`].
#[must_use]
pub fn reader_lock(reader: ReaderId) -> String {
    format!("{reader}.lock")
}

/// Returns the id in the name of the lock file of a reader, or `None` if it was not made by [`reader_lock`].
#[must_use]
pub fn parse_reader_lock(name: &str) -> Option<ReaderId> {
    name.strip_suffix(".lock")?.parse().ok()
}

/// Returns the name of the file below [`READERS_FOLDER`] by which a reader pins a snapshot.
#[must_use]
pub fn reader_pin(reader: ReaderId, table: TableId, sequence: Sequence) -> String {
    format!("{reader}.{table}.{sequence}.pin")
}

/// Returns the parts of a name that [`reader_pin`] made, or `None` for any other name.
#[must_use]
pub fn parse_reader_pin(name: &str) -> Option<(ReaderId, TableId, Sequence)> {
    let mut parts = name.strip_suffix(".pin")?.splitn(3, '.');
    let (reader, table, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    Some((reader.parse().ok()?, table.parse().ok()?, Sequence::new(sequence.parse().ok()?).ok()?))
}

/// Returns the name of a data file, relative to the folder of its table.
#[must_use]
pub fn data_file(id: FileId, partition: &[PartitionValue]) -> String {
    let mut name = String::new();
    for value in partition {
        name.push_str(&partition_folder(value));
        name.push('/');
    }
    name.push_str(&id.to_string());
    name.push_str(DATA_FILE_SUFFIX);
    name
}

/// Returns the id in the name of a data file, or `None` if the name was not made by [`data_file`].
#[must_use]
pub fn data_file_id(name: &str) -> Option<FileId> {
    let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
    last.strip_suffix(DATA_FILE_SUFFIX)?.parse().ok()
}

/// Returns the name of the key index of a data file, relative to the folder of its table.
#[must_use]
pub fn key_index(data_file: FileId) -> String {
    format!("{KEY_FOLDER}/{data_file}{KEY_INDEX_SUFFIX}")
}

/// Returns the data file in the name of a key index below [`KEY_FOLDER`], or `None` if [`key_index`] did not make the
/// name.
#[must_use]
pub fn parse_key_index(name: &str) -> Option<FileId> {
    parse_id(name, KEY_INDEX_SUFFIX)
}

/// Returns the name of a deletion file, relative to the folder of its table.
#[must_use]
pub fn deletion_file(id: FileId) -> String {
    format!("{DELETION_FOLDER}/{id}{DELETION_SUFFIX}")
}

/// Returns the id in the name of a deletion file below [`DELETION_FOLDER`], or `None` if it was not made by
/// [`deletion_file`].
#[must_use]
pub fn parse_deletion_file(name: &str) -> Option<FileId> {
    parse_id(name, DELETION_SUFFIX)
}

/// Accepts an id only as Cayenne spells it: a name that merely parses as an id, such as one in capitals, is rejected.
fn parse_id(name: &str, suffix: &str) -> Option<FileId> {
    let id = name.strip_suffix(suffix)?;
    id.parse().ok().filter(|parsed: &FileId| parsed.to_string() == id)
}

/// Returns the name of a stored manifest below [`MANIFEST_FOLDER`]: of the changes after `since`, up to `sequence`.
#[must_use]
pub fn manifest(since: Sequence, sequence: Sequence) -> String {
    format!("{since}-{sequence}.manifest")
}

/// Returns the sequences `since` and `sequence` of a name that [`manifest`] made, or `None` for any other name.
#[must_use]
pub fn parse_manifest(name: &str) -> Option<(Sequence, Sequence)> {
    let (since, sequence) = name.strip_suffix(".manifest")?.split_once('-')?;
    let number = |text: &str| Sequence::new(text.parse().ok()?).ok();
    let (since, sequence) = (number(since)?, number(sequence)?);
    (manifest(since, sequence) == name).then_some((since, sequence))
}

/// Returns the folder of a partition value: `key=value`, both percent-encoded.
#[must_use]
pub fn partition_folder(value: &PartitionValue) -> String {
    let text = match &value.value {
        None => NULL_TEXT.to_owned(),
        Some(value) => value_text(value),
    };
    format!("{}={}", bounded(percent(&value.key)), bounded(text))
}

fn value_text(value: &Value) -> String {
    match value {
        // Text that equals the null marker gets its first byte encoded, which `percent` never encodes.
        Value::Text(text) if text.as_str() == NULL_TEXT => format!("%5F{}", text.get(1..).unwrap_or_default()),
        value => percent(&value.to_string()),
    }
}

/// Percent-encodes every byte outside `A–Z a–z 0–9 . _ - ~`. A name of only dots would be a special folder, so its
/// first dot is encoded too.
fn percent(text: &str) -> String {
    let only_dots = text.bytes().all(|byte| byte == b'.');
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
        if plain && !(only_dots && index == 0) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Cuts a long encoded text and ends it in `%~` and a hash of the whole text. Encoded text never contains `%~`.
fn bounded(text: String) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let head: String = text.chars().take(TEXT_BYTES_MAX - 34).collect();
    format!("{head}%~{}", ContentHash::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(value: Option<Value>) -> String {
        partition_folder(&PartitionValue { key: "k".into(), value })
    }

    #[test]
    fn null_and_the_texts_that_look_like_it_have_folders_of_their_own() {
        let text = |text: &str| folder(Some(Value::Text(text.into())));
        let all = [folder(None), text(NULL_TEXT), text(""), text("NULL"), text("%5F_HIVE_DEFAULT_PARTITION__")];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one), "{one} stands for two values");
        }
    }

    #[test]
    fn both_zeros_share_one_folder_and_so_do_all_nan() {
        assert_eq!(folder(Some(Value::Float(-0.0))), folder(Some(Value::Float(0.0))));
        assert_eq!(folder(Some(Value::Float(-f64::NAN))), folder(Some(Value::Float(f64::NAN))));
    }

    #[test]
    fn the_id_of_a_table_is_read_back_from_its_folder() {
        let id = TableId::from_bytes([9; 16]);
        let name = TableName::try_from("a-b").unwrap();
        assert_eq!(table_folder_id(&table_folder(&name, id)), Some(id));
        for other in ["", "a", "é", "lost+found", &id.to_string(), &format!("a{id}"), &format!("é{id}")] {
            assert_eq!(table_folder_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_pin_is_read_back_from_its_name() {
        let (reader, table) = (ReaderId::from_bytes([3; 16]), TableId::from_bytes([9; 16]));
        let name = reader_pin(reader, table, Sequence::MAX);
        assert_eq!(parse_reader_pin(&name), Some((reader, table, Sequence::MAX)));
        assert_eq!(parse_reader_lock(&reader_lock(reader)), Some(reader));
        assert_eq!(parse_reader_lock(&name), None);
        for other in
            ["", ".pin", "a.b.1.pin", &reader_lock(reader), &format!("{reader}.{table}.-1.pin"), &format!("x{name}")]
        {
            assert_eq!(parse_reader_pin(other), None, "{other}");
        }
    }

    #[test]
    fn the_sequences_of_a_manifest_are_read_back_from_its_name() {
        let name = manifest(Sequence::ZERO, Sequence::MAX);
        assert_eq!(parse_manifest(&name), Some((Sequence::ZERO, Sequence::MAX)));
        for other in ["", "0-1", "-1.manifest", "0-01.manifest", "+0-1.manifest", "0-1.manifest.partial", "1.manifest"]
        {
            assert_eq!(parse_manifest(other), None, "{other}");
        }
    }

    #[test]
    fn the_id_is_read_back_from_the_name() {
        let id = FileId::from_bytes([7; 16]);
        let partition = [PartitionValue { key: "a/b".into(), value: Some(Value::Text("..".into())) }];
        let name = data_file(id, &partition);
        assert_eq!(name, format!("a%2Fb=%2E./{id}.vortex"));
        assert_eq!(data_file_id(&name), Some(id));
        assert_eq!(data_file_id("_table.json"), None);
    }
}
