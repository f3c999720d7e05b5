//! The state of a table at one sequence, as values with a stored form of their own. Together with the data files it is
//! enough to rebuild the records of the table in a metastore.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::{BufMut, Bytes};

use crate::codec::{Input, put_sized};
use crate::commit_codec::{
    data_file, deletion, file_id, list, put_data_file, put_deletion, put_list, put_source, put_tombstones, sequence,
    source, tombstones,
};
use crate::frame::{self, FrameKind};
use crate::{
    DeletionFile, Error, FileId, NewDataFile, Result, Sequence, Snapshot, SourcePosition, TableId, TableName,
    TableOptions, Timestamp, TombstoneFile, decode_schema, encode_schema,
};

/// The state of a table at one sequence: a snapshot, and what a metastore keeps besides it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableState {
    /// The sequence of the snapshot.
    pub sequence: Sequence,
    /// The live data files, with their checksums.
    pub files: Vec<NewDataFile>,
    /// The live deletion files.
    pub deletions: Vec<DeletionFile>,
    /// The live tombstone files.
    pub tombstones: Vec<TombstoneFile>,
    /// The last committed position of each stream.
    pub sources: Vec<SourcePosition>,
}

impl TableState {
    /// Returns the snapshot of this state.
    #[must_use]
    pub fn snapshot(&self, table: TableId) -> Snapshot {
        let files = self.files.iter().map(|new| new.file.clone());
        let (deletions, tombstones) = (self.deletions.iter().cloned(), self.tombstones.iter().cloned());
        Snapshot::from_records(table, self.sequence, files, deletions, tombstones)
    }

    /// Checks that commits can have produced this state: no entry occurs twice, none is later than the state itself,
    /// and each deletion file belongs to a live data file that was added no later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), naming the file.
    pub fn check(&self) -> Result<()> {
        let added: BTreeMap<FileId, Sequence> = self.files.iter().map(|new| (new.file.id, new.file.added_at)).collect();
        require(added.len() == self.files.len(), "a data file comes twice")?;
        let hiding: BTreeSet<FileId> = self.deletions.iter().map(|deletion| deletion.id).collect();
        require(hiding.len() == self.deletions.len(), "a deletion file comes twice")?;
        let keys: BTreeSet<FileId> = self.tombstones.iter().map(|file| file.id).collect();
        require(keys.len() == self.tombstones.len(), "a tombstone file comes twice")?;
        let streams: BTreeSet<&str> = self.sources.iter().map(|source| source.stream.as_str()).collect();
        require(streams.len() == self.sources.len(), "a stream comes twice")?;
        let none = self.sequence > Sequence::ZERO || self.sources.is_empty();
        require(none, "a stream was taken in by no commit")?;
        let mut times = self.tombstones.iter().map(|file| file.sequence).chain(added.values().copied());
        require(times.all(|at| at > Sequence::ZERO && at <= self.sequence), "a file is of no commit of the table")?;
        self.deletions.iter().try_for_each(|deletion| {
            let hides = added.get(&deletion.data_file).is_some_and(|added| *added <= deletion.sequence);
            require(hides && deletion.sequence <= self.sequence, "a deletion file hides rows of no file")
                .map_err(|error| error.with("file", deletion.id))
        })
    }
}

fn require(holds: bool, message: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::corrupt(message).code("damaged-manifest")) }
}

/// A stored manifest: the state of a table at one sequence, or its changes since an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The id of the table.
    pub table: TableId,
    /// Its name.
    pub name: TableName,
    /// Its schema, exactly as declared.
    pub schema: SchemaRef,
    /// Its options.
    pub options: TableOptions,
    /// The time at which the table was created, for display.
    pub made_at: Timestamp,
    /// The time at which this manifest was written, for display.
    pub written_at: Timestamp,
    /// The sequence that the manifest follows; [`Sequence::ZERO`] if it is whole.
    pub since: Sequence,
    /// The files of all kinds that were live at `since` and have been removed or changed after it.
    pub removed: Vec<FileId>,
    /// The state at its sequence; of the files, only those that were not live at `since`.
    pub state: TableState,
}

