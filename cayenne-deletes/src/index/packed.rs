//! Numbers that are near each other, packed into as many bits as the largest difference needs.
//!
//! Number `i` is `base + difference i`. If the numbers rise, it is `base + i + difference i`: numbers that count up by
//! one then need no bits at all. Differences are little-endian: bit 0 of number 0 is bit 0 of byte 0.

use bytes::{Buf, BufMut, Bytes};

/// A difference is read and written through a window of 16 bytes that starts at its first byte.
const WINDOW_BYTES: usize = size_of::<u128>();

/// A difference of at most this many bits is read through a window of 8 bytes, which is faster.
const SHORT_BITS_MAX: u32 = u64::BITS - u8::BITS;

/// A difference of more bits fits the window only if it begins at a byte boundary.
const UNALIGNED_BITS_MAX: u32 = u128::BITS - u8::BITS;

/// Packed numbers that are read in place.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    base: u128,
    rising: bool,
    width: u32,
    length: usize,
    /// The bits of all differences, padded to fill the last window.
    differences: Box<[u8]>,
}

impl Packed {
    /// Appends the stored form of `numbers`: base, whether they rise, width, differences.
    pub(super) fn encode(numbers: &[u128], out: &mut Vec<u8>) {
        let rising = numbers.is_sorted_by(|before, after| before < after);
        let base = if rising { numbers.first() } else { numbers.iter().min() }.copied().unwrap_or(0);
        // A rising number exceeds the base by at least its index.
        let difference = |(index, number): (u128, &u128)| number - base - if rising { index } else { 0 };
        let largest = (0..).zip(numbers).map(difference).max().unwrap_or(0);
        let width = match u128::BITS - largest.leading_zeros() {
            bits if bits > UNALIGNED_BITS_MAX => u128::BITS,
            bits => bits,
        };
        out.put_u128_le(base);
        out.put_u8(u8::from(rising));
        out.put_u8(u8::try_from(width).unwrap_or(u8::MAX));
        let mut bits = vec![0; bytes_of(numbers.len(), width) + WINDOW_BYTES];
        for (index, number) in numbers.iter().enumerate() {
            let (byte, shift) = begin_of(index, width);
            if let Some(window) = bits.get_mut(byte..).and_then(|bytes| bytes.first_chunk_mut::<WINDOW_BYTES>()) {
                let difference = difference((index as u128, number));
                *window = (u128::from_le_bytes(*window) | difference << shift).to_le_bytes();
            }
        }
        bits.truncate(bytes_of(numbers.len(), width));
        out.extend_from_slice(&bits);
    }

    /// Takes `length` numbers off the front of `input`, or returns `None` if it does not hold them. Their bits are
    /// copied, so that the rest of the same file read is not kept in memory.
    pub(super) fn decode(input: &mut Bytes, length: usize) -> Option<Self> {
        let base = input.try_get_u128_le().ok()?;
        let rising = match input.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let width = u32::from(input.try_get_u8().ok()?);
        if width > u128::BITS || (width > UNALIGNED_BITS_MAX && width < u128::BITS) {
            return None;
        }
        let bits = usize::try_from(width).ok()?.checked_mul(length)?;
        let stored = (bits.div_ceil(8) <= input.remaining()).then(|| input.split_to(bits.div_ceil(8)))?;
        let fill = if width == 0 { 0 } else { WINDOW_BYTES };
        let mut differences = Vec::with_capacity(stored.len() + fill);
        differences.extend_from_slice(&stored);
        differences.resize(stored.len() + fill, 0);
        Some(Self { base, rising, width, length, differences: differences.into() })
    }

    /// Returns how many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Returns the number at `index`, which is below the length. Bytes that [`Packed::encode`] did not write give an
    /// arbitrary number.
    #[inline]
    pub(super) fn get(&self, index: usize) -> u128 {
        debug_assert!(index < self.length, "a loop over packed numbers stays below their length");
        let begin = if self.rising { self.base.wrapping_add(index as u128) } else { self.base };
        begin.wrapping_add(self.difference(index))
    }

    #[inline]
    fn difference(&self, index: usize) -> u128 {
        let (byte, shift) = begin_of(index, self.width);
        let bytes = self.differences.get(byte..).unwrap_or_default();
        match self.width {
            0 => 0,
            width @ 1..=SHORT_BITS_MAX => {
                let bits = bytes.first_chunk().map_or(0, |window| u64::from_le_bytes(*window)) >> shift;
                u128::from(bits & (u64::MAX >> (u64::BITS - width)))
            }
            width => {
                let bits = bytes.first_chunk().map_or(0, |window| u128::from_le_bytes(*window)) >> shift;
                bits & (u128::MAX >> (u128::BITS - width))
            }
        }
    }

