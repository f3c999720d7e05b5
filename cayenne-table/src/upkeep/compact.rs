//! Compaction: rewrites data files into fewer and larger ones without hidden rows, one pass at a time, or all passes on
//! demand.

use crate::Compacted;
use std::sync::Arc;
use std::time::Duration;

use cayenne_compaction::{CompactionLimits, Decision, File, Finding, Pick, Reason, decide, pick};
use cayenne_format::{DataFile, FileId, Operation, Result, Sequence, Timestamp};
use tokio::sync::OwnedRwLockReadGuard;

use crate::ReadAmplification;
use crate::upkeep::rewrite::{Pace, is_race};
use crate::{Table, View};

/// What a compaction of a table would do, before anything is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionPlan {
    /// The sequence of the snapshot that was looked at.
    pub sequence: Sequence,
    /// How much a scan of the whole table has to open.
    pub reads: ReadAmplification,
    /// How near each reason is to applying, and whether it begins a pass.
    pub findings: Vec<Finding>,
    /// The pick of the next pass, if a reason applies.
    pub next: Option<Pick<FileId>>,
    /// The pick of the first pass of a compaction on demand.
    pub asked: Option<Pick<FileId>>,
}

impl Table {
    /// Returns which data files would be compacted and why, or why none would be. Changes nothing.
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

    /// Flushes inline rows to data files, and compacts the data files until each but the last has the target size and
    /// none has hidden rows. Does not change which rows are visible. A pass reads at most `max_files` data files; if
    /// that is `None`, the options of the table set the limit.
    ///
    /// Rows that are added or hidden meanwhile stay so. A write that replaces all rows ends the compaction. Replaced
    /// files are removed, unless an earlier snapshot that has them is kept or read.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append). Passes that were committed before the error stay.
    pub async fn compact(self: &Arc<Self>, max_files: Option<usize>) -> Result<Vec<Compacted>> {
        let mut limits = self.compaction_limits();
        limits.files_per_pick = max_files.unwrap_or(limits.files_per_pick);
        self.flush().await?;
        let mut passes = Vec::new();
        // Rows that become hidden meanwhile are not compacted now: with this limit, the compaction ends even if writes
        // never stop.
        let limit = self.view().await?.files().len().max(1);
        let _one_at_a_time = self.compact_turn.lock().await;
        while passes.len() < limit {
            match self.compact_once(|files| pick(files, Reason::Manual, &limits), Pace::Waited).await {
                Ok(Some(pass)) => passes.push(pass),
                Ok(None) => break,
                // Another commit has replaced all rows.
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
        // The rows keep the order in which they were added.
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

    /// Returns what compaction needs to know of the data files of a view. Inline data files are left out: they are
    /// flushed, not compacted. Rows that tombstones hide are not counted: a flush turns many tombstones into deletion
    /// vectors.
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

/// Returns the age of a data file according to its id; zero if the id does not tell.
fn age(file: FileId, now: Timestamp) -> Duration {
    file.made_at().map_or(Duration::ZERO, |made_at| now.since(made_at))
}
