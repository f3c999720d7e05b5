//! Sample tables, files and commits for tests: small, distinct, and reproducible from a seed.

use std::cell::Cell;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use cayenne_format::{
    BlockChecksums, Bound, Change, ColumnStats, CommitId, ContentHash, DataFile, DeletionFile, FileId, FileStats,
    Location, NewDataFile, Operation, PartitionValue, Requirement, Sequence, SourcePosition, TableCommit, TableId,
    TableName, TableOptions, TableState, Timestamp, TombstoneFile, Value, WriterEpoch,
};

use crate::{Beginning, NewTable, Restored, SqlView, Writer};

/// Draws sample values. It never draws the same id twice.
#[derive(Debug)]
pub struct Samples {
    state: Cell<u64>,
    drawn: Cell<u64>,
}

impl Samples {
    /// Returns samples that are the same for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed), drawn: Cell::new(0) }
    }

    /// Returns a number below `end`, or 0 if `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or_default()
    }

    /// Returns true in `often` of 100 calls on average.
    pub fn percent(&self, often: u64) -> bool {
        self.below(100) < often
    }

    /// Returns one of `items`, or `None` if there are none.
    pub fn one_of<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or_default())
    }

    /// Returns the next number of `SplitMix64`.
    fn number(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn id(&self) -> [u8; 16] {
        self.drawn.set(self.drawn.get() + 1);
        let bytes = (u128::from(self.drawn.get()) << 64) | u128::from(self.number());
        bytes.to_be_bytes()
    }

    /// Returns a file id that was not drawn before.
    pub fn file_id(&self) -> FileId {
        FileId::from_bytes(self.id())
    }

    /// Returns a table id that was not drawn before.
    pub fn table_id(&self) -> TableId {
        TableId::from_bytes(self.id())
    }

    /// Returns a view with this name.
    pub fn view(&self, name: &str) -> SqlView {
        SqlView {
            name: TableName::try_from(name).expect("a sample has a valid name"),
            definition: format!("(\"a\") AS SELECT {}", self.below(1_000)),
            default_catalog: self.percent(50).then(|| "cayenne".to_owned()),
            default_schema: "public".to_owned(),
            dialect: "generic".to_owned(),
            columns: Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])),
            made_at: Timestamp(i64::try_from(self.below(1 << 50)).unwrap_or_default()),
        }
    }

    /// Returns a table without first rows.
    pub fn table(&self, name: &str) -> NewTable {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("naïve \"name\"", DataType::Utf8View, true),
        ]);
        NewTable {
            id: self.table_id(),
            name: TableName::try_from(name).expect("a sample has a valid name"),
            location: format!("data/{name}"),
            schema: Arc::new(schema),
            options: TableOptions::default(),
            made_at: Timestamp(self.number().cast_signed()),
            begins: Beginning::Empty,
            replaces: None,
        }
    }

    /// Returns a writer.
    pub fn writer(&self) -> Writer {
        let process = u32::try_from(self.below(1 << 32)).unwrap_or_default();
        Writer { host: format!("host-{}", self.drawn.get()), process, since: Timestamp(self.number().cast_signed()) }
    }

    /// Returns a data file, with its checksums.
    pub fn data_file(&self) -> NewDataFile {
        let id = self.file_id();
        let location = self.location();
        let bytes = self.below(1 << 20);
        let file = DataFile {
            id,
            location,
            rows: self.below(10_000),
            bytes,
            hash: ContentHash::of(id.as_bytes()),
            partition: self.partition(),
            stats: self.stats(),
            // A commit sets the sequence at which a file is added, whatever the record contains.
            added_at: Sequence::new(self.below(9)).unwrap_or_default(),
        };
        let checksums: Vec<u8> = (0..self.below(4)).flat_map(|_| self.number().to_le_bytes()).collect();
        let blocks = BlockChecksums::decode(&checksums.into()).expect("a multiple of 8 bytes");
        NewDataFile { file, blocks }
    }

    fn location(&self) -> Location {
        match self.below(3) {
            0 => Location::Inline(self.number().to_le_bytes().repeat(4).into()),
            1 => Location::Inline(Bytes::new()),
            _ => Location::Path(format!("region=%2F/{}.vortex", self.number())),
        }
    }

    fn partition(&self) -> Vec<PartitionValue> {
        let value = match self.below(4) {
            0 => return Vec::new(),
            1 => None,
            2 => Some(Value::Text(format!("north '{}'", self.below(3)))),
            _ => Some(Value::Int(self.number().cast_signed())),
        };
        vec![PartitionValue { key: "region".into(), value }]
    }

    fn stats(&self) -> FileStats {
        let bound = |value| Some(Bound { value: Value::Int(value), exact: true });
        let columns = (0..self.below(4)).map(|_| {
            let least = self.number().cast_signed() >> 1;
            ColumnStats { min: bound(least), max: bound(least + 9), null_count: Some(self.below(5)), nan_count: None }
        });
        FileStats::new(&columns.collect::<Vec<_>>())
    }

    /// Returns a deletion file for `data_file`.
    pub fn deletion(&self, data_file: FileId) -> DeletionFile {
        let (id, location, rows) = (self.file_id(), self.location(), self.below(100));
        DeletionFile { id, data_file, location, rows, sequence: Sequence::ZERO }
    }

    /// Returns a position in one of two streams.
    pub fn source(&self) -> SourcePosition {
        SourcePosition { stream: format!("stream '{}'", self.below(2)), position: self.below(100) }
    }

    /// Returns a tombstone file.
    pub fn tombstones(&self) -> TombstoneFile {
        let (id, location, keys) = (self.file_id(), self.location(), self.below(100));
        TombstoneFile { id, location, keys, sequence: Sequence::ZERO }
    }

    /// Returns a commit without requirements.
    pub fn commit(&self, table: TableId, epoch: WriterEpoch, changes: Vec<Change>) -> TableCommit {
        let operations = [
            Operation::Append,
            Operation::Overwrite,
            Operation::Truncate,
            Operation::Delete,
            Operation::Compact,
            Operation::Flush,
        ];
        TableCommit {
            id: CommitId::from_bytes(self.id()),
            table,
            epoch,
            operation: self.one_of(&operations).copied().unwrap_or(Operation::Append),
            made_at: Timestamp(self.number().cast_signed()),
            requires: Vec::new(),
            changes,
            source: None,
            expiry: None,
        }
    }

    /// Returns a table that was restored to `state`.
    pub fn restored(&self, state: TableState) -> Restored {
        Restored { commit: CommitId::from_bytes(self.id()), made_at: Timestamp(self.number().cast_signed()), state }
    }

    /// Returns a commit with one requirement.
    pub fn commit_if(
        &self,
        table: TableId,
        epoch: WriterEpoch,
        requirement: Requirement,
        changes: Vec<Change>,
    ) -> TableCommit {
        TableCommit { requires: vec![requirement], ..self.commit(table, epoch, changes) }
    }
}
