//! The one place that commits writes: it composes a commit and its requirements, hands it to the metastore, and
//! replaces the view. Two kinds of commit do not go through it: the first rows of a new table are committed with the
//! table, and a new writer publishes staged commits itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cayenne_deletes::Keys;
use cayenne_format::{
    Change, CommitId, Error, NewDataFile, Operation, Result, Sequence, Snapshot, SourcePosition, Step, TableCommit,
};

use crate::handle::shared::Shared;
use crate::keys::KeyRule;
use crate::state::writer::{WriterGuard, WriterState};
use crate::visibility::rows::HiddenRows;
use crate::write::found::FoundRows;
use crate::write::replaced::Replaced;
use crate::write::written::names_of;
use crate::{Table, View};

/// A write to be committed: the files that it adds to a table, and the files or rows that these replace.
pub(crate) struct Publication<'a> {
    pub(crate) table: &'a Table,
    pub(crate) operation: Operation,
    pub(crate) replaced: Replaced,
    pub(crate) files: Vec<NewDataFile>,
    /// The rows to hide because a statement has found them.
    pub(crate) found: Option<FoundRows>,
    /// What happens on key conflicts of the new rows.
    pub(crate) rule: KeyRule,
    /// The keys of the rows to delete.
    pub(crate) deleted: Option<Keys>,
    /// The source position of the rows. A position that was committed before changes nothing.
    pub(crate) source: Option<SourcePosition>,
    /// The id of the commit, if it was drawn before.
    pub(crate) id: Option<CommitId>,
}

/// What a commit did.
pub(crate) struct Published {
    pub(crate) sequence: Sequence,
    pub(crate) rows_removed: u64,
    /// The number of its rows that are hidden from the beginning, those of files that were left out included.
    pub(crate) rows_left_out: u64,
    /// Its files in which every row was hidden from the beginning. They did not become part of the table.
    pub(crate) files_left_out: LeftOut,
    /// The source position was committed before, and the files belong to no table.
    pub(crate) is_repeated: bool,
}

/// Files of a write that did not become part of the table, because other rows have the keys of all of their rows.
#[derive(Default)]
pub(crate) struct LeftOut {
    pub(crate) files: usize,
    pub(crate) rows: u64,
    pub(crate) names: Vec<String>,
}

/// A table that has the turn to commit. `next` is its commit and the snapshot after it, or `None` if the table does not
/// change.
struct Turn<'a> {
    table: &'a Table,
    base: Arc<View>,
    next: Option<(TableCommit, Snapshot)>,
    operation: Operation,
    /// The number of rows that the write removed by replacing all of them.
    rows_before: u64,
    hidden: HiddenRows,
    left_out: LeftOut,
    is_repeated: bool,
    writer: WriterGuard<'a>,
}

impl Shared {
    /// Publishes all publications as one commit: either all of them become durable and visible, or none.
    ///
    /// Returns what each of them did. An append of no rows, and a truncate of an empty table, leave the table as it is.
    /// Each table must occur once, in the order of the ids, so that two callers never wait for each other.
    pub(crate) async fn publish(&self, publications: Vec<Publication<'_>>) -> Result<Vec<Published>> {
        let mut turns = Vec::with_capacity(publications.len());
        let mut commits = Vec::with_capacity(publications.len());
        for publication in publications {
            let (turn, commit) = publication.take_turn().await?;
            turns.push(turn);
            commits.extend(commit);
        }
        let handed_over = if commits.is_empty() { Ok(vec![]) } else { self.hand_over(&commits).await };
        if handed_over.as_ref().is_err_and(|error| error.stable_code() == "fenced") {
            // Another process is the writer now, so the view of this process may be out of date.
            for turn in &turns {
                turn.table.lose_the_truth();
            }
        }
        let mut sequences = match turns.as_slice() {
            [only] => handed_over.map_err(|error| error.with("table", only.table.name()))?,
            _ => handed_over?,
        }
        .into_iter();
        if let Err(error) = self.environment.steps.before(Step::SwapView) {
            // The commit is done; an error here would wrongly deny it.
            tracing::warn!(%error, "step refused after the commit");
        }
        let mut published = Vec::with_capacity(turns.len());
        for turn in turns {
            published.push(turn.finish(&mut sequences).await?);
        }
        Ok(published)
    }

