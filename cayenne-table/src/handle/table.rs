//! The handle of a table.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow_schema::SchemaRef;
use cayenne_deletes::KeyCodec;
use cayenne_format::{
    CommitRecord, DataFile, Error, FileId, Location, Result, Sequence, TableId, TableName, TableOptions, path,
};
use cayenne_metastore::{TableKey, TableRecord};
use cayenne_storage::{DataFileReader, LoadBlocks, ReadCounters, ReadRequest, RowStream, Storage};
use tokio::sync::{Mutex, RwLock};

use crate::handle::shared::{BlocksOf, Shared};
use crate::state::compaction::CompactionState;
use crate::state::counters::Counters;
use crate::state::key_codec::codec_of;
use crate::state::manifested::Manifested;
use crate::state::retired::Retired;
use crate::state::writer::WriterState;
use crate::task::Slot;
use crate::view::pin::Pins;
use crate::{PinnedView, Recovery, View};

/// How often taking a view is tried while its snapshots expire.
const VIEW_TRIES: usize = 20;

/// The handle of a table. It reads through one immutable view and changes through one commit at a time.
///
/// Handles are shared: a database hands out one per table, and every method takes `&self`.
pub struct Table {
    pub(crate) record: TableRecord,
    /// Encodes the keys of its rows, if it has a primary key.
    pub(crate) codec: Option<Arc<KeyCodec>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) view: ArcSwap<View>,
    pub(crate) writer: Mutex<Option<WriterState>>,
    /// Held shared by a write while no commit names its files yet. Held exclusively to collect orphan files, and to
    /// drop or replace the table.
    pub(crate) unnamed_files: Arc<RwLock<()>>,
    pub(crate) pins: Pins,
    /// The background flush.
    pub(crate) flushing: Slot,
    /// Held during a flush. A holder may wait for the turn to commit; a holder of that turn must not wait for this.
    pub(crate) flush_turn: Mutex<()>,
    /// The background compaction.
    pub(crate) compacting: Slot,
    pub(crate) compaction: parking_lot::Mutex<CompactionState>,
    /// Files that are no longer part of the table, and are not removed yet.
    pub(crate) retired: parking_lot::Mutex<Retired>,
    pub(crate) counters: Counters,
    /// Data files whose key index was found missing or damaged. It is rebuilt when the file is rewritten.
    pub(crate) without_index: parking_lot::Mutex<HashSet<FileId>>,
    /// Held during a compaction. A holder may wait for the turn to commit; a holder of that turn must not wait for
    /// this.
    pub(crate) compact_turn: Mutex<()>,
    /// The background write of a manifest.
    pub(crate) writing_manifest: Slot,
    /// Held while manifests are written or removed. A holder may wait for the turn to commit; a holder of that turn
    /// must not wait for this.
    pub(crate) manifests: Mutex<()>,
    /// The state of the table when the last manifest was written, or when this process became its writer.
    pub(crate) manifested: parking_lot::Mutex<Option<Manifested>>,
    /// The sequence of the last manifest, or of the table when this process opened it.
    pub(crate) manifest_at: AtomicU64,
    /// Whether this process has made or changed the table.
    pub(crate) has_changed: AtomicBool,
    /// The outcome of the staged commits that were found when this process became the writer.
    pub(crate) recovery: parking_lot::Mutex<Recovery>,
    checked_at_ms: AtomicU64,
    refresh: Mutex<()>,
    blocks: Arc<dyn LoadBlocks>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.record.name).field("id", &self.record.id).finish_non_exhaustive()
    }
}

impl Table {
    pub(crate) fn new(record: TableRecord, shared: Arc<Shared>, view: View) -> Result<Self> {
        let codec = codec_of(&record.schema, &record.options, record.id).map_err(|error| {
            Error::corrupt("the stored primary key of a table is none of its schema").because(error)
        })?;
        let blocks = Arc::new(BlocksOf(Arc::clone(&shared.metastore)));
        let sequence = view.sequence().number();
        let pins = Pins::new(record.id, Arc::clone(&shared.readers));
        let table = Self {
            record,
            codec: codec.map(Arc::new),
            shared,
            view: ArcSwap::from_pointee(view),
            writer: Mutex::new(None),
            unnamed_files: Arc::default(),
            pins,
            flushing: Slot::default(),
            flush_turn: Mutex::default(),
            compacting: Slot::default(),
            compaction: parking_lot::Mutex::default(),
            retired: parking_lot::Mutex::default(),
            counters: Counters::default(),
            without_index: parking_lot::Mutex::default(),
            compact_turn: Mutex::default(),
            writing_manifest: Slot::default(),
            manifests: Mutex::default(),
            manifested: parking_lot::Mutex::default(),
            manifest_at: AtomicU64::new(sequence),
            has_changed: AtomicBool::new(false),
            recovery: parking_lot::Mutex::default(),
            checked_at_ms: AtomicU64::new(0),
            refresh: Mutex::new(()),
            blocks,
        };
        table.mark_checked();
        Ok(table)
    }

