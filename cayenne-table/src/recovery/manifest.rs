//! Stored manifests: the state of a table, written next to its data when a database is closed and after a number of
//! commits. A metastore that was destroyed is rebuilt from them.
//!
//! A manifest is whole, or it is the difference to the manifest that it follows, so that writing one costs what has
//! changed and not what the table holds. Once the manifests that follow the last whole one are longer than it, the next
//! one is whole again.

use crate::state::manifested::Manifested;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cayenne_format::{
    Error, ErrorKind, Manifest, Result, Sequence, Snapshot, SnapshotChanges, SourcePosition, TableId, TableState,
};
use cayenne_storage::{Storage, StoredManifest};
use tokio::sync::MutexGuard;

use crate::recovery::aside::Aside;
use crate::recovery::table_state;
use crate::{PinnedView, Table, View};

/// How often a view is taken until the source positions that are read after it are of the same sequence.
const CURRENT_TRIES: usize = 20;

/// How many manifests may follow a whole one.
const FOLLOWERS_MAX: usize = 1_000;

/// A manifest that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct DamagedManifest {
    pub(crate) stored: StoredManifest,
    pub(crate) error: Error,
    /// Whether it is undamaged and of another table: it says nothing about this one.
    pub(crate) is_foreign: bool,
}

/// What the manifests of a table say.
#[derive(Debug, Default)]
pub(crate) struct FoundManifest {
    /// The latest state that they tell, if any.
    pub(crate) manifest: Option<Manifest>,
    /// The manifests that were read and cannot be used.
    pub(crate) damaged: Vec<DamagedManifest>,
    /// The latest sequence in the name of any manifest that is not foreign.
    pub(crate) newest: Sequence,
}

/// Returns the latest state that the manifests of a table tell, in a data location: that of the latest whole manifest
/// that can be read, and of those that follow it.
pub(crate) async fn latest(storage: &Storage, location: &str, table: TableId) -> Result<FoundManifest> {
    let stored = storage.manifests(location).await?;
    let of = Origin { storage, location, table };
    let mut found = FoundManifest::default();
    for whole in stored.iter().rev().filter(|stored| stored.since == Sequence::ZERO) {
        let Some(mut manifest) = found.read(of, *whole).await else { continue };
        let mut last = *whole;
        while let Some((stored, next)) = found.next(of, &stored, manifest.state.sequence).await {
            manifest = manifest.then(next)?;
            last = stored;
        }
        match manifest.state.check() {
            Ok(()) => {
                found.manifest = Some(manifest);
                break;
            }
            Err(error) => found.damaged.push(DamagedManifest { stored: last, error, is_foreign: false }),
        }
    }
    let is_foreign = |one: &StoredManifest| found.damaged.iter().any(|other| other.is_foreign && other.stored == *one);
    found.newest = stored.iter().filter(|one| !is_foreign(one)).map(|one| one.sequence).max().unwrap_or_default();
    Ok(found)
}

/// The table whose manifests are read, and where they are.
#[derive(Clone, Copy)]
struct Origin<'a> {
    storage: &'a Storage,
    location: &'a str,
    table: TableId,
}

impl FoundManifest {
    /// Returns a manifest that can be read and follows the sequence `at`, if there is one.
    async fn next(
        &mut self,
        of: Origin<'_>,
        stored: &[StoredManifest],
        at: Sequence,
    ) -> Option<(StoredManifest, Manifest)> {
        let follows = |next: &&StoredManifest| next.since == at && next.sequence > at && at > Sequence::ZERO;
        for next in stored.iter().rev().filter(follows) {
            if let Some(found) = self.read(of, *next).await {
                return Some((*next, found));
            }
        }
        None
    }

    async fn read(&mut self, of: Origin<'_>, stored: StoredManifest) -> Option<Manifest> {
        let (error, is_foreign) = match of.storage.read_manifest(of.location, stored).await {
            Ok(manifest) if manifest.table == of.table => return Some(manifest),
            Ok(manifest) => {
                let error = Error::corrupt("the manifest belongs to another table").code("damaged-manifest");
                (error.with("file", stored.name()).with("owner", manifest.table), true)
            }
            Err(error) => (error, false),
        };
        self.damaged.push(DamagedManifest { stored, error, is_foreign });
        None
    }

