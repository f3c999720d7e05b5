//! Reproducible random numbers.

use std::hash::{BuildHasher, RandomState};

/// A generator (splitmix64). It prints its seed, so that a failure can be reproduced.
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from `CAYENNE_SEED`, or draws a random one.
    pub(crate) fn from_environment() -> Self {
        let given = std::env::var("CAYENNE_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("CAYENNE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws a seed for another generator.
    pub(crate) fn seed(&mut self) -> u64 {
        self.below(u64::MAX)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
