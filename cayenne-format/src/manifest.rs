//! Everything that a table is at one sequence, as one value with a stored form of its own: enough to make its rows in a
//! metastore anew, without any other file but the data files.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use bytes::{BufMut, Bytes};

use crate::codec::{Input, put_sized};
use crate::commit_codec::{
    data_file, deletion, list, put_data_file, put_deletion, put_list, put_source, put_tombstones, sequence, source,
    tombstones,
};
use crate::frame::{self, FrameKind};
use crate::{
    Change, CommitId, DeletionFile, Ids, NewDataFile, Operation, Result, Sequence, SourcePosition, TableCommit,
    TableId, TableName, TableOptions, Timestamp, TombstoneFile, WriterEpoch, decode_schema, encode_schema,
};

/// A table at one sequence.
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
    /// When the table was made, for people.
    pub made_at: Timestamp,
    /// When this was written, for people.
    pub written_at: Timestamp,
    /// The sequence of the snapshot.
    pub sequence: Sequence,
    /// The live data files, with their checksums.
    pub files: Vec<NewDataFile>,
    /// The live deletion files.
    pub deletions: Vec<DeletionFile>,
    /// The live tombstone files.
    pub tombstones: Vec<TombstoneFile>,
    /// What was taken in of each stream.
    pub sources: Vec<SourcePosition>,
}

impl Manifest {
    /// Returns the stored form.
    ///
    /// # Panics
    ///
    /// With a file, a text or a list that is longer than 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_slice(self.table.as_bytes());
        put_sized(&mut out, self.name.as_str().as_bytes());
        put_sized(&mut out, &encode_schema(&self.schema));
        put_sized(&mut out, self.options.encode().as_bytes());
        out.put_i64_le(self.made_at.0);
        out.put_i64_le(self.written_at.0);
        out.put_u64_le(self.sequence.number());
        put_list(&mut out, &self.files, put_data_file);
        put_list(&mut out, &self.deletions, put_deletion);
        put_list(&mut out, &self.tombstones, put_tombstones);
        put_list(&mut out, &self.sources, put_source);
        frame::seal(FrameKind::Manifest, &out)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a newer Cayenne has written it.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let mut input = Input::new(frame::open(FrameKind::Manifest, bytes)?, "manifest");
        let manifest = Self {
            table: TableId::from_bytes(input.array()?),
            name: TableName::try_from(input.text()?.as_str())?,
            schema: decode_schema(&input.sized()?)?,
            options: TableOptions::decode(&input.text()?)?,
            made_at: Timestamp(input.u64()?.cast_signed()),
            written_at: Timestamp(input.u64()?.cast_signed()),
            sequence: sequence(&mut input)?,
            files: list(&mut input, data_file)?,
            deletions: list(&mut input, deletion)?,
            tombstones: list(&mut input, tombstones)?,
            sources: list(&mut input, source)?,
        };
        input.end()?;
        Ok(manifest)
    }

    /// Returns the commits that make a new table what this one is.
    ///
    /// There is one for each commit that has left something, in their order: what was hidden by a later commit, and what
    /// by an earlier one was not, stays so. Their sequences begin with 1.
    #[must_use]
    pub fn commits(&self, table: TableId, ids: &dyn Ids) -> Vec<TableCommit> {
        let mut changes: BTreeMap<Sequence, Vec<Change>> = BTreeMap::new();
        for new in &self.files {
            changes.entry(new.file.added_at).or_default().push(Change::AddFile(Box::new(new.clone())));
        }
        for deletion in &self.deletions {
            changes.entry(deletion.sequence).or_default().push(Change::AddDeletion(deletion.clone()));
        }
        for tombstones in &self.tombstones {
            changes.entry(tombstones.sequence).or_default().push(Change::AddTombstones(tombstones.clone()));
        }
        let of_rows = changes.into_values().map(|changes| (changes, None));
        let of_sources = self.sources.iter().map(|source| (Vec::new(), Some(source.clone())));
        of_rows
            .chain(of_sources)
            .map(|(changes, source)| TableCommit {
                id: CommitId::draw(ids),
                table,
                epoch: WriterEpoch::NONE,
                operation: Operation::Append,
                made_at: self.written_at,
                requires: Vec::new(),
                changes,
                source,
                expiry: None,
            })
            .collect()
    }
}
