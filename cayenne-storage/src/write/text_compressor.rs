//! Which of two text encodings a column takes: both are tried on whole blocks, not on samples.
//!
//! Vortex chooses between FSST and `OnPair` by compressing a sample of each block. A sample is too small for a
//! dictionary of `OnPair` to pay, so prose is kept a tenth larger than need be, and each block trains both encoders.
//! Here the first block of a column is compressed with each, the smaller result decides, and the blocks after it
//! train the one that won.

use std::sync::Arc;

use parking_lot::Mutex;
use vortex::array::{ArrayRef, ExecutionCtx};
use vortex::compressor::{BtrBlocksCompressor, BtrBlocksCompressorBuilder, CompressionSessionExt as _};
use vortex::error::VortexResult;
use vortex::layout::layouts::compressed::CompressorPlugin;
use vortex::session::VortexSession;
use vortex_btrblocks::SchemeExt;

const FSST: &str = "vortex.string.fsst";
const ONPAIR: &str = "vortex.string.onpair";

/// Smaller blocks tell too little.
const TRIED_BYTES: u64 = 128 * 1024;
/// After so many blocks both are tried again: the text of a table changes with time.
const BLOCKS_UNTIL_RETRY: u32 = 64;
/// By how many hundredths `OnPair` has to win: FSST finds substrings faster.
const HANDICAP_PERCENT: u64 = 3;

/// The encoders of all text columns of a file.
pub(crate) struct TextEncoders {
    either: BtrBlocksCompressor,
    fsst: BtrBlocksCompressor,
    onpair: BtrBlocksCompressor,
}

/// Compresses one text column.
pub(crate) struct TextCompressor {
    encoders: Arc<TextEncoders>,
    choice: Mutex<Choice>,
}

#[derive(Clone, Copy, Default)]
struct Choice {
    is_onpair: bool,
    blocks_left: u32,
}

impl TextEncoders {
    pub(crate) fn new(session: &VortexSession) -> Self {
        let without = |name: &str| {
            let schemes = session.compression().schemes().to_vec();
            let excluded = schemes.into_iter().filter(|scheme| scheme.scheme_name() == name).map(SchemeExt::id);
            BtrBlocksCompressorBuilder::from_session(session).exclude_schemes(excluded).build()
        };
        let either = BtrBlocksCompressorBuilder::from_session(session).build();
        Self { either, fsst: without(ONPAIR), onpair: without(FSST) }
    }
}

impl TextCompressor {
    pub(crate) fn new(encoders: Arc<TextEncoders>) -> Self {
        Self { encoders, choice: Mutex::default() }
    }

    /// Returns the choice for the next block, or `None` if both have to be tried.
    fn next_choice(&self) -> Option<Choice> {
        let mut choice = self.choice.lock();
        let now = *choice;
        choice.blocks_left = now.blocks_left.checked_sub(1)?;
        Some(now)
    }

    fn try_both(&self, block: &ArrayRef, ctx: &mut ExecutionCtx) -> VortexResult<ArrayRef> {
        let fsst = self.encoders.fsst.compress_chunk(block, ctx)?;
        let onpair = self.encoders.onpair.compress_chunk(block, ctx)?;
        let is_onpair = onpair.nbytes() * 100 < fsst.nbytes() * (100 - HANDICAP_PERCENT);
        *self.choice.lock() = Choice { is_onpair, blocks_left: BLOCKS_UNTIL_RETRY };
        Ok(if is_onpair { onpair } else { fsst })
    }
}

impl CompressorPlugin for TextCompressor {
    fn compress_chunk(&self, block: &ArrayRef, ctx: &mut ExecutionCtx) -> VortexResult<ArrayRef> {
        // Codes of dictionaries and zone maps come here too.
        if !block.dtype().is_utf8() || block.nbytes() < TRIED_BYTES {
            return self.encoders.either.compress_chunk(block, ctx);
        }
        match self.next_choice() {
            None => self.try_both(block, ctx),
            Some(Choice { is_onpair: true, .. }) => self.encoders.onpair.compress_chunk(block, ctx),
            Some(_) => self.encoders.fsst.compress_chunk(block, ctx),
        }
    }
}
