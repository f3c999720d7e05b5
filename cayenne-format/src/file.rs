//! Records of the manifest: data files, deletion files and tombstone files.

use bytes::Bytes;

use crate::codec::{Input, put_sized};
use crate::frame::{self, FrameKind};
use crate::{ContentHash, FileId, FileStats, Result, Sequence, Value};

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A path, relative to the data location of the table.
    Path(String),
    /// The bytes themselves, stored inline in the metastore.
    Inline(Bytes),
}

/// The value of one partition key. `None` is null.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionValue {
    /// The name of the partition key.
    pub key: String,
    /// The value that all rows of the file have.
    pub value: Option<Value>,
}

impl PartitionValue {
    /// Returns the stored form of the values of one file; empty for an unpartitioned table.
    #[must_use]
    pub fn encode_all(values: &[Self]) -> Bytes {
        if values.is_empty() {
            return Bytes::new();
        }
        let mut payload = Vec::new();
        for PartitionValue { key, value } in values {
            put_sized(&mut payload, key.as_bytes());
            payload.push(u8::from(value.is_some()));
            if let Some(value) = value {
                value.encode(&mut payload);
            }
        }
        frame::seal(FrameKind::PartitionValues, &payload)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written.
    pub fn decode_all(bytes: &Bytes) -> Result<Vec<Self>> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let mut input = Input::new(frame::open(FrameKind::PartitionValues, bytes)?, "partition values");
        let mut values = Vec::new();
        while input.remaining() > 0 {
            let key = input.text()?;
            let value = if input.u8()? == 0 { None } else { Some(Value::decode(&mut input)?) };
            values.push(Self { key, value });
        }
        Ok(values)
    }
}

/// One immutable file of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Its id.
    pub id: FileId,
    /// Where its bytes are.
    pub location: Location,
    /// The number of rows, hidden ones included.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// The partition its rows belong to; empty for an unpartitioned table.
    pub partition: Vec<PartitionValue>,
    /// The stats of its columns.
    pub stats: FileStats,
    /// The sequence of the commit that added it; [`Sequence::ZERO`] until it is committed.
    pub added_at: Sequence,
}

impl DataFile {
    /// Says whether its bytes are in the metastore.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self.location, Location::Inline(_))
    }
}

/// The positions of rows in one data file that one commit hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionFile {
    /// Its id.
    pub id: FileId,
    /// The data file whose rows it hides.
    pub data_file: FileId,
    /// Where its positions are.
    pub location: Location,
    /// The number of positions.
    pub rows: u64,
    /// The sequence of the commit that added it; [`Sequence::ZERO`] until it is committed.
    pub sequence: Sequence,
}

/// The keys that one commit hides in the data files of all earlier commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneFile {
    /// Its id.
    pub id: FileId,
    /// Where its keys are.
    pub location: Location,
    /// The number of keys.
    pub keys: u64,
    /// The sequence of the commit that added it; [`Sequence::ZERO`] until it is committed.
    pub sequence: Sequence,
}
