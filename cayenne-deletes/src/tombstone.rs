//! Tombstones: deleted keys and the sequences that deleted them. They keep whole keys, so that no hash decides what is
//! hidden.

use std::collections::HashMap;
use std::hash::Hash;

use arrow_array::ArrayRef;
use bytes::{Buf, BufMut, Bytes};
use cayenne_format::{Error, FrameKind, Result, Sequence, open, seal};

use crate::key::{KEY_ENCODING_VERSION, KeyBytes, KeyCodec, KeyForm, Keys};

/// The keys that one commit hides, each once, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstones {
    form: KeyForm,
    columns: u16,
    keys: KeyBytes,
}

impl Tombstones {
    /// Returns tombstones for the keys of rows, given their key columns in key order.
    ///
    /// # Errors
    ///
    /// As [`KeyCodec::keys_of`].
    pub fn new(codec: &KeyCodec, arrays: &[ArrayRef]) -> Result<Self> {
        let rows = codec.encode_rows(arrays)?;
        let mut keys: Vec<_> = rows.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(Self { form: codec.form(), columns: columns_of(codec), keys: keys.into_iter().collect() })
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys, ascending.
    #[must_use]
    pub fn keys(&self) -> &KeyBytes {
        &self.keys
    }

    /// Returns the stored form, in a frame: version and form of the keys, number of key columns, then each key after
    /// its length. If all keys have one length, it is stored once.
    ///
    /// # Panics
    ///
    /// If there is no key, because an empty set is never stored, or if a key has 4 GiB or more.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        assert!(!self.is_empty(), "tombstones without a key are never stored");
        let mut payload = Vec::with_capacity(self.keys.memory_bytes());
        payload.put_u16_le(KEY_ENCODING_VERSION);
        payload.put_u8(self.form.number());
        payload.put_u16_le(self.columns);
        payload.put_u64_le(self.len() as u64);
        let shared = self.shared_length();
        payload.put_u32_le(shared.unwrap_or(0));
        for key in self.keys.iter() {
            if shared.is_none() {
                payload.put_u32_le(length_of(key));
            }
            payload.put_slice(key);
        }
        seal(FrameKind::Tombstones, &payload)
    }

    /// Reads the stored form of tombstones for keys of this codec.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written, or if the keys
    /// belong to another table; [`ErrorKind::Unsupported`](cayenne_format::ErrorKind::Unsupported) for keys of a
    /// version that this build does not know.
    pub fn decode(bytes: &Bytes, codec: &KeyCodec) -> Result<Self> {
        let damaged = |why: &'static str| Error::corrupt(why).code("damaged-deletion");
        let mut payload = open(FrameKind::Tombstones, bytes)?;
        let version = payload.try_get_u16_le().map_err(|_| damaged("tombstones end early"))?;
        if version != KEY_ENCODING_VERSION {
            return Err(Error::unsupported("tombstones have keys of a version this build does not know")
                .with("found", version)
                .with("known", KEY_ENCODING_VERSION)
                .help("use a newer Cayenne"));
        }
        let read = Self::read(payload, codec).ok_or_else(|| damaged("tombstones cannot be read"))?;
        if read.form != codec.form() || read.columns != columns_of(codec) {
            return Err(damaged("tombstones are of keys of another kind than the table has"));
        }
        Ok(read)
    }

    fn read(mut payload: Bytes, codec: &KeyCodec) -> Option<Self> {
        let form = KeyForm::of_number(payload.try_get_u8().ok()?).ok()?;
        let columns = payload.try_get_u16_le().ok()?;
        let count = payload.try_get_u64_le().ok()?;
        let shared = payload.try_get_u32_le().ok()?;
        let mut keys = KeyBytes::default();
        for _ in 0..count {
            let length = if shared > 0 { shared } else { payload.try_get_u32_le().ok()? };
            let key = payload.get(..usize::try_from(length).ok()?)?;
            let rises = keys.last().is_none_or(|before| before < key);
            if !rises || codec.key_bytes().is_some_and(|bytes| bytes != key.len()) {
                return None;
            }
            keys.push_with(|data| data.extend_from_slice(key));
            payload.advance(key.len());
        }
        (payload.is_empty() && !keys.is_empty()).then_some(Self { form, columns, keys })
    }

    /// Returns the length that all keys share, if they share one and it is not 0.
    fn shared_length(&self) -> Option<u32> {
        let mut lengths = self.keys.iter().map(length_of);
        let first = lengths.next().filter(|length| *length > 0)?;
        lengths.all(|length| length == first).then_some(first)
    }
}

fn columns_of(codec: &KeyCodec) -> u16 {
    u16::try_from(codec.columns().len()).unwrap_or(u16::MAX)
}

fn length_of(key: &[u8]) -> u32 {
    let length = u32::try_from(key.len());
    assert!(length.is_ok(), "a key is shorter than 4 GiB");
    length.unwrap_or(u32::MAX)
}

/// The tombstones of many commits: for each key the highest sequence that hides it.
#[derive(Clone, Debug)]
pub struct TombstoneSet {
    form: KeyForm,
    hidden: Hidden,
    latest: Option<Sequence>,
    key_bytes: usize,
}