impl Manifest {
    /// Returns the stored form.
    ///
    /// # Panics
    ///
    /// If a file, a text or a list is longer than 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_slice(self.table.as_bytes());
        put_sized(&mut out, self.name.as_str().as_bytes());
        put_sized(&mut out, &encode_schema(&self.schema));
        put_sized(&mut out, self.options.encode().as_bytes());
        out.put_i64_le(self.made_at.0);
        out.put_i64_le(self.written_at.0);
        out.put_u64_le(self.since.number());
        put_list(&mut out, &self.removed, |out, id| out.put_slice(id.as_bytes()));
        out.put_u64_le(self.state.sequence.number());
        put_list(&mut out, &self.state.files, put_data_file);
        put_list(&mut out, &self.state.deletions, put_deletion);
        put_list(&mut out, &self.state.tombstones, put_tombstones);
        put_list(&mut out, &self.state.sources, put_source);
        frame::seal(FrameKind::Manifest, &out)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a newer Cayenne wrote it.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let mut input = Input::new(frame::open(FrameKind::Manifest, bytes)?, "manifest");
        let manifest = Self {
            table: TableId::from_bytes(input.array()?),
            name: TableName::try_from(input.text()?.as_str())?,
            schema: decode_schema(&input.sized()?)?,
            options: TableOptions::decode(&input.text()?)?,
            made_at: Timestamp(input.u64()?.cast_signed()),
            written_at: Timestamp(input.u64()?.cast_signed()),
            since: sequence(&mut input)?,
            removed: list(&mut input, file_id)?,
            state: TableState {
                sequence: sequence(&mut input)?,
                files: list(&mut input, data_file)?,
                deletions: list(&mut input, deletion)?,
                tombstones: list(&mut input, tombstones)?,
                sources: list(&mut input, source)?,
            },
        };
        input.end()?;
        Ok(manifest)
    }

    /// Returns the whole manifest that results from this one, which is whole, and `next`, which holds the changes
    /// since.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `next` belongs to another table or follows another
    /// sequence.
    pub fn then(self, next: Self) -> Result<Self> {
        if next.table != self.table || next.since != self.state.sequence || self.since != Sequence::ZERO {
            return Err(Error::invalid("a manifest does not follow the one before it")
                .with("table", next.table)
                .with("since", next.since)
                .with("sequence", self.state.sequence));
        }
        let removed: BTreeSet<FileId> = next.removed.iter().copied().collect();
        let mut state = next.state;
        let (files, deletions, tombstones) = (self.state.files, self.state.deletions, self.state.tombstones);
        state.files.extend(files.into_iter().filter(|new| !removed.contains(&new.file.id)));
        state.deletions.extend(deletions.into_iter().filter(|deletion| !removed.contains(&deletion.id)));
        state.tombstones.extend(tombstones.into_iter().filter(|file| !removed.contains(&file.id)));
        Ok(Self { since: Sequence::ZERO, removed: Vec::new(), state, ..next })
    }
}

impl Manifest {
    /// Says whether the manifest agrees with `snapshot` and `sources`: the snapshot has every file that the manifest
    /// adds, and none that it only removes. A whole manifest must also list every file of the snapshot.
    #[must_use]
    pub fn tells(&self, snapshot: &Snapshot, sources: &[SourcePosition]) -> bool {
        let Self { since, removed, state, .. } = self;
        let has_file = |new: &NewDataFile| {
            snapshot
                .file(new.file.id)
                .is_some_and(|file| file.added_at == new.file.added_at && file.hash == new.file.hash)
        };
        let deletions: BTreeMap<FileId, &DeletionFile> =
            snapshot.deletions().map(|deletion| (deletion.id, deletion.as_ref())).collect();
        let tombstones: BTreeMap<FileId, &TombstoneFile> =
            snapshot.tombstones().map(|file| (file.id, file.as_ref())).collect();
        let added: BTreeSet<FileId> = state
            .files
            .iter()
            .map(|new| new.file.id)
            .chain(state.deletions.iter().map(|deletion| deletion.id))
            .chain(state.tombstones.iter().map(|file| file.id))
            .collect();
        let is_live =
            |id: &FileId| snapshot.file(*id).is_some() || deletions.contains_key(id) || tombstones.contains_key(id);
        let says_all = state.files.len() == snapshot.files().len()
            && state.deletions.len() == deletions.len()
            && state.tombstones.len() == tombstones.len();
        state.sequence == snapshot.sequence()
            && (*since > Sequence::ZERO || says_all)
            && state.files.iter().all(has_file)
            && state.deletions.iter().all(|deletion| deletions.get(&deletion.id) == Some(&deletion))
            && state.tombstones.iter().all(|file| tombstones.get(&file.id) == Some(&file))
            && removed.iter().all(|id| added.contains(id) || !is_live(id))
            && state.sources == sources
    }
}

/// The changes from one snapshot to a later one.
#[derive(Clone, Debug, Default)]
pub struct SnapshotChanges {
    /// The data files that are new or changed.
    pub files: Vec<Arc<crate::DataFile>>,
    /// The deletion files that are new or changed.
    pub deletions: Vec<DeletionFile>,
    /// The tombstone files that are new or changed.
    pub tombstones: Vec<TombstoneFile>,
    /// The files of all kinds that were removed or changed.
    pub removed: Vec<FileId>,
}
