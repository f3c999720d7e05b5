//! The one place that commits writes: requirement, metastore, swap of the view. Besides it, the first rows of a table
//! come with the table, and a new writer publishes what was staged.

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

/// Files that become part of a table, in place of others or of rows.
pub(crate) struct Publication<'a> {
    pub(crate) table: &'a Table,
    pub(crate) operation: Operation,
    pub(crate) replaced: Replaced,
    pub(crate) files: Vec<NewDataFile>,
    /// Rows that go because a statement has found them.
    pub(crate) found: Option<FoundRows>,
    /// How the keys of the new rows meet those of others.
    pub(crate) rule: KeyRule,
    /// The keys of rows that go.
    pub(crate) deleted: Option<Keys>,
    /// Where the rows come from; a position that was taken in before changes nothing.
    pub(crate) source: Option<SourcePosition>,
    /// The id of the commit, where it was drawn before.
    pub(crate) id: Option<CommitId>,
}

/// What a commit did.
pub(crate) struct Published {
    pub(crate) sequence: Sequence,
    pub(crate) rows_removed: u64,
    /// The number of rows in its files that are hidden from the beginning.
    pub(crate) rows_left_out: u64,
    /// Its files of which every row was, by their names, and of which none became part of the table.
    pub(crate) files_left_out: LeftOut,
    /// The rows were taken in before, and the files are nobody's.
    pub(crate) is_repeated: bool,
}

/// Files of a write that became no part of the table: others have the keys of all of their rows.
#[derive(Default)]
pub(crate) struct LeftOut {
    pub(crate) files: usize,
    pub(crate) rows: u64,
    pub(crate) names: Vec<String>,
}

/// A table whose turn it is to commit, and what it will be afterwards; `None` if it stays as it is.
struct Turn<'a> {
    table: &'a Table,
    base: Arc<View>,
    next: Option<(TableCommit, Snapshot)>,
    operation: Operation,
    /// The number of rows that went because everything did.
    rows_before: u64,
    hidden: HiddenRows,
    left_out: LeftOut,
    is_repeated: bool,
    writer: WriterGuard<'a>,
}

impl Shared {
    /// Publishes all of it as one commit: everything becomes durable and visible, or nothing.
    ///
    /// Returns, for each, its sequence and the number of rows that are no longer visible. An append of nothing, and the
    /// emptying of an empty table, leave their table as it is. Each table comes once, in the order of the ids: so two
    /// callers never wait for each other.
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
            // Somebody else writes: what this process has seen last is not the truth any more.
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
            // The commit is done; an error here could only deny it.
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

    /// An answer was lost: the logs tell whether the commits were applied, all of them or none.
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
    /// Waits until the table may commit, and composes what it commits.
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

    /// Finds the rows that are no longer visible after the commit, besides those of files that go.
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

    /// Takes the files out of which every row is hidden from the beginning. Those of a rewrite stay, whose rows were found
    /// where they were before; and those that were staged, as somebody else may publish them.
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

    /// Returns the changes that keep what hides rows bounded.
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

    /// Returns the number of rows that go because everything does.
    async fn rows_before(&self, base: &View) -> u64 {
        if !matches!(self.replaced, Replaced::Everything) {
            return 0;
        }
        self.table.visible_rows(base).await.unwrap_or_else(|error| {
            // What is damaged goes; that it cannot be counted is no reason to keep it.
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
        // Tombstones hide no rows of their own commit.
        changes.extend(table.hide_by_position(&hidden.of_new).await?);
        // A stream may go on without rows for the table.
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
    /// Shows what was committed.
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
                // Who reads what is damaged says so.
                tracing::debug!(%error, table = %self.table.name(), "what hides rows was not read");
            }
            self.table.view.store(Arc::new(View::new(next, Arc::clone(self.table.schema()))));
        } else {
            // The pure function and the metastore disagree, which no writer can bring about; the metastore is right.
            tracing::error!(%sequence, expected = %next.sequence(), "a commit got another sequence than expected");
            self.table.reload().await?;
            // Whatever came between may have brought positions of streams.
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