    async fn hand_over(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        self.environment.steps.before(Step::HandCommit)?;
        match self.metastore.commit(commits).await {
            Ok(sequences) if sequences.len() == commits.len() => Ok(sequences),
            Ok(_) => Err(Error::internal("the metastore gave no sequence for a commit")),
            Err(error) if error.stable_code() == "commit-unknown" => self.look_up(commits, error).await,
            Err(error) => Err(error),
        }
    }

    /// Resolves a commit whose answer was lost: the logs tell whether the commits were applied, all of them or none.
    async fn look_up(&self, commits: &[TableCommit], lost: Error) -> Result<Vec<Sequence>> {
        let mut sequences = Vec::with_capacity(commits.len());
        for commit in commits {
            let Ok(log) = self.metastore.load_log(commit.table).await else {
                return Err(lost.with("commit", commit.id));
            };
            match log.iter().rev().find(|record| record.id == commit.id) {
                Some(record) => sequences.push(record.sequence),
                None => {
                    return Err(Error::unavailable("the commit is not in the log").code("commit-lost").because(lost));
                }
            }
        }
        Ok(sequences)
    }
}

impl<'a> Publication<'a> {
    /// Waits for the turn to commit to the table, and composes the commit.
    async fn take_turn(mut self) -> Result<(Turn<'a>, Option<TableCommit>)> {
        let (table, operation) = (self.table, self.operation);
        let writer = table.writer().await?;
        let base = table.view.load_full();
        let is_repeated = self.source.as_ref().is_some_and(|source| writer.has_taken(source));
        let (hidden, left_out) = (HiddenRows::default(), LeftOut::default());
        let mut turn =
            Turn { table, base, next: None, operation, rows_before: 0, hidden, left_out, is_repeated, writer };
        if is_repeated {
            return Ok((turn, None));
        }
        turn.rows_before = self.rows_before(&turn.base).await;
        turn.hidden = self.hidden_rows(&turn.writer, &turn.base).await?;
        turn.left_out = self.leave_out(&mut turn.hidden);
        let commit = self.compose(&turn.writer, &turn.base, &turn.hidden).await?;
        if let Some(commit) = &commit {
            let next = commit.apply(turn.base.snapshot()).map_err(|error| error.with("table", table.name()))?;
            turn.next = Some((commit.clone(), next));
        }
        Ok((turn, commit))
    }

    /// Returns the rows that the commit hides, besides those of files that it removes.
    async fn hidden_rows(&self, writer: &WriterState, base: &View) -> Result<HiddenRows> {
        let mut hidden = HiddenRows::default();
        if let Some(found) = &self.found {
            hidden.of_others = self.table.still_visible(writer, base, found).await?;
        }
        if let Some(deleted) = &self.deleted {
            hidden.of_others = self.table.find_keys(base, deleted.clone()).await?;
        }
        match &self.replaced {
            Replaced::Nothing => self.table.meet(base, &self.files, self.rule, &mut hidden).await?,
            Replaced::Everything => {
                let empty = View::new(Snapshot::empty(self.table.id()), Arc::clone(self.table.schema()));
                self.table.meet(&empty, &self.files, self.rule, &mut hidden).await?;
            }
            Replaced::Rewritten(rewrite) => {
                let map = rewrite.map(&self.files)?;
                hidden.of_new = self.table.hidden_since(base, rewrite, &map).await?;
                hidden.moved = Some(Arc::new(map));
            }
            Replaced::Lost(_) => {}
        }
        Ok(hidden)
    }