/// The keys in the form in which an index keeps them, except that whole keys replace hashes.
#[derive(Clone, Debug)]
enum Hidden {
    Narrow(HashMap<u64, Sequence>),
    Wide(HashMap<u128, Sequence>),
    Whole(HashMap<Box<[u8]>, Sequence>),
}

impl TombstoneSet {
    /// Returns an empty set for keys of this codec.
    #[must_use]
    pub fn new(codec: &KeyCodec) -> Self {
        let hidden = match codec.form() {
            KeyForm::Integer => Hidden::Narrow(HashMap::new()),
            KeyForm::Exact => Hidden::Wide(HashMap::new()),
            KeyForm::Hashed => Hidden::Whole(HashMap::new()),
        };
        Self { form: codec.form(), hidden, latest: None, key_bytes: 0 }
    }

    /// Adds the keys that the commit with this sequence hides. Commits may come in any order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the keys are of another form.
    pub fn add(&mut self, file: &Tombstones, sequence: Sequence) -> Result<()> {
        if file.form != self.form {
            return Err(Error::internal("tombstones of one form are put among those of another"));
        }
        for key in file.keys.iter() {
            match &mut self.hidden {
                Hidden::Narrow(hidden) => raise(hidden, narrow(key)?, sequence),
                Hidden::Wide(hidden) => raise(hidden, wide(key)?, sequence),
                // The lookup avoids a copy of a key that is in the map already.
                Hidden::Whole(hidden) => {
                    if let Some(kept) = hidden.get_mut(key) {
                        *kept = sequence.max(*kept);
                    } else {
                        self.key_bytes += key.len();
                        hidden.insert(key.into(), sequence);
                    }
                }
            }
        }
        if !file.is_empty() {
            self.latest = self.latest.max(Some(sequence));
        }
        Ok(())
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.hidden {
            Hidden::Narrow(hidden) => hidden.len(),
            Hidden::Wide(hidden) => hidden.len(),
            Hidden::Whole(hidden) => hidden.len(),
        }
    }

    /// Says whether no key is hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the highest sequence of all tombstones. Rows of that commit or a later one are visible without a lookup.
    #[must_use]
    pub fn latest(&self) -> Option<Sequence> {
        self.latest
    }

    /// Returns the highest sequence that hides a key, given as its whole bytes.
    #[must_use]
    pub fn sequence_of(&self, key: &[u8]) -> Option<Sequence> {
        match &self.hidden {
            Hidden::Narrow(hidden) => hidden.get(&narrow(key).ok()?).copied(),
            Hidden::Wide(hidden) => hidden.get(&wide(key).ok()?).copied(),
            Hidden::Whole(hidden) => hidden.get(key).copied(),
        }
    }

    /// Says whether a row with this key, given as its whole bytes, and this sequence is hidden.
    #[must_use]
    pub fn hides(&self, key: &[u8], row_sequence: Sequence) -> bool {
        self.sequence_of(key).is_some_and(|sequence| sequence.hides(row_sequence))
    }

    /// Returns for each row the highest sequence that hides it, given the key columns in key order.
    ///
    /// # Errors
    ///
    /// As [`KeyCodec::keys_of`].
    pub fn sequences_of(&self, codec: &KeyCodec, arrays: &[ArrayRef]) -> Result<Vec<Option<Sequence>>> {
        if let Hidden::Whole(hidden) = &self.hidden {
            return Ok(codec.encode_rows(arrays)?.iter().map(|key| hidden.get(key).copied()).collect());
        }
        match (&self.hidden, codec.keys_of(arrays)?) {
            (Hidden::Narrow(hidden), Keys::Narrow(keys)) => {
                Ok(keys.iter().map(|key| hidden.get(key).copied()).collect())
            }
            (Hidden::Wide(hidden), Keys::Wide(keys)) => Ok(keys.iter().map(|key| hidden.get(key).copied()).collect()),
            _ => Err(Error::internal("keys of one form are looked up among tombstones of another")),
        }
    }

    /// Returns the memory that it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let table = match &self.hidden {
            Hidden::Narrow(hidden) => table_bytes(hidden),
            Hidden::Wide(hidden) => table_bytes(hidden),
            Hidden::Whole(hidden) => table_bytes(hidden),
        };
        size_of::<Self>() + table + self.key_bytes
    }
}

fn wide(key: &[u8]) -> Result<u128> {
    KeyForm::Exact.number_of(key).ok_or_else(|| Error::internal("a key is longer than its form"))
}

fn narrow(key: &[u8]) -> Result<u64> {
    wide(key)?.try_into().map_err(|_| Error::internal("a key is longer than its form"))
}

fn raise<K: Eq + Hash>(hidden: &mut HashMap<K, Sequence>, key: K, sequence: Sequence) {
    let kept = hidden.entry(key).or_insert(sequence);
    *kept = sequence.max(*kept);
}

/// Each slot of a hash table takes one byte besides the entry.
fn table_bytes<K>(hidden: &HashMap<K, Sequence>) -> usize {
    hidden.capacity() * (size_of::<(K, Sequence)>() + 1)
}