    /// Returns the id of the table.
    #[must_use]
    pub fn id(&self) -> TableId {
        self.record.id
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn name(&self) -> &TableName {
        &self.record.name
    }

    /// Returns the schema of the table.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.record.schema
    }

    /// Returns the options of the table.
    #[must_use]
    pub fn options(&self) -> &TableOptions {
        &self.record.options
    }

    /// Returns the record of the table as it was when the table was opened.
    #[must_use]
    pub fn record(&self) -> &TableRecord {
        &self.record
    }

    /// Returns the storage that holds the files of the table.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    /// Returns the current view and keeps its files alive.
    ///
    /// In the process that writes the table, this costs an atomic load. Other processes ask the metastore for newer
    /// snapshots at most once per [`poll_interval`](crate::DatabaseSettings::poll_interval). If no reader in such a
    /// process has used the snapshot for half of that interval, the process also creates a pin file and asks the
    /// metastore whether the snapshot is still kept. It needs permission to create files in the metadata folder:
    /// without pin files, writers do not know of its readers and may remove files that they are about to read.
    ///
    /// # Errors
    ///
    /// `NotFound` if the table was dropped; what the metastore returns.
    pub async fn view(&self) -> Result<PinnedView> {
        if !self.is_writer() && self.is_due() {
            let _one_at_a_time = self.refresh.lock().await;
            if self.is_due() {
                self.reload_if_changed().await?;
            }
        }
        for _ in 0..VIEW_TRIES {
            let pinned = self.pins.pin(|| {
                let view = self.view.load_full();
                (view.sequence(), view)
            });
            let (pin, view) = pinned.ok_or_else(|| self.was_dropped())?;
            if pin.is_safe() {
                return Ok(PinnedView::new(view, pin));
            }
            if pin.sequence() >= self.kept_from().await? {
                pin.set_safe();
                return Ok(PinnedView::new(view, pin));
            }
            drop(pin);
            self.reload().await?;
        }
        Err(Error::unavailable("snapshots expire faster than they can be read")
            .code("snapshot-expired")
            .with("table", self.name())
            .help("try again, or keep snapshots longer: cayenne_snapshot_retention"))
    }

    /// Returns the earliest snapshot that can be opened, according to the metastore.
    async fn kept_from(&self) -> Result<Sequence> {
        Ok(self.latest_record().await?.history.kept_from)
    }

    /// Returns the sequence of the latest snapshot, according to the metastore.
    pub(crate) async fn latest_sequence(&self) -> Result<Sequence> {
        Ok(self.latest_record().await?.sequence)
    }

    async fn latest_record(&self) -> Result<TableRecord> {
        let found = self.shared.metastore.find_table(&TableKey::Id(self.id())).await?;
        found.ok_or_else(|| self.was_dropped())
    }

    pub(crate) fn was_dropped(&self) -> Error {
        Error::not_found("the table was dropped").code("table-dropped").with("table", self.name())
    }

    /// Returns the view as it was after the commit with this sequence, and keeps its files alive.
    ///
    /// # Errors
    ///
    /// `NotFound` if no such snapshot is kept.
    pub async fn view_at(&self, sequence: Sequence) -> Result<PinnedView> {
        let snapshot = self
            .shared
            .metastore
            .load_snapshot(self.id(), Some(sequence))
            .await
            .map_err(|error| error.with("table", self.name()))?;
        let view = Arc::new(View::new(snapshot, Arc::clone(self.schema())));
        let (pin, ()) = self.pins.pin(|| (sequence, ())).ok_or_else(|| self.was_dropped())?;
        // The snapshot may have expired between loading and pinning it.
        let oldest = self.kept_from().await?;
        if sequence >= oldest || sequence == Sequence::ZERO {
            return Ok(PinnedView::new(view, pin));
        }
        Err(Error::not_found("no snapshot with this sequence is kept")
            .with("table", self.name())
            .with("sequence", sequence)
            .with("oldest", oldest))
    }

