//! The envelope of every stored value that is not Vortex, SQLite or JSON.
//!
//! `CAYN`, kind, version, length, payload, and the CRC-64/NVME of all bytes before it. docs/format.md has the bytes.

use bytes::{BufMut, Bytes};

use crate::checksum::crc64;
use crate::codec::Input;
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"CAYN";
const HEAD_BYTES: usize = 4 + 2 + 2 + 8;
const TAIL_BYTES: usize = 8;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameKind {
    /// The column statistics of one data file.
    FileStats,
    /// The Arrow schema of a table.
    Schema,
    /// The partition values of one data file.
    PartitionValues,
    /// The rows of an inline data file.
    InlineRows,
    /// A commit.
    Commit,
    /// A stored manifest of a table.
    Manifest,
    /// The positions of hidden rows in one data file.
    DeletionVector,
    /// Hidden keys.
    Tombstones,
    /// A page of the key index of one data file.
    KeyPage,
    /// The head of the key index of one data file, which describes its pages.
    KeyIndex,
}

impl FrameKind {
    const fn number(self) -> u16 {
        match self {
            Self::FileStats => 1,
            Self::Schema => 2,
            Self::PartitionValues => 3,
            Self::InlineRows => 4,
            Self::Commit => 5,
            Self::Manifest => 6,
            Self::DeletionVector => 7,
            Self::Tombstones => 8,
            Self::KeyPage => 9,
            Self::KeyIndex => 10,
        }
    }

    /// Returns the latest version that this build knows. It reads all versions up to that one.
    const fn version(self) -> u16 {
        match self {
            Self::DeletionVector => 2,
            Self::FileStats
            | Self::Schema
            | Self::PartitionValues
            | Self::InlineRows
            | Self::Commit
            | Self::Manifest
            | Self::Tombstones
            | Self::KeyPage
            | Self::KeyIndex => 1,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::FileStats => "column statistics",
            Self::Schema => "schema",
            Self::PartitionValues => "partition values",
            Self::InlineRows => "inline rows",
            Self::Commit => "commit",
            Self::Manifest => "manifest",
            Self::DeletionVector => "deletion vector",
            Self::Tombstones => "tombstones",
            Self::KeyPage => "page of a key index",
            Self::KeyIndex => "key index",
        }
    }
}

/// Wraps `payload`, which has the latest version of its kind, in a frame.
#[must_use]
pub fn seal(kind: FrameKind, payload: &[u8]) -> Bytes {
    seal_version(kind, kind.version(), payload)
}

/// Wraps `payload`, which has this version of its kind, in a frame.
///
/// # Panics
///
/// If this build does not know the version, and so cannot have encoded the payload.
#[must_use]
pub fn seal_version(kind: FrameKind, version: u16, payload: &[u8]) -> Bytes {
    assert!((1..=kind.version()).contains(&version), "only what this build can read is written");
    let mut out = Vec::with_capacity(HEAD_BYTES + payload.len() + TAIL_BYTES);
    out.put_slice(&MAGIC);
    out.put_u16_le(kind.number());
    out.put_u16_le(version);
    out.put_u64_le(payload.len() as u64);
    out.put_slice(payload);
    let crc = crc64(&out);
    out.put_u64_le(crc);
    out.into()
}

/// Verifies a frame and returns its payload, without a copy.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if any byte is not what [`seal`] wrote;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a version this build does not know.
pub fn open(kind: FrameKind, bytes: &Bytes) -> Result<Bytes> {
    open_version(kind, bytes).map(|(_, payload)| payload)
}

/// Verifies a frame and returns the version and the payload, without a copy.
///
/// # Errors
///
/// As [`open`].
pub fn open_version(kind: FrameKind, bytes: &Bytes) -> Result<(u16, Bytes)> {
    let damaged = |why: &'static str| Error::corrupt(why).with("what", kind.what()).with("bytes", bytes.len());
    let Some(tail_at) = bytes.len().checked_sub(TAIL_BYTES).filter(|at| *at >= HEAD_BYTES) else {
        return Err(damaged("frame is shorter than its envelope"));
    };
    let mut tail = Input::new(bytes.slice(tail_at..), kind.what());
    if tail.u64()? != crc64(&bytes.slice(..tail_at)) {
        return Err(damaged("frame differs from its checksum"));
    }
    let mut head = Input::new(bytes.slice(..tail_at), kind.what());
    if head.array::<4>()? != MAGIC || head.u16()? != kind.number() {
        return Err(damaged("frame is not of the expected kind"));
    }
    let version = head.u16()?;
    if version == 0 || version > kind.version() {
        return Err(Error::unsupported("frame is of a version this build does not know")
            .with("what", kind.what())
            .with("found", version)
            .with("known", kind.version())
            .help("use a newer Cayenne"));
    }
    if head.u64()? != head.remaining() as u64 {
        return Err(damaged("frame has another length than it says"));
    }
    Ok((version, head.take(head.remaining())?))
}
