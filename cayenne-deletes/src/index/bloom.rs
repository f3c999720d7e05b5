//! The filter in front of the pages: a split-block Bloom filter as the Parquet format specifies it
//! (<https://parquet.apache.org/docs/file-format/bloomfilter/>), over hashes of our own.
//!
//! A block has 256 bits in eight words of 32. The high half of a hash chooses the block, the low half one bit in each word.

use bytes::Bytes;
use cayenne_format::Result;
use twox_hash::xxhash3_64;

use super::damaged;

const BLOCK_BYTES: usize = 32;

/// With this many bits per key, about one absent key in a hundred passes.
const BITS_PER_KEY: usize = 10;

/// The odd multipliers that the specification names, one for each word of a block.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A filter in its stored form. A filter without blocks passes every key.
#[derive(Clone, Debug)]
pub(super) struct Bloom(Bytes);

impl Bloom {
    /// The filter that passes every key.
    pub(super) const PASSES_ALL: Self = Self(Bytes::new());

    /// Reads the stored form.
    pub(super) fn decode(bytes: Bytes) -> Result<Self> {
        if bytes.len().is_multiple_of(BLOCK_BYTES) {
            return Ok(Self(bytes));
        }
        Err(damaged("the filter of a key index has no whole number of blocks").with("bytes", bytes.len()))
    }

    /// Returns the stored form.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Says whether it passes every key, so that testing keys is useless.
    pub(super) fn passes_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether a key with this hash may be present.
    #[inline]
    pub(super) fn passes(&self, hash: u64) -> bool {
        let (all, _) = self.0.as_chunks::<BLOCK_BYTES>();
        let Some(block) = all.get(block_of(hash, all.len())) else {
            return true;
        };
        block.as_chunks::<4>().0.iter().zip(bits_of(hash)).all(|(word, bit)| u32::from_le_bytes(*word) & bit != 0)
    }
}

/// A filter to which keys are being added.
pub(super) struct BloomBuilder(Vec<u8>);

impl BloomBuilder {
    /// Returns a builder with room for this many keys.
    pub(super) fn for_keys(keys: usize) -> Self {
        let blocks = keys.saturating_mul(BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8);
        Self(vec![0; blocks * BLOCK_BYTES])
    }

    /// Adds the key with this hash.
    pub(super) fn insert(&mut self, hash: u64) {
        let (all, _) = self.0.as_chunks_mut::<BLOCK_BYTES>();
        let blocks = all.len();
        if let Some(block) = all.get_mut(block_of(hash, blocks)) {
            for (word, bit) in block.as_chunks_mut::<4>().0.iter_mut().zip(bits_of(hash)) {
                *word = (u32::from_le_bytes(*word) | bit).to_le_bytes();
            }
        }
    }

    /// Returns the filter.
    pub(super) fn finish(self) -> Bloom {
        Bloom(self.0.into())
    }
}

/// Returns the hash of a key that a filter uses.
#[inline]
pub(super) fn hash_of(key: u128, seed: u64) -> u64 {
    xxhash3_64::Hasher::oneshot_with_seed(seed, &key.to_le_bytes())
}

/// Maps the high half of the hash to a block, by a multiplication instead of a division.
fn block_of(hash: u64, blocks: usize) -> usize {
    let place = (u128::from(hash >> 32) * blocks as u128) >> 32;
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn bits_of(hash: u64) -> impl Iterator<Item = u32> {
    let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0);
    SALT.into_iter().map(move |salt| 1 << (low.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_pass_and_few_others_do() {
        let hashes = |keys: std::ops::Range<u128>| keys.map(|key| hash_of(key, 3)).collect::<Vec<_>>();
        let mut builder = BloomBuilder::for_keys(10_000);
        for hash in hashes(0..10_000) {
            builder.insert(hash);
        }
        let bloom = builder.finish();
        assert!(hashes(0..10_000).into_iter().all(|hash| bloom.passes(hash)));
        let wrong = hashes(10_000..20_000).into_iter().filter(|hash| bloom.passes(*hash)).count();
        assert!(wrong < 250, "{wrong} of 10,000");
    }

    #[test]
    fn a_filter_of_half_a_block_is_refused() {
        assert!(Bloom::decode(Bytes::from_static(&[0; 31])).is_err());
        assert!(Bloom::decode(Bytes::new()).unwrap().passes(7));
    }
}
