//! The stored form of a commit and of its records: everything that a metastore needs to apply the commit later.

use bytes::{BufMut, Bytes};

use crate::codec::{Input, put_sized};
use crate::frame::{self, FrameKind};
use crate::{
    BlockChecksums, Change, CommitId, ContentHash, DataFile, DeletionFile, Error, Expiry, FileId, FileStats, Location,
    NewDataFile, PartitionValue, Requirement, Result, Sequence, SourcePosition, TableCommit, TableId, Timestamp,
    TombstoneFile, WriterEpoch,
};

impl TableCommit {
    /// Returns the stored form.
    ///
    /// # Panics
    ///
    /// If a file, a text or a list is longer than 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_slice(self.id.as_bytes());
        out.put_slice(self.table.as_bytes());
        out.put_u64_le(self.epoch.number());
        put_sized(&mut out, self.operation.word().as_bytes());
        out.put_i64_le(self.made_at.0);
        put_list(&mut out, &self.requires, put_requirement);
        put_list(&mut out, &self.changes, put_change);
        put_list(&mut out, self.source.as_slice(), put_source);
        put_list(&mut out, self.expiry.as_slice(), |out, expiry| {
            out.put_u64_le(expiry.keep_from.number());
            out.put_u64_le(expiry.forget_before.number());
        });
        frame::seal(FrameKind::Commit, &out)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let mut input = Input::new(frame::open(FrameKind::Commit, bytes)?, "commit");
        let commit = Self {
            id: CommitId::from_bytes(input.array()?),
            table: TableId::from_bytes(input.array()?),
            epoch: WriterEpoch::new(input.u64()?),
            operation: input.text()?.parse()?,
            made_at: Timestamp(input.u64()?.cast_signed()),
            requires: list(&mut input, requirement)?,
            changes: list(&mut input, change)?,
            source: list(&mut input, source)?.pop(),
            expiry: list(&mut input, expiry)?.pop(),
        };
        input.end()?;
        Ok(commit)
    }
}

pub(crate) fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    assert!(count != u32::MAX, "a stored list is shorter than 4 billion");
    out.put_u32_le(count);
    for item in items {
        put(out, item);
    }
}

/// Reads a list. Its count is untrusted, so no memory is allocated ahead.
pub(crate) fn list<T>(input: &mut Input, item: impl Fn(&mut Input) -> Result<T>) -> Result<Vec<T>> {
    let count = input.u32()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(input)?);
    }
    Ok(items)
}

fn unknown(what: &'static str, found: u8) -> Error {
    Error::corrupt("a stored record has a part of an unknown kind").with("what", what).with("found", found)
}

pub(crate) fn sequence(input: &mut Input) -> Result<Sequence> {
    let number = input.u64()?;
    Sequence::new(number).map_err(|error| Error::corrupt("a stored sequence is out of range").because(error))
}

fn expiry(input: &mut Input) -> Result<Expiry> {
    Ok(Expiry { keep_from: sequence(input)?, forget_before: sequence(input)? })
}

pub(crate) fn put_source(out: &mut Vec<u8>, source: &SourcePosition) {
    put_sized(out, source.stream.as_bytes());
    out.put_u64_le(source.position);
}

pub(crate) fn source(input: &mut Input) -> Result<SourcePosition> {
    Ok(SourcePosition { stream: input.text()?, position: input.u64()? })
}

pub(crate) fn file_id(input: &mut Input) -> Result<FileId> {
    input.array().map(FileId::from_bytes)
}

fn put_requirement(out: &mut Vec<u8>, requirement: &Requirement) {
    match requirement {
        Requirement::SnapshotIs(sequence) => {
            out.put_u8(1);
            out.put_u64_le(sequence.number());
        }
        Requirement::FilesLive(files) => {
            out.put_u8(2);
            put_list(out, files, |out, id| out.put_slice(id.as_bytes()));
        }
    }
}

