//! What a table is, written beside its data: at the close of a database and every so many commits. A metastore that was
//! destroyed is made anew from it.
//!
//! A manifest says everything, or what has changed since the one before it: so writing one costs what has changed, not
//! what the table holds. Once what followed the last whole one has grown as long as that, the next says everything again.

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

/// How often a view is taken again until what is known besides it is of the same moment.
const CURRENT_TRIES: usize = 20;

/// How many manifests may follow a whole one.
const FOLLOWERS_MAX: usize = 1_000;

/// A manifest that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct DamagedManifest {
    pub(crate) stored: StoredManifest,
    pub(crate) error: Error,
    /// It is whole, and of another table: it says nothing about this one.
    pub(crate) is_foreign: bool,
}

/// What the manifests of a table say.
#[derive(Debug, Default)]
pub(crate) struct FoundManifest {
    /// The latest state that they tell, if any.
    pub(crate) manifest: Option<Manifest>,
    /// Those that were looked at and cannot be used.
    pub(crate) damaged: Vec<DamagedManifest>,
    /// The latest sequence that any of them has in its name.
    pub(crate) newest: Sequence,
}

/// Returns the latest state that the manifests of a table in a data location tell: that of the latest whole one that can be
/// read, and of those that follow it.
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

/// Whose manifests are read, and where.
#[derive(Clone, Copy)]
struct Origin<'a> {
    storage: &'a Storage,
    location: &'a str,
    table: TableId,
}

impl FoundManifest {
    /// Returns what has changed since this sequence, if a manifest says so, and which one.
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

    /// Says that those which cannot be used are damaged or gone. One that cannot be read for another reason may be whole,
    /// and what is told without it is of an earlier moment than it needs to be.
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
        // Noted before: one that cannot be written is tried again after as many commits, and not with every one.
        table.manifest_at.store(table.view.load().sequence().number(), Ordering::Release);
        let write = || {
            let table = Arc::clone(table);
            async move { table.write_manifest_or_warn().await }
        };
        if let Err(error) = table.writing_manifest.begin("cayenne-manifest", write) {
            tracing::warn!(%error, table = %table.name(), "no manifest was written");
        }
    }

    /// Writes a manifest if this process has changed the table. That none can be written takes nothing from the table: it
    /// is for the day when the metastore is lost.
    pub(crate) async fn write_manifest_or_warn(self: &Arc<Self>) {
        if !self.has_changed.load(Ordering::Acquire) {
            return;
        }
        match self.write_manifest().await {
            Ok(()) => {}
            // Whoever has become the writer writes the manifest.
            Err(error) if matches!(error.stable_code(), "table-locked" | "fenced") => {}
            // It was dropped by another process.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, table = %self.name(), "no manifest was written"),
        }
    }

    /// Writes what the table is, or what has changed in it since the last manifest, unless that is up to date.
    pub(crate) async fn write_manifest(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.manifests.lock().await;
        self.require_latest_writer().await?;
        let (view, sources) = self.current().await?;
        let location = &self.record.location;
        let stored = self.shared.storage.manifests(location).await?;
        let told = self.told(&stored).await;
        // What was moved aside, or lost, may leave one that tells of now and nothing that leads to it.
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

    /// Returns what the last manifest tells, if that is known to be a state of this table. Sequences alone do not say so:
    /// after copies of the metastore were exchanged, a manifest may be of another history.
    async fn told(&self, stored: &[StoredManifest]) -> Option<Arc<View>> {
        let Manifested { view, sources, is_told } = self.manifested.lock().clone()?;
        let last = stored.last().filter(|last| last.sequence == view.sequence())?;
        if is_told {
            return Some(view);
        }
        let found = self.shared.storage.read_manifest(&self.record.location, *last).await.ok()?;
        (found.table == self.id() && found.tells(view.snapshot(), &sources)).then_some(view)
    }

    /// Looks at the manifests before the first commit of this process.
    ///
    /// A manifest that is later than the table is of a history that was taken back, as when an old copy of the metastore
    /// was put in place. The table goes on another way, and must not be taken for that one.
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

    /// Says whether a manifest is later than the table, as when an old copy of the metastore was put back.
    pub(crate) async fn is_older_than_its_manifests(&self) -> Result<bool> {
        match self.stored_manifests().await?.last() {
            // Looked at in this order: a writer elsewhere may write one that says what was just committed.
            Some(last) => Ok(last.sequence > self.latest_sequence().await?),
            None => Ok(false),
        }
    }

    /// Returns the manifests beside the data. What is no folder holds none; a check tells of it.
    async fn stored_manifests(&self) -> Result<Vec<StoredManifest>> {
        match self.shared.storage.manifests(&self.record.location).await {
            Err(error) if is_no_folder(&error) => {
                tracing::warn!(%error, table = %self.name(), "there are no manifests");
                Ok(Vec::new())
            }
            stored => stored,
        }
    }

    /// Removes the manifests of a table that is about to be dropped: they would bring it back. The next close of the table,
    /// should it stay, writes another one.
    ///
    /// Only the latest writer may: one that was fenced would take those of a table that lives.
    pub(crate) async fn forget_manifests(&self) -> Result<MutexGuard<'_, ()>> {
        let no_more = self.manifests.lock().await;
        self.require_latest_writer().await?;
        self.has_changed.store(true, Ordering::Release);
        match self.shared.storage.manifests(&self.record.location).await {
            // What is no folder keeps nobody from dropping the table.
            Err(error) if is_no_folder(&error) => {}
            stored => self.shared.storage.remove_manifests(&self.record.location, &stored?).await?,
        }
        Ok(no_more)
    }

    /// Returns the current view, and what was taken in of each stream at the same moment.
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

    /// Returns what the table is at a view, or what has changed in it since `base`.
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

/// Says whether something else is in the place of the folder of manifests, and not merely that it cannot be looked into.
pub(crate) fn is_no_folder(error: &Error) -> bool {
    error.stable_code() == "no-manifest-folder"
}

/// Says whether the next manifest may say what has changed since `base`: that one is the last, what leads to it from a whole
/// one is there, and is not longer than that one.
fn can_follow(stored: &[StoredManifest], base: Sequence) -> bool {
    let is_last = base > Sequence::ZERO && stored.last().is_some_and(|last| last.sequence == base);
    let is_short = |chain: Chain| chain.followers < FOLLOWERS_MAX && chain.bytes <= chain.whole_bytes;
    is_last && chain(stored, base).is_some_and(is_short)
}

/// The manifests that lead from a whole one to another.
#[derive(Clone, Copy)]
struct Chain {
    followers: usize,
    /// Their length.
    bytes: u64,
    whole_bytes: u64,
}

/// Returns what leads from a whole manifest to the one of a sequence, if all of it is there.
fn chain(stored: &[StoredManifest], sequence: Sequence) -> Option<Chain> {
    let (mut at, mut followers, mut bytes) = (sequence, 0, 0_u64);
    while let Some(step) = stored.iter().find(|stored| stored.sequence == at) {
        if step.since == Sequence::ZERO {
            return Some(Chain { followers, bytes, whole_bytes: step.bytes });
        }
        (followers, bytes) = (followers + 1, bytes.saturating_add(step.bytes));
        // A name may say anything, and nothing follows itself.
        at = Some(step.since).filter(|since| *since < at)?;
    }
    None
}

/// Returns what is of no use any more once another whole one is there: all before the last whole one of `stored`.
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