    /// Returns the commits of the table, earliest first.
    ///
    /// # Errors
    ///
    /// `NotFound` if the table was dropped.
    pub async fn log(&self) -> Result<Vec<CommitRecord>> {
        self.shared.metastore.load_log(self.id()).await
    }

    /// Returns a reader of the bytes of a data file that verifies every block.
    #[must_use]
    pub fn reader(&self, file: &Arc<DataFile>, counters: &Arc<ReadCounters>) -> Arc<DataFileReader> {
        self.shared.storage.reader(self.read_request(file, counters))
    }

    /// Returns the rows of a data file, hidden ones included, as batches of the schema of the table.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the file is not what was written; `NotFound` if it is missing.
    pub async fn read(&self, file: &Arc<DataFile>) -> Result<RowStream> {
        self.read_by(file, Arc::clone(&self.blocks)).await
    }

    /// As [`read`](Self::read), with the block checksums that `blocks` returns.
    pub(crate) async fn read_by(&self, file: &Arc<DataFile>, blocks: Arc<dyn LoadBlocks>) -> Result<RowStream> {
        let request = ReadRequest { blocks, ..self.read_request(file, &Arc::default()) };
        self.shared.storage.read(request, Arc::clone(self.schema())).await
    }

    pub(crate) fn read_request(&self, file: &Arc<DataFile>, counters: &Arc<ReadCounters>) -> ReadRequest {
        ReadRequest {
            location: self.record.location.clone(),
            table: self.id(),
            file: Arc::clone(file),
            blocks: Arc::clone(&self.blocks),
            counters: Arc::clone(counters),
            memory: None,
            is_last: false,
        }
    }

    /// Returns whether a view can be taken without a metastore query: this process is the writer, or it has looked for
    /// a newer snapshot recently and has the current one pinned.
    pub(crate) fn is_current(&self) -> bool {
        self.is_writer() || (!self.is_due() && self.pins.is_safe(self.view.load().sequence()))
    }

    fn is_due(&self) -> bool {
        let since = self.now().saturating_sub(self.checked_at_ms.load(Ordering::Acquire));
        Duration::from_millis(since) >= self.shared.settings.poll_interval
    }

    fn now(&self) -> u64 {
        u64::try_from(self.shared.environment.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn mark_checked(&self) {
        self.checked_at_ms.store(self.now(), Ordering::Release);
    }

    async fn reload_if_changed(&self) -> Result<()> {
        if self.latest_sequence().await? > self.view.load().sequence() {
            self.reload().await?;
        }
        self.mark_checked();
        Ok(())
    }

    /// Replaces the view with the latest snapshot in the metastore, unless the view is already newer.
    pub(crate) async fn reload(&self) -> Result<()> {
        let snapshot = self.shared.metastore.load_snapshot(self.id(), None).await?;
        let view = Arc::new(View::new(snapshot, Arc::clone(self.schema())));
        self.view.rcu(
            |current| {
                if current.sequence() > view.sequence() { Arc::clone(current) } else { Arc::clone(&view) }
            },
        );
        Ok(())
    }

    /// Returns the names of the objects that the current snapshot names.
    pub(crate) fn live_names(&self) -> HashSet<String> {
        self.names_of(&self.view.load())
    }

    /// Returns the names of the objects that a view names.
    pub(crate) fn names_of(&self, view: &View) -> HashSet<String> {
        let mut names = HashSet::new();
        for file in view.files() {
            names.extend(crate::view::current::object_name(file).map(str::to_owned));
            if self.options().has_key() {
                names.insert(path::key_index(file.id));
            }
        }
        let hiding = view.snapshot().deletions().map(|deletion| &deletion.location);
        let hiding = hiding.chain(view.snapshot().tombstones().map(|tombstones| &tombstones.location));
        names.extend(hiding.filter_map(|location| match location {
            Location::Path(name) => Some(name.clone()),
            Location::Inline(_) => None,
        }));
        names
    }
}
