//! Builds the key index of a data file while the file is written.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use cayenne_deletes::{KeepRule, KeyCodec, KeyIndexBuilder};
use cayenne_format::{DataFile, Result, TableOptions};
use cayenne_storage::{IndexRows, RowIndex};

use super::KeyRule;
use crate::Table;

/// Builds key indexes.
#[derive(Debug)]
struct KeyIndexes {
    codec: Arc<KeyCodec>,
    keep: KeepRule,
}

struct KeyIndexOfFile {
    codec: Arc<KeyCodec>,
    builder: KeyIndexBuilder,
    keep: KeepRule,
}

/// Returns the builder of the key indexes of a table, or `None` if the table does not detect key conflicts.
pub(crate) fn index_rows(
    codec: Option<&Arc<KeyCodec>>,
    options: &TableOptions,
    rule: KeyRule,
) -> Option<Arc<dyn IndexRows>> {
    let codec = codec.filter(|_| options.finds_conflicts())?;
    Some(Arc::new(KeyIndexes { codec: Arc::clone(codec), keep: rule.keeps() }))
}

impl Table {
    pub(crate) fn index_rows(&self, rule: KeyRule) -> Option<Arc<dyn IndexRows>> {
        index_rows(self.codec.as_ref(), self.options(), rule)
    }
}

impl IndexRows for KeyIndexes {
    fn begin(&self) -> Box<dyn RowIndex> {
        let Self { codec, keep } = self;
        Box::new(KeyIndexOfFile { codec: Arc::clone(codec), builder: KeyIndexBuilder::new(codec), keep: *keep })
    }
}

impl RowIndex for KeyIndexOfFile {
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        self.builder.push(&self.codec.keys(rows)?)
    }

    /// Finishing takes twice the memory of the keys in addition.
    fn memory_bytes(&self) -> u64 {
        3 * self.builder.memory_bytes() as u64
    }

    fn finish(self: Box<Self>, file: &DataFile) -> Result<Bytes> {
        Ok(self.builder.finish(self.keep, file.hash)?.bytes)
    }
}
