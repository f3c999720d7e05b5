//! Checked little-endian reads of untrusted stored bytes. No read allocates memory ahead of the bytes that it finds.

use bytes::{Buf, Bytes};

use crate::{Error, Result};

/// Reads values off the front of stored bytes. Values taken from [`Bytes`] are not copied; a slice avoids reference
/// counting.
pub(crate) struct Input<B = Bytes> {
    bytes: B,
    what: &'static str,
}

impl<B: Buf> Input<B> {
    /// Reads from `bytes`; errors name them as `what`.
    pub(crate) fn new(bytes: B, what: &'static str) -> Self {
        Self { bytes, what }
    }

    fn short(&self) -> Error {
        Error::corrupt("stored bytes end too early").with("what", self.what)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.bytes.try_get_u8().map_err(|_| self.short())
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.bytes.try_get_u16_le().map_err(|_| self.short())
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.bytes.try_get_u32_le().map_err(|_| self.short())
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.bytes.try_get_u64_le().map_err(|_| self.short())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.bytes.try_copy_to_slice(&mut array).map_err(|_| self.short())?;
        Ok(array)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.bytes.remaining() {
            return Err(self.short());
        }
        Ok(self.bytes.copy_to_bytes(length))
    }

    /// Reads a 32-bit length and that many bytes.
    pub(crate) fn sized(&mut self) -> Result<Bytes> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| self.short())?)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.sized()?.into())
            .map_err(|error| Error::corrupt("stored text is not UTF-8").with("what", self.what).because(error))
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    /// Checks that everything has been read.
    pub(crate) fn end(self) -> Result<()> {
        if !self.bytes.has_remaining() {
            return Ok(());
        }
        Err(Error::corrupt("stored bytes go on too long").with("what", self.what))
    }
}

/// Writes a 32-bit length, then the bytes.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    assert!(length != u32::MAX, "a stored value is shorter than 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}
