//! Key conflicts: decides about new rows whose key exists already. This happens in the turn of the commit, so that no
//! other commit comes in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_deletes::{DeletionVector, SortedKeys};
use cayenne_format::{BlockChecksums, DataFile, Error, FileId, NewDataFile, Result};
use futures::StreamExt as _;

use super::KeyRule;
use super::find::{Indexed, Unusable, probe};
use super::index::Fresh;
use super::pages::Pages;
use crate::state::key_indexes::FileKeys;
use crate::visibility::rows::HiddenRows;
use crate::{Table, View};

/// A row of a new file, and the position of a row of another file with the same key.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    new: (FileId, u64),
    other: u64,
}

/// What is the same for all key conflicts of a commit.
struct Settling<'a> {
    base: &'a View,
    new: &'a [Arc<DataFile>],
    rule: KeyRule,
}

impl Table {
    /// Finds the existing rows that a commit hides because new rows have their keys, and the new rows that it hides
    /// because other rows have their keys. Adds both to `hidden`.
    ///
    /// `hidden` already has the rows that the commit hides anyway: no new row conflicts with those.
    pub(crate) async fn meet(
        &self,
        base: &View,
        new: &[NewDataFile],
        rule: KeyRule,
        hidden: &mut HiddenRows,
    ) -> Result<()> {
        if rule == KeyRule::Unchecked || new.is_empty() {
            return Ok(());
        }
        let blocks: HashMap<FileId, BlockChecksums> = new.iter().map(|new| (new.file.id, new.blocks.clone())).collect();
        let fresh = Fresh { keep: rule.keeps(), blocks: Arc::new(blocks) };
        let new: Vec<Arc<DataFile>> = new.iter().map(|new| Arc::new(new.file.clone())).collect();
        let mut indexed = Vec::with_capacity(new.len());
        for file in &new {
            let keys = self.new_key_index(base, file, &fresh).await?;
            indexed.push(Indexed { keys, file: Arc::clone(file), fresh: Some(fresh.clone()) });
        }
        indexed.extend(self.indexed(base).await?);
        let (count, keys) = (new.len(), new.iter().map(|file| file.rows).sum());
        let met = self.with_indexes(base, indexed, keys, move |pages, indexed| {
            let (new, others) = indexed.split_at(count.min(indexed.len()));
            let left_out = new.iter().map(|of| Ok((of.file.id, superseded(pages, of)?))).collect::<Found<Vec<_>>>()?;
            let mut meetings = Vec::new();
            for (place, of) in new.iter().enumerate() {
                let later = new.get(place + 1..).unwrap_or_default();
                meetings.push(meetings_of(pages, of, later, others)?);
            }
            Ok((left_out, meetings))
        });
        let (left_out, meetings) = met.await?;
        for (file, rows) in &left_out {
            if rule == KeyRule::Refuse
                && let Some(position) = rows.positions().next()
            {
                return Err(self.key_exists(&new, (*file, position), "two rows of the statement have one key").await);
            }
            hidden.of_new.add(*file, rows);
        }
        for (file, meetings) in meetings.into_iter().flatten() {
            self.settle(&Settling { base, new: &new, rule }, file, &meetings, hidden).await?;
        }
        Ok(())
    }

    /// Decides about the rows of `new` that conflict with rows of one other file.
    async fn settle(
        &self,
        settling: &Settling<'_>,
        other: FileId,
        meetings: &[Meeting],
        hidden: &mut HiddenRows,
    ) -> Result<()> {
        let Settling { base, new, rule } = *settling;
        let is_new = new.iter().any(|file| file.id == other);
        let before = match base.snapshot().file(other) {
            Some(file) if !is_new => self.hidden(base, file).await?,
            _ => None,
        };
        for meeting in meetings {
            let goes = before.as_ref().is_some_and(|before| before.hides(meeting.other));
            if goes || hidden.of_others.has(other, meeting.other) || hidden.of_new.has(other, meeting.other) {
                continue;
            }
            let (file, position) = meeting.new;
            match rule {
                // Of two new rows, the other is in the later file.
                KeyRule::Upsert if is_new => hidden.of_new.insert(file, position),
                KeyRule::Upsert => hidden.of_others.insert(other, meeting.other),
                KeyRule::Drop if is_new => hidden.of_new.insert(other, meeting.other),
                KeyRule::Drop => hidden.of_new.insert(file, position),
                KeyRule::Refuse if is_new => {
                    return Err(self.key_exists(new, meeting.new, "two rows of the statement have one key").await);
                }
                KeyRule::Refuse => return Err(self.key_exists(new, meeting.new, "the key exists already").await),
                KeyRule::Unchecked => false,
            };
        }
        Ok(())
    }

