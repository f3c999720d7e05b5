//! Positions as the gaps between them, in Rice codes: randomly scattered rows take little more than the minimum.
//!
//! If one row in a hundred is hidden at random, its position takes at least 8.1 bits. Here it takes 8.2, in Roaring 16.
//! docs/format.md has the bytes.

use std::io;

use bitstream_io::{BitRead, BitReader, BitWrite, BitWriter, LittleEndian};
use bytes::Buf;
use roaring::RoaringTreemap;

/// The number of gaps that share one number of low bits.
const BLOCK_GAPS: usize = 512;

/// The bits that this number takes.
const LOW_BITS_BITS: u32 = 6;

/// Longer encodings are neither written nor read, so that a count of bits fits 32 bits.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Returns positions as gaps if that takes fewer than `bytes_max` bytes.
pub(crate) fn encode(positions: &RoaringTreemap, bytes_max: usize) -> Option<Vec<u8>> {
    let bytes_max = bytes_max.min(BYTES_MAX);
    let count = positions.len();
    // A gap takes at least one bit: if the gaps cannot be short enough, they are not encoded at all.
    if count / 8 >= bytes_max as u64 {
        return None;
    }
    let mut gaps = Gaps::of(positions.iter());
    let mut out = BitWriter::endian(count.to_le_bytes().to_vec(), LittleEndian);
    let mut block = Vec::with_capacity(BLOCK_GAPS);
    loop {
        block.clear();
        block.extend(gaps.by_ref().take(BLOCK_GAPS));
        if block.is_empty() {
            break;
        }
        write_block(&mut out, &block).ok()?;
        if out.writer().is_some_and(|written| written.len() >= bytes_max) {
            return None;
        }
    }
    out.byte_align().ok()?;
    Some(out.into_writer()).filter(|written| written.len() < bytes_max)
}

/// Reads positions, or returns `None` if the bytes are invalid.
///
/// It takes no more memory than [`RoaringTreemap`] needs for as many positions as there are bits.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<RoaringTreemap> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let count = bytes.try_get_u64_le().ok()?;
    if count / 8 > bytes.len() as u64 {
        return None;
    }
    let mut input = BitReader::endian(bytes, LittleEndian);
    let mut positions = RoaringTreemap::new();
    let mut block = Vec::with_capacity(BLOCK_GAPS);
    // The position that a gap of 0 leads to; `None` if no position is left.
    let mut next = Some(0_u64);
    let mut left = count;
    while left > 0 {
        let length = left.min(BLOCK_GAPS as u64);
        let low_bits = input.read::<LOW_BITS_BITS, u32>().ok()?;
        block.clear();
        for _ in 0..length {
            let position = next?.checked_add(read_gap(&mut input, low_bits)?)?;
            block.push(position);
            next = position.checked_add(1);
        }
        positions.append(block.iter().copied()).ok()?;
        left -= length;
    }
    input.into_reader().is_empty().then_some(positions)
}

/// The gaps before ascending positions: the number of rows between each position and the one before.
struct Gaps<I> {
    positions: I,
    before: Option<u64>,
}

impl<I: Iterator<Item = u64>> Gaps<I> {
    fn of(positions: I) -> Self {
        Self { positions, before: None }
    }
}

impl<I: Iterator<Item = u64>> Iterator for Gaps<I> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let position = self.positions.next()?;
        let gap = self.before.map_or(position, |before| position - before - 1);
        self.before = Some(position);
        Some(gap)
    }
}

/// Writes each gap as its high bits in unary, that many zeros and a one, followed by its low bits.
fn write_block(out: &mut BitWriter<Vec<u8>, LittleEndian>, gaps: &[u64]) -> io::Result<()> {
    let low_bits = low_bits_of(gaps);
    out.write::<LOW_BITS_BITS, u32>(low_bits)?;
    for gap in gaps {
        let high = u32::try_from(gap >> low_bits).map_err(|_| io::ErrorKind::InvalidInput)?;
        out.write_unary::<1>(high)?;
        out.write_var(low_bits, gap & ((1 << low_bits) - 1))?;
    }
    Ok(())
}

fn read_gap(input: &mut BitReader<&[u8], LittleEndian>, low_bits: u32) -> Option<u64> {
    let high = u64::from(input.read_unary::<1>().ok()?);
    let low: u64 = input.read_var(low_bits).ok()?;
    let whole = high << low_bits;
    (whole >> low_bits == high).then_some(whole | low)
}

/// Returns the number of low bits that encodes the gaps in the fewest bits.
fn low_bits_of(gaps: &[u64]) -> u32 {
    let bits = |low_bits: u32| {
        let high: u128 = gaps.iter().map(|gap| u128::from(gap >> low_bits)).sum();
        high + u128::from(low_bits) * gaps.len() as u128
    };
    // The optimum is near the logarithm of the mean.
    let mean = gaps.iter().map(|gap| u128::from(*gap)).sum::<u128>() / gaps.len().max(1) as u128;
    let about = (u128::BITS - mean.leading_zeros()).min(u64::BITS - 1);
    (about.saturating_sub(2)..=about).min_by_key(|low_bits| bits(*low_bits)).unwrap_or(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(positions: impl IntoIterator<Item = u64>) -> Option<Vec<u8>> {
        encode(&positions.into_iter().collect(), BYTES_MAX)
    }

    #[test]
    fn bytes_are_those_that_the_format_says() {
        // Three of them, one low bit, and the gaps 0, 4 and 5 as `1 0`, `001 0` and `001 1`, from the lowest bit on.
        let bits = [0b01_000001, 0b1100_0100];
        assert_eq!(stored([0, 5, 11]).unwrap(), [3_u64.to_le_bytes().as_slice(), &bits].concat());
    }

    #[test]
    fn the_number_of_low_bits_is_the_best_one() {
        let bits = |gaps: &[u64], low_bits: u32| {
            let high: u128 = gaps.iter().map(|gap| u128::from(gap >> low_bits)).sum();
            high + u128::from(low_bits) * gaps.len() as u128
        };
        let mut seed = 7_u64;
        for mean in [1_u64, 3, 50, 99, 5_000, 1 << 40] {
            let mut draw = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 11) % (2 * mean)
            };
            let gaps: Vec<u64> = std::iter::repeat_with(&mut draw).take(BLOCK_GAPS).collect();
            let best = (0..64).map(|low_bits| bits(&gaps, low_bits)).min();
            assert_eq!(Some(bits(&gaps, low_bits_of(&gaps))), best, "gaps of about {mean}");
        }
    }

    #[test]
    fn what_would_be_longer_is_given_up() {
        assert!(encode(&(0..8_000).collect(), 1_000).is_none());
        let length = stored((0..8_000).map(|number| number * 9)).unwrap().len();
        assert!(encode(&(0..8_000).map(|number| number * 9).collect(), length).is_none());
        assert!(encode(&(0..8_000).map(|number| number * 9).collect(), length + 1).is_some());
    }

    #[test]
    fn gaps_beyond_the_last_position_are_refused() {
        let whole = stored([u64::MAX]).unwrap();
        assert_eq!(decode(&whole).unwrap().iter().collect::<Vec<_>>(), [u64::MAX]);
        let more = [&[2], &whole[1..]].concat();
        assert!(decode(&more).is_none());
        assert!(decode(&[whole.as_slice(), &[0]].concat()).is_none(), "a byte is left over");
    }
}
