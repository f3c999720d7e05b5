//! What readers see: one immutable value, replaced whole.

use std::ops::Deref;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use cayenne_format::{DataFile, Location, Sequence, Snapshot};

use crate::Pin;

/// A snapshot with the schema its files are read by.
#[derive(Clone, Debug)]
pub struct View {
    snapshot: Snapshot,
    schema: SchemaRef,
}

impl View {
    pub(crate) fn new(snapshot: Snapshot, schema: SchemaRef) -> Self {
        Self { snapshot, schema }
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