    /// Returns an error if a manifest cannot be used for another reason than that it is damaged or missing. It may be
    /// whole, and without it the state would be earlier than necessary.
    pub(crate) fn require_certain(&self) -> Result<()> {
        let is_damage = |error: &Error| matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
        self.damaged.iter().find(|found| !is_damage(&found.error)).map_or(Ok(()), |found| Err(found.error.clone()))
    }
}

impl Table {
    /// Writes a manifest in the background, if enough was committed since the last one.
    pub(crate) fn write_manifest_if_due(table: &Arc<Self>) {
        let committed = table.view.load().sequence().number().saturating_sub(table.manifest_at.load(Ordering::Acquire));
        if committed < table.shared.settings.manifest_interval.get() {
            return;
        }
        // Noted before the write: if it fails, it is tried again after as many commits, and not with every commit.
        table.manifest_at.store(table.view.load().sequence().number(), Ordering::Release);
        let write = || {
            let table = Arc::clone(table);
            async move { table.write_manifest_or_warn().await }
        };
        if let Err(error) = table.writing_manifest.begin("cayenne-manifest", write) {
            tracing::warn!(%error, table = %table.name(), "no manifest was written");
        }
    }

    /// Writes a manifest if this process has changed the table. An error is only logged: manifests are needed only if
    /// the metastore is lost.
    pub(crate) async fn write_manifest_or_warn(self: &Arc<Self>) {
        if !self.has_changed.load(Ordering::Acquire) {
            return;
        }
        match self.write_manifest().await {
            Ok(()) => {}
            // The process that is the writer now writes the manifest.
            Err(error) if matches!(error.stable_code(), "table-locked" | "fenced") => {}
            // The table was dropped by another process.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, table = %self.name(), "no manifest was written"),
        }
    }

    /// Writes a manifest, whole or as the difference to the last one, unless the last one is up to date.
    pub(crate) async fn write_manifest(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.manifests.lock().await;
        self.require_latest_writer().await?;
        let (view, sources) = self.current().await?;
        let location = &self.record.location;
        let stored = self.shared.storage.manifests(location).await?;
        let told = self.told(&stored).await;
        // If manifests were moved aside or lost, one of the current sequence may be left without the chain that leads
        // to it.
        let is_now = |told: &Arc<View>| told.sequence() == view.sequence() && chain(&stored, told.sequence()).is_some();
        if !told.as_ref().is_some_and(is_now) {
            let base = told.filter(|base| can_follow(&stored, base.sequence()));
            let base = base.as_ref().map(|base| base.snapshot());
            let manifest = self.manifest(&view, base, sources.clone()).await?;
            self.shared.storage.write_manifest(location, &manifest).await?;
            if manifest.since == Sequence::ZERO {
                self.shared.storage.remove_manifests(location, &out_of_use(&stored)).await?;
            }
        }
        self.manifest_at.store(view.sequence().number(), Ordering::Release);
        *self.manifested.lock() = Some(Manifested { view: Arc::new(View::clone(&view)), sources, is_told: true });
        Ok(())
    }

    /// Returns the view that the last manifest tells, if that is known to be a state of this table. Equal sequences do
    /// not prove it: after copies of the metastore were exchanged, a manifest may be of another history.
    async fn told(&self, stored: &[StoredManifest]) -> Option<Arc<View>> {
        let Manifested { view, sources, is_told } = self.manifested.lock().clone()?;
        let last = stored.last().filter(|last| last.sequence == view.sequence())?;
        if is_told {
            return Some(view);
        }
        let found = self.shared.storage.read_manifest(&self.record.location, *last).await.ok()?;
        (found.table == self.id() && found.tells(view.snapshot(), &sources)).then_some(view)
    }

