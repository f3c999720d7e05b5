//! Little-endian reading of stored bytes that may be anything: every read is checked and none allocates ahead.

use bytes::{Buf, Bytes};

use crate::{Error, Result};

/// Reads values off the front of stored bytes.
pub(crate) struct Input {
    bytes: Bytes,
    what: &'static str,
}

impl Input {
    /// Reads from `bytes`, which are said to be a `what`.
    pub(crate) fn new(bytes: Bytes, what: &'static str) -> Self {
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
        if length > self.bytes.len() {
            return Err(self.short());
        }
        Ok(self.bytes.split_to(length))
    }

    /// Reads a length of 32 bits and as many bytes.
    pub(crate) fn sized(&mut self) -> Result<Bytes> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| self.short())?)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.sized()?.into())
            .map_err(|error| Error::corrupt("stored text is not UTF-8").with("what", self.what).because(error))
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Says that everything has been read.
    pub(crate) fn end(self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt("stored bytes go on too long").with("what", self.what))
    }
}

/// Writes a length of 32 bits and the bytes.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    assert!(length != u32::MAX, "a stored value is shorter than 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}
