//! Opens the key index of a data file, and rebuilds it if it is missing or damaged. An index is never the truth.

use std::sync::Arc;

use bytes::Bytes;
use cayenne_deletes::{DeletionVector, KeepRule, KeyCodec, KeyIndex, KeyIndexBuilder, SmallIndex};
use cayenne_format::{DataFile, Error, ErrorKind, NewDataFile, Result, path};
use cayenne_storage::{LoadBlocks, task};
use futures::StreamExt as _;

use super::pages::Pages;
use crate::state::key_indexes::Waits;
use crate::state::key_indexes::{FileKeys, PageBytes, PagedIndex};
use crate::{Table, View};

/// A data file that no snapshot has yet.
#[derive(Clone)]
pub(super) struct Fresh {
    /// Which of its rows with one key stays.
    pub(super) keep: KeepRule,
    /// Returns its block checksums, which the metastore does not know.
    pub(super) blocks: Arc<dyn LoadBlocks>,
}

impl Table {
    /// Returns the codec that encodes the keys of this table.
    pub(crate) fn codec(&self) -> Result<&Arc<KeyCodec>> {
        self.codec.as_ref().ok_or_else(|| {
            Error::invalid("the table has no primary key").code("no-primary-key").with("table", self.name())
        })
    }

    /// Returns the key index of a data file that a view has.
    pub(super) async fn key_index(&self, view: &View, file: &Arc<DataFile>) -> Result<FileKeys> {
        let cache = &self.shared.key_indexes;
        if let Some(keys) = cache.head(file.id) {
            return Ok(keys);
        }
        let keys = if file.is_inline() {
            let left_out = self.never_visible(view, file).await?;
            let keys = self.codec()?.keys(&self.inline_rows(file)?)?;
            FileKeys::Small(Arc::new(SmallIndex::without(&keys, &left_out, KeepRule::Last).0))
        } else {
            self.paged_index(view, file, None).await?
        };
        cache.insert_head(file.id, keys.clone());
        Ok(keys)
    }

    /// Returns the key index of a data file that `view` does not have yet.
    pub(super) async fn new_key_index(&self, view: &View, file: &Arc<DataFile>, fresh: &Fresh) -> Result<FileKeys> {
        let keys = if file.is_inline() {
            let keys = self.codec()?.keys(&self.inline_rows(file)?)?;
            FileKeys::Small(Arc::new(SmallIndex::new(&keys, fresh.keep).0))
        } else {
            // The index of a staged file may have been lost since it was written.
            self.paged_index(view, file, Some(fresh)).await?
        };
        self.shared.key_indexes.insert_head(file.id, keys.clone());
        Ok(keys)
    }

    /// Reads the key indexes of new data files into memory, so that the next commit does not wait for that in its turn.
    /// An index that cannot be read is left for that commit to rebuild.
    pub(crate) async fn warm_key_indexes(&self, new: &[NewDataFile]) {
        if !self.options().finds_conflicts() {
            return;
        }
        for file in new.iter().filter(|new| !new.file.is_inline()) {
            let warmed = self.warm_key_index(&Arc::new(file.file.clone())).await;
            warmed
                .inspect_err(|error| tracing::debug!(%error, table = %self.name(), "a key index was not read ahead"))
                .ok();
        }
    }

    async fn warm_key_index(&self, file: &Arc<DataFile>) -> Result<()> {
        let (stored, shared) = (Arc::new(self.stored_index(file).await?), Arc::clone(&self.shared));
        shared.key_indexes.insert_head(file.id, FileKeys::Paged(Arc::clone(&stored)));
        let read = move || {
            let pages = Pages { cache: &shared.key_indexes, waits: Waits::Yes };
            (0..stored.index.pages()).try_for_each(|page| pages.get(&stored, page).map(drop))
        };
        task::blocking(read).await?
    }

    /// Returns the rows of a data file that were hidden by the commit that added it, because other rows have their
    /// keys. Their deletion file is never folded with others.
    async fn never_visible(&self, view: &View, file: &DataFile) -> Result<DeletionVector> {
        let mut rows = DeletionVector::default();
        for deletion in view.snapshot().deletions_of(file.id).filter(|deletion| deletion.sequence == file.added_at) {
            rows.add(&self.read_deletion(file, deletion).await?);
        }
        Ok(rows)
    }

    async fn paged_index(&self, view: &View, file: &Arc<DataFile>, fresh: Option<&Fresh>) -> Result<FileKeys> {
        let index = match self.stored_index(file).await {
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, table = %self.name(), file = %file.id, "a key index is made anew in memory");
                self.rebuilt_index(view, file, fresh).await?
            }
            opened => opened?,
        };
        Ok(FileKeys::Paged(Arc::new(index)))
    }

    async fn stored_index(&self, file: &Arc<DataFile>) -> Result<PagedIndex> {
        let beside = self.shared.storage.open_beside(&self.record.location, &path::key_index(file.id)).await?;
        let opened = beside.clone();
        let index = task::blocking(move || {
            let tail = opened.bytes().saturating_sub(KeyIndex::TAIL_BYTES as u64)..opened.bytes();
            let head = KeyIndex::head_range(opened.bytes(), &opened.read(tail)?)?;
            KeyIndex::decode(&opened.read(head)?, opened.bytes())
        });
        let index = self.verified(index.await??, file)?;
        Ok(PagedIndex { file: file.id, index, pages: PageBytes::File(beside.closed()) })
    }

    /// Returns an index if it belongs to this data file and to the keys of this table; else an error.
    fn verified(&self, index: KeyIndex, file: &DataFile) -> Result<KeyIndex> {
        let codec = self.codec()?;
        if index.data_file() == file.hash && index.rows() == file.rows && index.fits(codec) {
            return Ok(index);
        }
        Err(Error::corrupt("a key index is of another data file").with("file", file.id))
    }

    /// Rebuilds the index of a data file from its rows.
    pub(super) async fn rebuilt_index(
        &self,
        view: &View,
        file: &Arc<DataFile>,
        fresh: Option<&Fresh>,
    ) -> Result<PagedIndex> {
        let codec = self.codec()?;
        let mut builder = KeyIndexBuilder::new(codec);
        builder.leave_out(&self.never_visible(view, file).await?);
        let mut rows = match fresh {
            None => self.read(file).await?,
            Some(fresh) => self.read_by(file, Arc::clone(&fresh.blocks)).await?,
        };
        let keep = fresh.map_or(KeepRule::Last, |fresh| fresh.keep);
        while let Some(batch) = rows.next().await {
            builder.push(&codec.keys(&batch?)?)?;
        }
        let bytes: Bytes = builder.finish(keep, file.hash)?.bytes;
        let length = bytes.len() as u64;
        let pages = PageBytes::Memory(bytes);
        let head = KeyIndex::head_range(
            length,
            &pages.read(length.saturating_sub(KeyIndex::TAIL_BYTES as u64)..length, Waits::No)?,
        )?;
        let index = KeyIndex::decode(&pages.read(head, Waits::No)?, length)?;
        if fresh.is_none() {
            // The next pass rewrites the file, and writes an index with its rows.
            self.without_index.lock().insert(file.id);
        }
        Ok(PagedIndex { file: file.id, index, pages })
    }
}

/// Returns whether an index must be rebuilt: it is missing, damaged, or in a format that this build does not know.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Unsupported)
}