fn requirement(input: &mut Input) -> Result<Requirement> {
    match input.u8()? {
        1 => sequence(input).map(Requirement::SnapshotIs),
        2 => list(input, file_id).map(Requirement::FilesLive),
        found => Err(unknown("requirement", found)),
    }
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::AddFile(new) => {
            out.put_u8(1);
            put_data_file(out, new);
        }
        Change::RemoveFile(id) => put_id(out, 2, *id),
        Change::AddDeletion(deletion) => {
            out.put_u8(3);
            put_deletion(out, deletion);
        }
        Change::RemoveDeletion(id) => put_id(out, 4, *id),
        Change::AddTombstones(file) => {
            out.put_u8(5);
            put_tombstones(out, file);
        }
        Change::RemoveTombstones(id) => put_id(out, 6, *id),
        Change::FoldDeletions { into, of } => {
            out.put_u8(7);
            put_deletion(out, into);
            put_list(out, of, |out, id| out.put_slice(id.as_bytes()));
        }
    }
}

fn put_id(out: &mut Vec<u8>, kind: u8, id: FileId) {
    out.put_u8(kind);
    out.put_slice(id.as_bytes());
}

fn change(input: &mut Input) -> Result<Change> {
    Ok(match input.u8()? {
        1 => Change::AddFile(Box::new(data_file(input)?)),
        2 => Change::RemoveFile(file_id(input)?),
        3 => Change::AddDeletion(deletion(input)?),
        4 => Change::RemoveDeletion(file_id(input)?),
        5 => Change::AddTombstones(tombstones(input)?),
        6 => Change::RemoveTombstones(file_id(input)?),
        7 => Change::FoldDeletions { into: deletion(input)?, of: list(input, file_id)? },
        found => return Err(unknown("change", found)),
    })
}

pub(crate) fn put_data_file(out: &mut Vec<u8>, new: &NewDataFile) {
    let file = &new.file;
    out.put_slice(file.id.as_bytes());
    put_location(out, &file.location);
    out.put_u64_le(file.rows);
    out.put_u64_le(file.bytes);
    out.put_u128_le(file.hash.0);
    put_sized(out, &PartitionValue::encode_all(&file.partition));
    put_sized(out, file.stats.as_bytes());
    out.put_u64_le(file.added_at.number());
    put_sized(out, &new.blocks.encode());
}

pub(crate) fn data_file(input: &mut Input) -> Result<NewDataFile> {
    let file = DataFile {
        id: file_id(input)?,
        location: location(input)?,
        rows: input.u64()?,
        bytes: input.u64()?,
        hash: ContentHash(u128::from_le_bytes(input.array()?)),
        partition: PartitionValue::decode_all(&input.sized()?)?,
        stats: FileStats::from_bytes(input.sized()?)?,
        added_at: sequence(input)?,
    };
    Ok(NewDataFile { file, blocks: BlockChecksums::decode(&input.sized()?)? })
}

pub(crate) fn put_deletion(out: &mut Vec<u8>, deletion: &DeletionFile) {
    out.put_slice(deletion.id.as_bytes());
    out.put_slice(deletion.data_file.as_bytes());
    put_location(out, &deletion.location);
    out.put_u64_le(deletion.rows);
    out.put_u64_le(deletion.sequence.number());
}

pub(crate) fn deletion(input: &mut Input) -> Result<DeletionFile> {
    Ok(DeletionFile {
        id: file_id(input)?,
        data_file: file_id(input)?,
        location: location(input)?,
        rows: input.u64()?,
        sequence: sequence(input)?,
    })
}

pub(crate) fn put_tombstones(out: &mut Vec<u8>, file: &TombstoneFile) {
    out.put_slice(file.id.as_bytes());
    put_location(out, &file.location);
    out.put_u64_le(file.keys);
    out.put_u64_le(file.sequence.number());
}

pub(crate) fn tombstones(input: &mut Input) -> Result<TombstoneFile> {
    Ok(TombstoneFile {
        id: file_id(input)?,
        location: location(input)?,
        keys: input.u64()?,
        sequence: sequence(input)?,
    })
}

fn put_location(out: &mut Vec<u8>, location: &Location) {
    match location {
        Location::Path(path) => {
            out.put_u8(1);
            put_sized(out, path.as_bytes());
        }
        Location::Inline(bytes) => {
            out.put_u8(2);
            put_sized(out, bytes);
        }
    }
}

fn location(input: &mut Input) -> Result<Location> {
    match input.u8()? {
        1 => input.text().map(Location::Path),
        2 => input.sized().map(Location::Inline),
        found => Err(unknown("location", found)),
    }
}
