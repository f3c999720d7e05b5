//! Which rows of a data file are hidden, read from deletion files; and the deletion files that a commit adds.

use std::sync::Arc;

use bytes::Bytes;
use cayenne_deletes::DeletionVector;
use cayenne_format::{
    Change, DataFile, DeletionFile, DeletionSet, Error, ErrorKind, FileId, Location, Result, Sequence, path,
};
use moka::sync::Cache;

use crate::rows::RowPositions;
use crate::{Table, View};

/// A deletion vector of more bytes becomes a file, so that opening a table does not load it. A file takes two more flushes
/// than a row of the metastore, which is why small ones are not.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// What a deletion vector is cached by: the data file, and which deletion files it has.
type VectorKey = (FileId, DeletionSet);

/// Deletion vectors that were needed lately.
#[derive(Debug)]
pub(crate) struct VectorCache(Cache<VectorKey, Arc<DeletionVector>>);

impl VectorCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &VectorKey, vector: &Arc<DeletionVector>| {
            u32::try_from(vector.memory_bytes().saturating_add(128)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().name("cayenne.deletions").max_capacity(bytes_max).weigher(weigh).build())
    }

    /// Returns how much memory the vectors take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }
}

impl Table {
    /// Returns which rows of a data file a view hides, or `None` for none.
    ///
    /// # Errors
    ///
    /// `Corrupt` (code `damaged-deletion`) or `NotFound` (code `missing-deletion`) if a deletion file is not what was
    /// written: it never counts as nothing hidden.
    pub async fn hidden(&self, view: &View, file: &DataFile) -> Result<Option<Arc<DeletionVector>>> {
        // A scan asks for every data file, and usually finds them all here.
        let Some(set) = view.snapshot().deletion_set_of(file.id) else { return Ok(None) };
        let cache = &self.shared.vectors.0;
        if let Some(vector) = cache.get(&(file.id, set)) {
            return Ok(Some(vector));
        }
        let deletions: Vec<_> = view.snapshot().deletions_of(file.id).collect();
        let (mut vector, rest) = match self.all_but_the_last((file.id, set), &deletions) {
            Some((known, last)) => (known.as_ref().clone(), vec![last]),
            None => (DeletionVector::default(), deletions),
        };
        for deletion in rest {
            vector.add(&self.read_deletion(file, deletion).await?);
        }
        // Each deletion file hides rows that were visible until then.
        let expected = view.snapshot().hidden_rows_of(file.id);
        if vector.len() != expected {
            return Err(damaged(
                "the deletion files of a data file hide another number of rows than the manifest says",
            )
            .with("table", self.name())
            .with("data_file", file.id)
            .with("expected", expected)
            .with("found", vector.len()));
        }
        let vector = Arc::new(vector);
        cache.insert((file.id, set), Arc::clone(&vector));
        Ok(Some(vector))
    }

    /// Returns what is known of all deletion files but the latest: usually one has come to those of the view before.
    fn all_but_the_last<'a>(
        &self,
        (file, set): VectorKey,
        deletions: &[&'a Arc<DeletionFile>],
    ) -> Option<(Arc<DeletionVector>, &'a Arc<DeletionFile>)> {
        // The order of ids follows the clock, which may have been set back: then nothing is found, and all are read.
        let last = deletions.last()?;
        Some((self.shared.vectors.0.get(&(file, set.without(last.id)))?, last))
    }

    pub(crate) async fn read_deletion(&self, file: &DataFile, deletion: &DeletionFile) -> Result<DeletionVector> {
        let facts = |error: Error| error.with("table", self.name()).with("deletion", deletion.id);
        let bytes = self.deletion_bytes(deletion).await.map_err(facts)?;
        let decoded = DeletionVector::decode(&bytes, file.id, file.rows).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.code("damaged-deletion"),
            _ => error,
        });
        let vector = decoded.map_err(facts)?;
        if vector.len() == deletion.rows {
            return Ok(vector);
        }
        Err(facts(damaged("a deletion file hides another number of rows than the manifest says")))
    }

    /// Returns the bytes of a deletion file.
    pub(crate) async fn deletion_bytes(&self, deletion: &DeletionFile) -> Result<Bytes> {
        let name = match &deletion.location {
            Location::Inline(bytes) => return Ok(bytes.clone()),
            Location::Path(name) => name,
        };
        let read = async {
            let file = self.shared.storage.open_beside(&self.record.location, name).await?;
            cayenne_storage::task::blocking(move || file.read(0..file.bytes())).await?
        };
        read.await.map_err(|error: Error| match error.kind() {
            ErrorKind::NotFound => Error::not_found("a deletion file is missing")
                .code("missing-deletion")
                .because(error)
                .help("bring the file back from a copy; which rows are hidden is not known without it"),
            ErrorKind::Corrupt => damaged("a deletion file cannot be read").because(error),
            _ => error,
        })
    }

    /// Returns the changes that hide rows. What they name is on the disk.
    pub(crate) async fn hide(&self, rows: &RowPositions) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (file, rows) in rows.files() {
            changes.push(Change::AddDeletion(self.deletion_file(file, rows).await?));
        }
        Ok(changes)
    }

    pub(crate) async fn deletion_file(&self, data_file: FileId, rows: &DeletionVector) -> Result<DeletionFile> {
        let id = FileId::draw(self.shared.environment.ids.as_ref());
        let bytes = rows.encode(data_file);
        let location = if bytes.len() <= INLINE_BYTES_MAX {
            Location::Inline(bytes)
        } else {
            let name = path::deletion_file(id);
            self.shared.storage.write_beside(&self.record.location, &name, bytes).await?;
            Location::Path(name)
        };
        Ok(DeletionFile { id, data_file, location, rows: rows.len(), sequence: Sequence::ZERO })
    }
}

fn damaged(message: &'static str) -> Error {
    Error::corrupt(message)
        .code("damaged-deletion")
        .help("bring the file back from a copy, or load the table again from its source")
}