    /// Returns the error for a new row whose key another row has, naming the key.
    async fn key_exists(&self, new: &[Arc<DataFile>], row: (FileId, u64), problem: &'static str) -> Error {
        let error = Error::already_exists(problem).code("duplicate-key").with("table", self.name());
        let error = error.help("nothing was changed; REPLACE INTO, or ON CONFLICT, say what to do with such rows");
        let Some(file) = new.iter().find(|file| file.id == row.0) else { return error };
        match self.described(file, row.1).await {
            Ok(Some(key)) => error.with("key", key),
            // The key would only make the message clearer.
            Ok(None) | Err(_) => error,
        }
    }

    async fn described(&self, file: &Arc<DataFile>, position: u64) -> Result<Option<String>> {
        let codec = self.codec()?;
        let mut rows = self.read(file).await?;
        let mut first = 0;
        while let Some(batch) = rows.next().await {
            let batch: RecordBatch = batch?;
            let next = first + batch.num_rows() as u64;
            if position < next {
                return Ok(usize::try_from(position - first).ok().map(|row| codec.describe(&batch, row)));
            }
            first = next;
        }
        Ok(None)
    }
}

type Found<T> = std::result::Result<T, Unusable>;

/// Returns the rows of a new file that its index does not name, because another row of the file has the same key.
fn superseded(pages: Pages<'_>, of: &Indexed) -> Found<DeletionVector> {
    let named: DeletionVector = match &of.keys {
        FileKeys::Small(index) if index.len() as u64 == of.file.rows => return Ok(DeletionVector::default()),
        FileKeys::Small(index) => index.entries().1.into_iter().collect(),
        FileKeys::Paged(stored) if stored.index.entries() == of.file.rows => return Ok(DeletionVector::default()),
        FileKeys::Paged(stored) => {
            let mut named = DeletionVector::default();
            for number in 0..stored.index.pages() {
                let page = pages.get(stored, number).map_err(|error| of.unusable(error))?;
                named.add(&page.entries().map(|(_, position)| position).collect());
            }
            named
        }
    };
    Ok((0..of.file.rows).collect::<DeletionVector>().without(&named))
}

/// Returns the rows of later new files and of other files that have keys of a new file, by file.
fn meetings_of(
    pages: Pages<'_>,
    of: &Indexed,
    later: &[Indexed],
    others: &[Indexed],
) -> Found<BTreeMap<FileId, Vec<Meeting>>> {
    let mut met: BTreeMap<FileId, Vec<Meeting>> = BTreeMap::new();
    let mut look = |(probes, positions): (SortedKeys, Vec<u64>)| -> Found<()> {
        for other in later.iter().chain(others) {
            let mut hits = Vec::new();
            probe(pages, other, &probes, &mut |place, position| hits.push((place, position)))?;
            if hits.is_empty() {
                continue;
            }
            let meetings = met.entry(other.file.id).or_default();
            meetings.extend(hits.into_iter().filter_map(|(place, position)| {
                Some(Meeting { new: (of.file.id, *positions.get(place)?), other: position })
            }));
        }
        Ok(())
    };
    match &of.keys {
        FileKeys::Small(index) => {
            look(index.entries())?;
        }
        FileKeys::Paged(stored) => {
            for number in 0..stored.index.pages() {
                let page = pages.get(stored, number).map_err(|error| of.unusable(error))?;
                look(page.keys(stored.index.form()))?;
            }
        }
    }
    Ok(met)
}
