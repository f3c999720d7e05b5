//! A hash of files, to notice that they have changed.

/// FNV-1a with 64 bits: enough to notice a change that nobody hides.
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Zero bytes keep a name from running into its text.
    pub(crate) fn file(&mut self, path: &str, text: &str) {
        self.bytes(path.as_bytes());
        self.bytes(&[0]);
        self.bytes(text.as_bytes());
        self.bytes(&[0]);
    }

    /// The hash in 16 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_published_one() {
        let mut fnv = Fnv::default();
        fnv.bytes(b"foobar");
        assert_eq!(fnv.0, 0x8594_4171_f739_67e8);
    }
}
