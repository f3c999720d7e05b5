//! Divides one memory limit between compaction and everything else.

/// The default share of compaction in a memory limit.
pub const COMPACTION_MEMORY_FRACTION: f64 = 0.2;

/// Returns how many of `limit` bytes are for compaction passes. The rest is for queries and writes, so that the two
/// never wait for each other. A `fraction` below 0.05 counts as 0.05, one above 0.5 as 0.5, and NaN as
/// [`COMPACTION_MEMORY_FRACTION`].
///
/// # Examples
///
/// ```
/// use cayenne_table::{COMPACTION_MEMORY_FRACTION, compaction_memory};
///
/// assert_eq!(compaction_memory(1_000_000, COMPACTION_MEMORY_FRACTION), 200_000);
/// assert_eq!(compaction_memory(1_000_000, 0.9), 500_000);
/// ```
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a size that memory can have"
)]
pub fn compaction_memory(limit: usize, fraction: f64) -> usize {
    let fraction = if fraction.is_nan() { COMPACTION_MEMORY_FRACTION } else { fraction.clamp(0.05, 0.5) };
    (limit as f64 * fraction) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_stays_between_its_bounds() {
        let of_a_million = |fraction| compaction_memory(1_000_000, fraction);
        assert_eq!(
            [-1.0, 0.0, 0.05, 0.2, 0.5, 7.0].map(of_a_million),
            [50_000, 50_000, 50_000, 200_000, 500_000, 500_000]
        );
        assert_eq!(of_a_million(f64::NAN), 200_000);
        assert_eq!(compaction_memory(0, 0.2), 0);
        assert!(compaction_memory(usize::MAX, 0.5) < usize::MAX);
    }
}