    /// Moves manifests that are later than the table aside, before the first commit of this process.
    ///
    /// Such a manifest is of a history that was undone, for example by putting an old copy of the metastore in place.
    /// The history of the table now differs, and must not be taken for that one.
    pub(crate) async fn move_later_manifests_aside(&self, latest: Sequence) -> Result<()> {
        let stored = self.stored_manifests().await?;
        let mut aside = Aside::new(&self.shared);
        for later in stored.iter().filter(|stored| stored.sequence > latest) {
            let moved = aside.take(&self.shared.storage.path_of(&self.record.location, &later.name()))?;
            tracing::warn!(
                table = %self.name(),
                sequence = %latest,
                manifest = %later.sequence,
                aside = %moved.display(),
                "a manifest was moved aside that is later than the metastore, as if an old copy of that had been put back"
            );
        }
        Ok(())
    }

    /// Returns whether a manifest is later than the table, as when an old copy of the metastore was put back.
    pub(crate) async fn is_older_than_its_manifests(&self) -> Result<bool> {
        match self.stored_manifests().await?.last() {
            // The manifests first, then the sequence: a writer in another process may write a manifest of what it has
            // just committed.
            Some(last) => Ok(last.sequence > self.latest_sequence().await?),
            None => Ok(false),
        }
    }

    /// Returns the manifests next to the data. If something else is in the place of their folder, there are none; a
    /// check reports that.
    async fn stored_manifests(&self) -> Result<Vec<StoredManifest>> {
        match self.shared.storage.manifests(&self.record.location).await {
            Err(error) if is_no_folder(&error) => {
                tracing::warn!(%error, table = %self.name(), "there are no manifests");
                Ok(Vec::new())
            }
            stored => stored,
        }
    }

    /// Removes the manifests of a table that is about to be dropped, because they would bring it back. If the table
    /// stays after all, its next close writes another one.
    ///
    /// Only the latest writer may do this: a fenced writer would remove the manifests of a live table.
    pub(crate) async fn forget_manifests(&self) -> Result<MutexGuard<'_, ()>> {
        let no_more = self.manifests.lock().await;
        self.require_latest_writer().await?;
        self.has_changed.store(true, Ordering::Release);
        match self.shared.storage.manifests(&self.record.location).await {
            // Something else in the place of the folder does not prevent the drop.
            Err(error) if is_no_folder(&error) => {}
            stored => self.shared.storage.remove_manifests(&self.record.location, &stored?).await?,
        }
        Ok(no_more)
    }

    /// Returns the current view, and the source positions of the same sequence.
    pub(crate) async fn current(&self) -> Result<(PinnedView, Vec<SourcePosition>)> {
        if self.is_writer() {
            let writer = self.writer().await?;
            let mut sources: Vec<SourcePosition> = writer
                .sources
                .iter()
                .map(|(stream, position)| SourcePosition { stream: stream.clone(), position: *position })
                .collect();
            sources.sort_by(|one, other| one.stream.cmp(&other.stream));
            return Ok((self.view().await?, sources));
        }
        for _ in 0..CURRENT_TRIES {
            let view = self.view().await?;
            let sources = self.shared.metastore.load_sources(self.id()).await?;
            if self.latest_sequence().await? == view.sequence() {
                return Ok((view, sources));
            }
            self.reload().await?;
        }
        Err(Error::unavailable("the table changes faster than it can be read")
            .with("table", self.name())
            .help("try again, or ask the process that writes the table"))
    }

    /// Returns a manifest of a view: whole, or as the difference to `base`.
    pub(crate) async fn manifest(
        &self,
        view: &PinnedView,
        base: Option<&Snapshot>,
        sources: Vec<SourcePosition>,
    ) -> Result<Manifest> {
        let snapshot = view.snapshot();
        let since = base.map(Snapshot::sequence).unwrap_or_default();
        let changes = match base {
            Some(base) => snapshot.changes_since(base),
            None => snapshot.changes_since(&Snapshot::empty(self.id())),
        };
        let SnapshotChanges { files, deletions, tombstones, removed } = changes;
        let files = table_state::with_blocks(self.shared.metastore.as_ref(), self.id(), files.iter()).await?;
        let state = TableState { sequence: snapshot.sequence(), files, deletions, tombstones, sources };
        Ok(Manifest {
            table: self.id(),
            name: self.name().clone(),
            schema: Arc::clone(self.schema()),
            options: self.options().clone(),
            made_at: self.record.made_at,
            written_at: self.shared.environment.clock.now(),
            since,
            removed,
            state,
        })
    }
}

