//! Data files become fewer and larger ones, without the rows that are hidden: one pass, and all of them on demand.

use crate::Compacted;
use std::sync::Arc;
use std::time::Duration;

use cayenne_compaction::{CompactionLimits, Decision, File, Finding, Pick, Reason, decide, pick};
use cayenne_format::{DataFile, FileId, Operation, Result, Sequence, Timestamp};
use tokio::sync::OwnedRwLockReadGuard;

use crate::ReadAmplification;
use crate::upkeep::rewrite::{Pace, is_race};
use crate::{Table, View};

/// What can be said of the files of a table before anything is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionPlan {
    /// The snapshot that was looked at.
    pub sequence: Sequence,
    /// How much a scan opens that reads the whole table.
    pub reads: ReadAmplification,
    /// How near each reason is to apply, and whether it begins a pass.
    pub findings: Vec<Finding>,
    /// The data files that are compacted next because a reason applies.
    pub next: Option<Pick<FileId>>,
    /// Those that are compacted first if somebody asks.
    pub asked: Option<Pick<FileId>>,
}

impl Table {
    /// Says which data files would be compacted, and why; or why not. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view).
    pub async fn compaction_plan(&self) -> Result<CompactionPlan> {
        let view = self.view().await?;
        let (files, limits) = (self.files_to_compact(&view), self.compaction_limits());
        let Decision { findings, next } = decide(&files, &limits);
        Ok(CompactionPlan {
            sequence: view.sequence(),
            reads: view.read_amplification(),
            findings,
            next,
            asked: pick(&files, Reason::Manual, &limits),
        })
    }

    /// Moves the rows that are kept in the metastore to data files, and compacts these until every one but the last is as
    /// large as it is to be, and none has hidden rows. No row becomes visible or invisible by it. A pass reads at most
    /// `max_files` data files, or as many as the options of the table say.
    ///
    /// Rows that come or go meanwhile stay as they are; a write that replaces all of them ends it. Files that others are in
    /// the place of are removed, unless an earlier snapshot is kept or read that has them.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append). What the passes before have done stays.
    pub async fn compact(self: &Arc<Self>, max_files: Option<usize>) -> Result<Vec<Compacted>> {
        let mut limits = self.compaction_limits();
        limits.files_per_pick = max_files.unwrap_or(limits.files_per_pick);
        self.flush().await?;
        let mut passes = Vec::new();
        // What hidden rows come while it runs is not its business: so it ends beside the most eager writer.
        let limit = self.view().await?.files().len().max(1);
        let _one_at_a_time = self.compact_turn.lock().await;
        while passes.len() < limit {
            match self.compact_once(|files| pick(files, Reason::Manual, &limits), Pace::Waited).await {
                Ok(Some(pass)) => passes.push(pass),
                Ok(None) => break,
                // All rows were replaced.
                Err(error) if is_race(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.remove_retired_or_warn().await;
        Ok(passes)
    }

    /// Compacts the data files that `choose` picks, if it picks any.
    pub(crate) async fn compact_once(
        self: &Arc<Self>,
        choose: impl FnOnce(&[File<FileId>]) -> Option<Pick<FileId>>,
        pace: Pace,
    ) -> Result<Option<Compacted>> {
        drop(self.writer().await?);
        let no_commit_yet = Arc::clone(&self.unnamed_files).read_owned().await;
        let view = self.view().await?;
        let Some(picked) = choose(&self.files_to_compact(&view)) else { return Ok(None) };
        let clock = &self.shared.environment.clock;
        let (began_at, began, reason) = (clock.now(), clock.elapsed(), picked.reason);
        let running = self.begin_pass(reason, began_at, began);
        let done = self.compact_files(&view, picked, pace, no_commit_yet).await;
        drop(running);
        self.remember(reason, began_at, clock.elapsed().saturating_sub(began), &done);
        done.map(Some)
    }

    async fn compact_files(
        self: &Arc<Self>,
        view: &View,
        picked: Pick<FileId>,
        pace: Pace,
        no_commit_yet: OwnedRwLockReadGuard<()>,
    ) -> Result<Compacted> {
        let mut files: Vec<Arc<DataFile>> =
            picked.files.iter().filter_map(|id| view.snapshot().file(*id).cloned()).collect();
        // The rows stay in the order in which they came.
        files.sort_by_key(|file| (file.added_at, file.id));
        let rows_before: u64 = files.iter().map(|file| file.rows).sum();
        let rewrite = self.rewrite(view, files).await?;
        let written = self.rewrite_files(rewrite, Operation::Compact, pace, no_commit_yet).await?;
        Ok(Compacted {
            reason: picked.reason,
            inputs: picked.files.len(),
            bytes_read: picked.bytes,
            outputs: written.files,
            bytes_written: written.bytes,
            rows: written.rows,
            rows_left_out: rows_before.saturating_sub(written.rows),
            sequence: written.sequence,
        })
    }

    /// Returns what compaction has to know of the data files of a view. Rows that are kept in the metastore are flushed and
    /// not compacted. Rows that tombstones hide are not counted: a flush makes positions of many of those.
    pub(crate) fn files_to_compact(&self, view: &View) -> Vec<File<FileId>> {
        let now = self.shared.environment.clock.now();
        let incomplete = {
            let mut incomplete = self.without_index.lock();
            incomplete.retain(|file| view.snapshot().file(*file).is_some());
            incomplete.clone()
        };
        let stored = view.files().filter(|file| !file.is_inline());
        let file = |file: &Arc<DataFile>| File {
            id: file.id,
            bytes: file.bytes,
            rows: file.rows,
            hidden_rows: view.snapshot().hidden_rows_of(file.id),
            layer: file.added_at.number(),
            age: age(file.id, now),
            group: 0,
            is_incomplete: incomplete.contains(&file.id),
        };
        stored.map(file).collect()
    }

    pub(crate) fn compaction_limits(&self) -> CompactionLimits {
        let options = self.options().compaction;
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        CompactionLimits {
            target_bytes: self.options().target_file_bytes(),
            small_files: count(options.trigger_files),
            layers: count(options.trigger_layers),
            layer_age: options.trigger_layer_age(),
            files_per_pick: count(options.max_files_per_pick),
            levels: count(options.max_levels),
            ..CompactionLimits::default()
        }
    }
}

/// Returns how long ago a data file was made, as far as its id tells.
fn age(file: FileId, now: Timestamp) -> Duration {
    file.made_at().map_or(Duration::ZERO, |made_at| now.since(made_at))
}