    /// Leaves out the files in which every row is hidden from the beginning. Files of a rewrite stay, because their
    /// rows were found at their earlier positions. Staged files stay, because another process may publish them.
    fn leave_out(&mut self, hidden: &mut HiddenRows) -> LeftOut {
        let mut left_out = LeftOut::default();
        if hidden.moved.is_some() || self.id.is_some() {
            return left_out;
        }
        let (gone, files): (Vec<_>, Vec<_>) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|new| hidden.of_new.take_all(new.file.id, new.file.rows));
        self.files = files;
        left_out.files = gone.len();
        left_out.rows = gone.iter().map(|new| new.file.rows).sum();
        left_out.names = names_of(&gone);
        left_out
    }

    /// Returns the changes that keep the number of deletion and tombstone files bounded.
    async fn fold_hidden(&self, base: &View) -> Result<Vec<Change>> {
        let (table, gone) = (self.table, self.replaced.of(base));
        let mut changes = Vec::new();
        if let Replaced::Rewritten(rewrite) = &self.replaced {
            changes = rewrite.folds(base);
            if let Some(folded) = table.fold_tombstones(base, &gone).await? {
                changes.extend(folded);
                return Ok(changes);
            }
        }
        if !gone.is_empty() {
            changes.extend(Table::drop_tombstones(base, &gone));
        }
        Ok(changes)
    }

    /// Returns the number of rows that the write removes by replacing all of them; 0 if it does not.
    async fn rows_before(&self, base: &View) -> u64 {
        if !matches!(self.replaced, Replaced::Everything) {
            return 0;
        }
        self.table.visible_rows(base).await.unwrap_or_else(|error| {
            // Damaged files are replaced too: that their rows cannot be counted is no reason to keep them.
            tracing::warn!(%error, table = %self.table.name(), "the rows that were replaced were not counted");
            base.snapshot().stored_rows().saturating_sub(base.snapshot().hidden_rows())
        })
    }

    /// Returns the commit, unless there is nothing to commit.
    pub(crate) async fn compose(
        self,
        writer: &WriterState,
        base: &View,
        hidden: &HiddenRows,
    ) -> Result<Option<TableCommit>> {
        let table = self.table;
        let requires = self.replaced.requirement(base).into_iter().collect();
        let mut changes: Vec<_> = self.replaced.of(base).into_iter().map(Change::RemoveFile).collect();
        changes.extend(self.fold_hidden(base).await?);
        let takes_away = !changes.is_empty();
        changes.extend(self.files.into_iter().map(|file| Change::AddFile(Box::new(file))));
        changes.extend(table.hide(base, &hidden.of_others).await?);
        // By position, because tombstones hide no rows of their own commit.
        changes.extend(table.hide_by_position(&hidden.of_new).await?);
        // A source position may advance without rows for this table.
        if changes.is_empty() && self.source.is_none() {
            return Ok(None);
        }
        let environment = &table.shared.environment;
        Ok(Some(TableCommit {
            id: self.id.unwrap_or_else(|| CommitId::draw(environment.ids.as_ref())),
            table: table.id(),
            epoch: writer.epoch,
            operation: self.operation,
            made_at: environment.clock.now(),
            requires,
            changes,
            source: self.source,
            expiry: if takes_away { table.expiry_of_commit(writer, base.sequence()) } else { None },
        }))
    }
}

impl Turn<'_> {
    /// Makes the commit visible.
    async fn finish(mut self, sequences: &mut impl Iterator<Item = Sequence>) -> Result<Published> {
        let Some((commit, next)) = self.next else {
            let (sequence, is_repeated) = (self.base.sequence(), self.is_repeated);
            let (rows_left_out, files_left_out) = (self.left_out.rows, self.left_out);
            return Ok(Published { sequence, rows_removed: 0, rows_left_out, files_left_out, is_repeated });
        };
        self.writer.note(&commit);
        self.table.retire(&self.base, &commit);
        self.table.counters.note_written(commit.operation, &commit.changes);
        self.table.has_changed.store(true, Ordering::Release);
        let sequence = sequences.next().ok_or_else(|| Error::internal("a commit has no sequence"))?;
        if let Some(map) = self.hidden.moved {
            self.writer.note_moved(sequence, map, self.table.pins.oldest());
        }
        if sequence == next.sequence() {
            if let Err(error) = self.table.hand_on_hidden(&self.base, &commit, &next).await {
                // Reads of the damaged file report the error.
                tracing::debug!(%error, table = %self.table.name(), "what hides rows was not read");
            }
            self.table.view.store(Arc::new(View::new(next, Arc::clone(self.table.schema()))));
        } else {
            // The computed snapshot and the metastore disagree, which no writer can cause. The metastore is right.
            tracing::error!(%sequence, expected = %next.sequence(), "a commit got another sequence than expected");
            self.table.reload().await?;
            // A commit in between may have advanced source positions.
            let sources = self.table.shared.metastore.load_sources(self.table.id()).await?;
            self.writer.sources = sources.into_iter().map(|source| (source.stream, source.position)).collect();
        }
        let rows_removed = match self.operation {
            Operation::Overwrite | Operation::Truncate => self.rows_before,
            _ => self.hidden.of_others.len(),
        };
        let rows_left_out = self.hidden.of_new.len() + self.left_out.rows;
        Ok(Published { sequence, rows_removed, rows_left_out, files_left_out: self.left_out, is_repeated: false })
    }
}
