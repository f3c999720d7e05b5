//! The view: the immutable value that readers see, replaced as a whole.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use cayenne_format::{DataFile, Location, Sequence, Snapshot, TombstoneFile};

use crate::Pin;

/// A snapshot with the schema that its files are read with.
#[derive(Clone, Debug)]
pub struct View {
    snapshot: Snapshot,
    schema: SchemaRef,
    /// The tombstone files, earliest first. Sorted at the first use.
    tombstones: OnceLock<Vec<Arc<TombstoneFile>>>,
}

impl View {
    pub(crate) fn new(snapshot: Snapshot, schema: SchemaRef) -> Self {
        Self { snapshot, schema, tombstones: OnceLock::new() }
    }

    /// Returns the snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the schema of the table.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the sequence of the snapshot.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.snapshot.sequence()
    }

    /// Returns the live data files.
    #[must_use]
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Arc<DataFile>> {
        self.snapshot.files()
    }

    /// Returns whether rows of a live data file may be hidden. If it returns false, none is.
    #[must_use]
    pub fn may_hide(&self, file: &DataFile) -> bool {
        self.snapshot.hidden_rows_of(file.id) > 0 || !self.tombstones_for(file).is_empty()
    }

    /// Returns the tombstone files that may hide rows of a data file, earliest first: those of commits later than the
    /// one that added the data file.
    pub(crate) fn tombstones_for(&self, file: &DataFile) -> &[Arc<TombstoneFile>] {
        let all = self.tombstones();
        let first = all.partition_point(|tombstones| !tombstones.sequence.hides(file.added_at));
        all.get(first..).unwrap_or_default()
    }

    fn tombstones(&self) -> &[Arc<TombstoneFile>] {
        self.tombstones.get_or_init(|| {
            let mut all: Vec<_> = self.snapshot.tombstones().cloned().collect();
            all.sort_by_key(|tombstones| (tombstones.sequence, tombstones.id));
            all
        })
    }
}

/// Returns the name of the object of a data file, or `None` if its bytes are inline.
pub(crate) fn object_name(file: &DataFile) -> Option<&str> {
    match &file.location {
        Location::Path(name) => Some(name),
        Location::Inline(_) => None,
    }
}

/// A view whose files stay until it is dropped.
#[derive(Debug)]
pub struct PinnedView {
    view: Arc<View>,
    pin: Pin,
}

impl PinnedView {
    pub(crate) fn new(view: Arc<View>, pin: Pin) -> Self {
        Self { view, pin }
    }

    /// Returns the pin.
    #[must_use]
    pub fn pin(&self) -> &Pin {
        &self.pin
    }
}

impl Deref for PinnedView {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}