/// Returns whether something else is in the place of the folder of manifests, and not merely that the folder cannot be
/// listed.
pub(crate) fn is_no_folder(error: &Error) -> bool {
    error.stable_code() == "no-manifest-folder"
}

/// Returns whether the next manifest may be the difference to `base`. For that, `base` must be the last manifest, the
/// chain to it from a whole one must be complete, and the followers in it must not be too many, nor longer than the
/// whole one.
fn can_follow(stored: &[StoredManifest], base: Sequence) -> bool {
    let is_last = base > Sequence::ZERO && stored.last().is_some_and(|last| last.sequence == base);
    let is_short = |chain: Chain| chain.followers < FOLLOWERS_MAX && chain.bytes <= chain.whole_bytes;
    is_last && chain(stored, base).is_some_and(is_short)
}

/// The chain of manifests from a whole one to another.
#[derive(Clone, Copy)]
struct Chain {
    followers: usize,
    /// The length of the followers, in bytes.
    bytes: u64,
    whole_bytes: u64,
}

/// Returns the chain from a whole manifest to the manifest of `sequence`, or `None` if it is incomplete.
fn chain(stored: &[StoredManifest], sequence: Sequence) -> Option<Chain> {
    let (mut at, mut followers, mut bytes) = (sequence, 0, 0_u64);
    while let Some(step) = stored.iter().find(|stored| stored.sequence == at) {
        if step.since == Sequence::ZERO {
            return Some(Chain { followers, bytes, whole_bytes: step.bytes });
        }
        (followers, bytes) = (followers + 1, bytes.saturating_add(step.bytes));
        // A name may say anything: a manifest can only follow an earlier one.
        at = Some(step.since).filter(|since| *since < at)?;
    }
    None
}

/// Returns the manifests that are obsolete once another whole one is written: all before the last whole one of
/// `stored`.
fn out_of_use(stored: &[StoredManifest]) -> Vec<StoredManifest> {
    let last_whole = stored.iter().rfind(|stored| stored.since == Sequence::ZERO).map(|stored| stored.sequence);
    stored.iter().filter(|stored| last_whole.is_some_and(|whole| stored.sequence < whole)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(parts: &[(u64, u64, u64)]) -> Vec<StoredManifest> {
        let sequence = |number| Sequence::new(number).unwrap();
        let one = |(since, at, bytes): &(u64, u64, u64)| StoredManifest {
            since: sequence(*since),
            sequence: sequence(*at),
            bytes: *bytes,
        };
        parts.iter().map(one).collect()
    }

    #[test]
    fn a_manifest_follows_the_last_one_while_that_is_shorter_than_saying_all() {
        let follows = |parts: &[(u64, u64, u64)], base| can_follow(&stored(parts), Sequence::new(base).unwrap());
        assert!(follows(&[(0, 5, 100)], 5));
        assert!(follows(&[(0, 5, 100), (5, 6, 50), (6, 9, 50)], 9));
        assert!(!follows(&[(0, 5, 100), (5, 6, 50), (6, 9, 51)], 9), "they are longer than the whole one");
        assert!(!follows(&[(0, 5, 100), (6, 9, 1)], 9), "one is missing between");
        assert!(!follows(&[(0, 5, 100), (5, 6, 1)], 5), "it is not the last one");
        assert!(!follows(&[], 5));
        assert!(!follows(&[(0, 0, 100)], 0), "what follows the empty table would look like a whole one");
        let many: Vec<_> = (5..5 + FOLLOWERS_MAX as u64).map(|at| (at, at + 1, 0)).collect();
        assert!(!follows(&[&[(0, 5, 100)], many.as_slice()].concat(), 5 + FOLLOWERS_MAX as u64));
    }

    #[test]
    fn the_last_whole_manifest_and_what_follows_it_stays_beside_a_new_one() {
        let kept = |parts: &[(u64, u64, u64)]| out_of_use(&stored(parts)).len();
        assert_eq!(kept(&[(0, 5, 1), (5, 6, 1)]), 0);
        assert_eq!(kept(&[(0, 5, 1), (5, 6, 1), (0, 8, 1), (8, 9, 1)]), 2);
        assert_eq!(kept(&[(5, 6, 1)]), 0);
    }
}
