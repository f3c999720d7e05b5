//! Primary keys: which columns can be one, and the encoding of rows as keys that have SQL's order and equality.

mod column;
mod keys;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use arrow_select::take::take;
use cayenne_format::{Error, Result, Value};
use twox_hash::xxhash3_128;

use self::column::{Room, Write};
pub use self::keys::{KeyBytes, Keys, SortedKeys};

/// The version of the order-preserving bytes of a key. Stored keys record their version.
pub const KEY_ENCODING_VERSION: u16 = 1;

/// The maximum length of one value in the description of a key, in characters.
const DESCRIBED_CHARACTERS_MAX: usize = 64;

/// The form in which an index keeps a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The key itself: one column of whole numbers, in 64 bits that have the order of the values.
    Integer,
    /// The key itself: columns that take at most 16 bytes together, in 128 bits that have the order of the values.
    Exact,
    /// The XXH3-128 of the key, whose order has no meaning. Two keys are very unlikely to share a hash, but a caller
    /// that would lose a row by a collision must compare the row.
    Hashed,
}

impl KeyForm {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Integer => 1,
            Self::Exact => 2,
            Self::Hashed => 3,
        }
    }

    pub(crate) fn of_number(number: u8) -> Result<Self> {
        let found = [Self::Integer, Self::Exact, Self::Hashed].into_iter().find(|form| form.number() == number);
        found.ok_or_else(|| Error::corrupt("stored keys are of an unknown form").with("form", number))
    }

    /// Returns the bytes of a whole key as the number that this form keeps, or `None` if they do not fit or the form
    /// keeps a hash.
    pub(crate) fn number_of(self, key: &[u8]) -> Option<u128> {
        let bytes_max = match self {
            Self::Integer => size_of::<u64>(),
            Self::Exact => size_of::<u128>(),
            Self::Hashed => return None,
        };
        let number = || key.iter().fold(0, |number, byte| (number << u8::BITS) | u128::from(*byte));
        (key.len() <= bytes_max).then(number)
    }

    /// Returns an empty list of keys of this form.
    pub(crate) const fn no_keys(self) -> Keys {
        match self {
            Self::Integer => Keys::Narrow(Vec::new()),
            Self::Exact | Self::Hashed => Keys::Wide(Vec::new()),
        }
    }
}

/// Encodes rows as keys.
#[derive(Clone, Debug)]
pub struct KeyCodec {
    columns: Vec<usize>,
    key_columns: Vec<KeyColumn>,
    form: KeyForm,
    key_bytes: Option<usize>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct KeyColumn {
    name: String,
    plain_type: DataType,
}

impl KeyCodec {
    /// Returns the codec of a table with `schema` whose primary key is made of `columns`, the most significant first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](cayenne_format::ErrorKind::Invalid) with the code `invalid-primary-key` if there is no
    /// column, or for one that is not in the schema, that is named twice, or whose type cannot be a key.
    pub fn new(schema: &Schema, columns: &[impl AsRef<str>]) -> Result<Self> {
        let invalid = |message, name: &str| Error::invalid(message).code("invalid-primary-key").with("column", name);
        if columns.is_empty() {
            return Err(Error::invalid("a primary key needs at least one column").code("invalid-primary-key"));
        }
        let mut codec =
            Self { columns: Vec::new(), key_columns: Vec::new(), form: KeyForm::Hashed, key_bytes: None, seed: 0 };
        let mut rooms = Vec::new();
        for name in columns.iter().map(AsRef::as_ref) {
            let Some((index, field)) = schema.column_with_name(name) else {
                return Err(invalid("the table has no column of this name for its primary key", name)
                    .help("name columns as the schema of the table does"));
            };
            if codec.columns.contains(&index) {
                return Err(invalid("a column is in the primary key twice", name).help("name each key column once"));
            }
            let plain_type = column::plain_type(field.data_type());
            let Some(room) = column::room(&plain_type) else {
                return Err(invalid("a column of this type cannot be in a primary key", name)
                    .with("type", field.data_type())
                    .help("choose columns of numbers, text, bytes, dates or times"));
            };
            codec.columns.push(index);
            codec.key_columns.push(KeyColumn { name: name.to_owned(), plain_type });
            rooms.push(room);
        }
        codec.key_bytes = bytes_of(&rooms);
        codec.form = form_of(&rooms, codec.key_bytes);
        Ok(codec)
    }

    /// Returns the codec with this seed for its hashes. A user who chooses keys should not know it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the indexes of the key columns in the schema of the table, in key order.
    #[must_use]
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Returns the form in which an index keeps each key.
    #[must_use]
    pub fn form(&self) -> KeyForm {
        self.form
    }

    /// Returns the seed of the hashes.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the keys of the rows of a batch that has all columns of the table.
    ///
    /// # Errors
    ///
    /// As [`KeyCodec::keys_of`].
    pub fn keys(&self, batch: &RecordBatch) -> Result<Keys> {
        self.keys_of(&self.arrays(batch)?)
    }

    /// Returns the keys of rows, given only their key columns, in key order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](cayenne_format::ErrorKind::Invalid) with the code `null-key`, naming the column, if a value
    /// is null; [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the columns are not those of the key.
    pub fn keys_of(&self, arrays: &[ArrayRef]) -> Result<Keys> {
        let arrays = self.plain(arrays)?;
        let rows = arrays.first().map_or(0, Array::len);
        Ok(match self.form {
            KeyForm::Integer => Keys::Narrow(arrays.first().map(|array| column::integers(array)).unwrap_or_default()),
            KeyForm::Exact => {
                let mut numbers = vec![0; rows];
                for array in &arrays {
                    column::shift_in(array, &mut numbers);
                }
                Keys::Wide(numbers)
            }
            KeyForm::Hashed => {
                let writers: Vec<_> = arrays.iter().map(|array| column::writer(array)).collect();
                let mut bytes = Vec::new();
                let hash = |row| {
                    bytes.clear();
                    write_row(&writers, row, &mut bytes);
                    xxhash3_128::Hasher::oneshot_with_seed(self.seed, &bytes)
                };
                Keys::Wide((0..rows).map(hash).collect())
            }
        })
    }

