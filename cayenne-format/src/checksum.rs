//! Checksums of data files: one of each block, verified on every read, and one of the whole file.
//!
//! Blocks use CRC-64/NVME (the variant of the NVM Express command set), files XXH3 with 128 bits.

use std::fmt;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use twox_hash::xxhash3_128;

use crate::{Error, Result};

/// The length of a block, in bytes. Only the last block of a file is shorter.
pub const BLOCK_BYTES: u64 = 64 * 1024;

/// Returns the CRC-64/NVME of `bytes`.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The XXH3-128 of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Returns the hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash3_128::Hasher::oneshot(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The checksums of the blocks of one file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockChecksums(Vec<u64>);

impl BlockChecksums {
    /// The checksums of a file without blocks, such as an inline data file.
    pub const NONE: Self = Self(Vec::new());

    /// Returns the number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether the file has no block, that is, no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies whole blocks that begin with block number `first`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), naming the first block whose bytes differ or that the file
    /// does not have.
    pub fn verify(&self, first: u64, bytes: &[u8]) -> Result<()> {
        let block_bytes = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        for (block, bytes) in (first..).zip(bytes.chunks(block_bytes)) {
            let expected = usize::try_from(block).ok().and_then(|index| self.0.get(index)).copied();
            let found = crc64(bytes);
            if expected != Some(found) {
                return Err(Error::corrupt("the checksum of a block does not match")
                    .code("damaged-block")
                    .with("block", block)
                    .with("expected", expected.map_or_else(|| "none".to_owned(), |crc| format!("{crc:016x}")))
                    .with("found", format!("{found:016x}")));
            }
        }
        Ok(())
    }

    /// Returns the stored form: 8 bytes for each block, little-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|crc| crc.to_le_bytes()).collect()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the length is not a multiple of 8.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Error::corrupt("block checksums have an odd length").with("bytes", bytes.len()));
        }
        Ok(Self(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()))
    }
}

/// The length and the checksums of a complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigest {
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// The hash of the whole file.
    pub hash: ContentHash,
    /// The checksum of each block.
    pub blocks: BlockChecksums,
}

/// Computes the checksums of a file while it is written.
///
/// # Examples
///
/// ```
/// use cayenne_format::{ContentHash, FileDigester};
///
/// let mut digester = FileDigester::default();
/// digester.feed(b"hello ");
/// digester.feed(b"world");
/// let digest = digester.finish();
/// assert_eq!(digest.bytes, 11);
/// assert_eq!(digest.hash, ContentHash::of(b"hello world"));
/// assert!(digest.blocks.verify(0, b"hello world").is_ok());
/// assert!(digest.blocks.verify(0, b"hello World").is_err());
/// ```
pub struct FileDigester {
    bytes: u64,
    whole: xxhash3_128::Hasher,
    block: crc_fast::Digest,
    in_block: u64,
    blocks: Vec<u64>,
}

impl Default for FileDigester {
    fn default() -> Self {
        Self {
            bytes: 0,
            whole: xxhash3_128::Hasher::new(),
            block: crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme),
            in_block: 0,
            blocks: Vec::new(),
        }
    }
}

impl fmt::Debug for FileDigester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDigester").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl FileDigester {
    /// Takes the next bytes of the file.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.whole.write(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.in_block).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.in_block += now.len() as u64;
            if self.in_block == BLOCK_BYTES {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.blocks.push(self.block.finalize());
        self.block.reset();
        self.in_block = 0;
    }

    /// Returns the digest of all bytes that were fed.
    #[must_use]
    pub fn finish(mut self) -> FileDigest {
        if self.in_block > 0 {
            self.end_block();
        }
        FileDigest {
            bytes: self.bytes,
            hash: ContentHash(self.whole.finish_128()),
            blocks: BlockChecksums(self.blocks),
        }
    }
}