    /// Says whether the numbers rise strictly and are encoded as [`Packed::encode`] encodes rising numbers.
    pub(super) fn rise(&self) -> bool {
        let stored = self.stored_differences();
        // The last difference is then the largest.
        self.rising
            && (0..stored).map(|index| self.difference(index)).is_sorted()
            && self.highest_with(stored.checked_sub(1).map_or(0, |last| self.difference(last))).is_some()
    }

    /// Says whether each number is below `end`.
    pub(super) fn are_below(&self, end: u128) -> bool {
        let largest = (0..self.stored_differences()).map(|index| self.difference(index)).max().unwrap_or(0);
        self.length == 0 || self.highest_with(largest).is_some_and(|highest| highest < end)
    }

    /// Returns an upper bound of the numbers, given their largest difference; `None` if it exceeds 128 bits. For
    /// numbers that [`Packed::encode`] wrote, it is the highest number.
    fn highest_with(&self, largest: u128) -> Option<u128> {
        let places = if self.rising { self.length.saturating_sub(1) as u128 } else { 0 };
        self.base.checked_add(places)?.checked_add(largest)
    }

    /// Returns how many differences are stored. None are if they take no bits: all of them are then 0.
    fn stored_differences(&self) -> usize {
        if self.width == 0 { 0 } else { self.length }
    }

    /// Returns the memory that the numbers take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.differences.len()
    }
}

/// Returns the byte, and the bit in that byte, at which a number begins.
#[inline]
fn begin_of(index: usize, width: u32) -> (usize, usize) {
    let bit = index * width as usize;
    (bit / 8, bit % 8)
}

fn bytes_of(length: usize, width: u32) -> usize {
    (length * width as usize).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(numbers: &[u128]) -> (usize, Vec<u128>) {
        let mut bytes = Vec::new();
        Packed::encode(numbers, &mut bytes);
        let mut input = Bytes::from(bytes);
        let length = input.len();
        let packed = Packed::decode(&mut input, numbers.len()).unwrap();
        assert!(input.is_empty());
        (length, (0..numbers.len()).map(|index| packed.get(index)).collect())
    }

    proptest! {
        #[test]
        fn numbers_come_back_whatever_their_width(bits in 0_u32..=128, seeds in prop::collection::vec(any::<u128>(), 0..40), base in any::<u128>()) {
            let below = |seed: u128| if bits == 0 { 0 } else { seed >> (128 - bits) };
            let mut numbers: Vec<_> = seeds.into_iter().map(|seed| base.saturating_add(below(seed))).collect();
            prop_assert_eq!(&again(&numbers).1, &numbers);
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(&again(&numbers).1, &numbers);
        }
    }

    proptest! {
        #[test]
        fn what_is_said_of_all_numbers_is_so(
            base in prop_oneof![0_u128..100, u128::MAX - 100..=u128::MAX],
            rising in any::<bool>(),
            width in prop_oneof![0_u32..=8, Just(SHORT_BITS_MAX), Just(SHORT_BITS_MAX + 1), Just(128)],
            length in 0_usize..12,
            bits in prop::collection::vec(any::<u8>(), 200),
            end in any::<u128>(),
        ) {
            // Arbitrary bytes, which were not encoded: a file may contain anything.
            let mut bytes = base.to_le_bytes().to_vec();
            bytes.extend([u8::from(rising), u8::try_from(width).unwrap()]);
            bytes.extend(bits);
            let packed = Packed::decode(&mut Bytes::from(bytes), length).unwrap();
            let numbers: Vec<u128> = (0..length).map(|index| packed.get(index)).collect();
            for end in [end, 10, 300, u128::MAX] {
                prop_assert!(!packed.are_below(end) || numbers.iter().all(|number| *number < end));
            }
            prop_assert!(!packed.rise() || numbers.is_sorted_by(|before, after| before < after));
            let mut again = Vec::new();
            Packed::encode(&numbers, &mut again);
            let encoded = Packed::decode(&mut Bytes::from(again), length).unwrap();
            prop_assert_eq!(encoded.rise(), numbers.is_sorted_by(|before, after| before < after));
            for end in [end, 10, 300, u128::MAX] {
                prop_assert_eq!(encoded.are_below(end), numbers.iter().all(|number| *number < end));
            }
        }
    }

    #[test]
    fn numbers_that_count_up_or_are_all_equal_take_no_bits() {
        let counting: Vec<u128> = (u128::from(u64::MAX) - 1999..=u128::from(u64::MAX)).collect();
        assert_eq!(again(&counting), (18, counting));
        assert_eq!(again(&[7; 500]), (18, vec![7; 500]));
        assert_eq!(again(&[]), (18, vec![]));
        assert_eq!(again(&[0, u128::MAX]).1, [0, u128::MAX]);
    }

    #[test]
    fn what_is_not_there_is_refused_before_it_is_allocated() {
        let mut bytes = Vec::new();
        Packed::encode(&[1, 5, 2], &mut bytes);
        assert!(Packed::decode(&mut Bytes::from(bytes), usize::MAX).is_none());
    }
}