    /// Returns the whole keys of rows as bytes that sort as the keys do, whatever the form.
    ///
    /// # Errors
    ///
    /// As [`KeyCodec::keys_of`].
    pub fn encode_rows(&self, arrays: &[ArrayRef]) -> Result<KeyBytes> {
        let arrays = self.plain(arrays)?;
        let writers: Vec<_> = arrays.iter().map(|array| column::writer(array)).collect();
        let mut keys = KeyBytes::default();
        for row in 0..arrays.first().map_or(0, Array::len) {
            keys.push_with(|out| write_row(&writers, row, out));
        }
        Ok(keys)
    }

    /// Returns whole keys in the form in which an index keeps them, as [`KeyCodec::keys_of`] does for the rows they
    /// come from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) for a key that is longer than its form.
    pub fn keys_of_bytes(&self, keys: &KeyBytes) -> Result<Keys> {
        let mut all = self.form.no_keys();
        for key in keys.iter() {
            let kept = match self.form {
                KeyForm::Hashed => Some(xxhash3_128::Hasher::oneshot_with_seed(self.seed, key)),
                KeyForm::Integer | KeyForm::Exact => self.form.number_of(key),
            };
            all.extend([kept.ok_or_else(|| Error::internal("a key is longer than its form"))?]);
        }
        Ok(all)
    }

    /// Returns the key of a row as text for a message, such as `id = 7, name = 'x'`. Long values are cut.
    #[must_use]
    pub fn describe(&self, batch: &RecordBatch, row: usize) -> String {
        let value = |index: usize| {
            batch
                .columns()
                .get(index)
                .filter(|array| row < array.len())
                .map_or_else(|| "?".to_owned(), |array| describe(array, row))
        };
        let values = self.key_columns.iter().zip(&self.columns);
        values.map(|(column, index)| format!("{} = {}", column.name, value(*index))).collect::<Vec<_>>().join(", ")
    }

    /// Returns the key columns of a batch that has all columns of the table.
    pub(crate) fn arrays(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let array = |index: &usize| batch.columns().get(*index).cloned();
        self.columns.iter().map(array).collect::<Option<_>>().ok_or_else(|| Error::internal("rows lack a key column"))
    }

    /// Returns the length of each whole key, in bytes, or `None` if it varies.
    pub(crate) fn key_bytes(&self) -> Option<usize> {
        self.key_bytes
    }

    /// Checks the columns and returns them with dictionaries decoded.
    fn plain(&self, arrays: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let rows = arrays.first().map_or(0, Array::len);
        if arrays.len() != self.key_columns.len() || arrays.iter().any(|array| array.len() != rows) {
            return Err(Error::internal("key columns are not as many, or as long, as they should be"));
        }
        self.key_columns.iter().zip(arrays).map(|(column, array)| column.plain(array)).collect()
    }
}

impl KeyColumn {
    fn plain(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if column::plain_type(array.data_type()) != self.plain_type {
            return Err(Error::internal("a key column is of another type than in the table")
                .with("column", &self.name)
                .with("type", array.data_type()));
        }
        let plain = unpacked(array)?;
        if plain.null_count() > 0 {
            return Err(Error::invalid("NULL in primary key column")
                .code("null-key")
                .with("column", &self.name)
                .help("give every row a value in each column of the primary key"));
        }
        Ok(plain)
    }
}

/// Decodes a dictionary to its values.
fn unpacked(array: &ArrayRef) -> Result<ArrayRef> {
    use arrow_array::cast::AsArray;
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return Ok(ArrayRef::clone(array));
    };
    let values = take(dictionary.values(), dictionary.keys(), None)
        .map_err(|error| Error::internal("a dictionary of keys cannot be read").because(error))?;
    unpacked(&values)
}

/// Returns the length of each key, in bytes, or `None` if it varies.
fn bytes_of(rooms: &[Room]) -> Option<usize> {
    let bytes = rooms.iter().map(|room| match room {
        Room::Integer(bytes) | Room::Fixed(bytes) => Some(*bytes),
        Room::Varying => None,
    });
    bytes.sum()
}

fn form_of(rooms: &[Room], key_bytes: Option<usize>) -> KeyForm {
    match (rooms, key_bytes) {
        ([Room::Integer(_)], _) => KeyForm::Integer,
        (_, Some(bytes)) if bytes <= size_of::<u128>() => KeyForm::Exact,
        _ => KeyForm::Hashed,
    }
}

fn write_row(writers: &[Write<'_>], row: usize, out: &mut Vec<u8>) {
    for write in writers {
        write(row, out);
    }
}

fn describe(array: &ArrayRef, row: usize) -> String {
    let Ok(value) = unpacked(&array.slice(row, 1)) else {
        return "?".to_owned();
    };
    let (text, quote) = match Value::at(&value, 0) {
        None if value.is_null(0) => ("NULL".to_owned(), ""),
        None => ("?".to_owned(), ""),
        Some(Value::Text(text)) => (text, "'"),
        Some(other) => (other.to_string(), ""),
    };
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(DESCRIBED_CHARACTERS_MAX).collect();
    let cut = if characters.next().is_some() { "…" } else { "" };
    format!("{quote}{shown}{cut}{quote}")
}
