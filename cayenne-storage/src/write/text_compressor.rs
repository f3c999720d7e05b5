//! Choosing between two text encodings for a column: both are tried on whole blocks, not on samples.
//!
//! Vortex chooses between FSST and `OnPair` by compressing a sample of each block. A sample is too small for a
//! dictionary of `OnPair` to pay, so prose is stored a tenth larger than necessary, and each block trains both
//! encoders. Here the first block of a column is compressed with each, and the smaller result decides. Later blocks
//! train only the winner: those of the same file, and those of the files after it. Otherwise a table that grows by
//! small files, of one block each, would train both encoders for every file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use vortex::array::{ArrayRef, ExecutionCtx};
use vortex::compressor::{BtrBlocksCompressor, BtrBlocksCompressorBuilder, CompressionSessionExt as _};
use vortex::dtype::FieldName;
use vortex::error::VortexResult;
use vortex::layout::layouts::compressed::CompressorPlugin;
use vortex::session::VortexSession;
use vortex_btrblocks::SchemeExt;

const FSST: &str = "vortex.string.fsst";
const ONPAIR: &str = "vortex.string.onpair";

/// Smaller blocks are no basis for a choice.
const TRIED_BYTES: u64 = 128 * 1024;
/// After this many blocks both encoders are tried again: the text of a table changes with time.
const BLOCKS_UNTIL_RETRY: u32 = 64;
/// The percentage by which `OnPair` has to win: FSST finds substrings faster.
const HANDICAP_PERCENT: u64 = 3;

/// The maximum number of columns whose choices are remembered; a choice takes about a hundred bytes.
const COLUMNS_MAX: usize = 16 * 1024;

/// The latest choices for the text columns of the tables of a process.
#[derive(Debug, Default)]
pub(crate) struct TextChoices(Mutex<HashMap<(PathBuf, FieldName), SharedChoice>>);

/// The choice for a column, which all writers of its table share.
type SharedChoice = Arc<Mutex<Choice>>;

impl TextChoices {
    /// Returns the choice for a column of the table in a folder, which all of its writers share.
    pub(crate) fn of(&self, table: &Path, column: &FieldName) -> SharedChoice {
        let mut choices = self.0.lock();
        if choices.len() >= COLUMNS_MAX {
            choices.clear();
        }
        Arc::clone(choices.entry((table.to_owned(), column.clone())).or_default())
    }
}

/// The encoders of all text columns of a file.
pub(crate) struct TextEncoders {
    either: BtrBlocksCompressor,
    fsst: BtrBlocksCompressor,
    onpair: BtrBlocksCompressor,
}

/// Compresses one text column.
pub(crate) struct TextCompressor {
    encoders: Arc<TextEncoders>,
    choice: SharedChoice,
}

/// The encoder for the next blocks of a column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
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
    pub(crate) fn new(encoders: Arc<TextEncoders>, choice: SharedChoice) -> Self {
        Self { encoders, choice }
    }

    /// Returns the choice for the next block, or `None` if both encoders have to be tried.
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
        // Codes of dictionaries and zone maps are compressed here too.
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

#[cfg(test)]
mod tests {
    use vortex::array::arrays::VarBinViewArray;
    use vortex::array::{IntoArray as _, VortexSessionExecute as _};

    use super::*;

    #[test]
    fn what_was_chosen_for_a_column_holds_for_the_files_after_it() {
        let session = crate::session::session();
        let (encoders, choices) = (Arc::new(TextEncoders::new(&session)), TextChoices::default());
        let column = |table: &str, name: &str| {
            TextCompressor::new(Arc::clone(&encoders), choices.of(Path::new(table), &FieldName::from(name)))
        };
        let text = (0..20_000).map(|row| format!("the {row} quick brown foxes jump over {} lazy dogs", row * 7 % 1000));
        let block = VarBinViewArray::from_iter_str(text).into_array();
        let mut ctx = session.create_execution_ctx();
        let first = column("a", "words").compress_chunk(&block, &mut ctx).unwrap();
        assert!(first.nbytes() < block.nbytes());
        assert_eq!(column("a", "words").next_choice().map(|choice| choice.blocks_left), Some(BLOCKS_UNTIL_RETRY));
        let next = column("a", "words").compress_chunk(&block, &mut ctx).unwrap();
        assert_eq!(next.nbytes(), first.nbytes(), "it is compressed as the one before");
        assert!(column("b", "words").next_choice().is_none(), "another table has text of its own");
        assert!(column("a", "others").next_choice().is_none(), "and so has another column");
    }

    #[test]
    fn choices_of_very_many_columns_are_not_kept() {
        let choices = TextChoices::default();
        for number in 0..COLUMNS_MAX + 10 {
            choices.of(Path::new("a"), &FieldName::from(number.to_string().as_str()));
        }
        assert!(choices.0.lock().len() <= COLUMNS_MAX);
    }
}
