#![doc = include_str!("../README.md")]

mod checksum;
mod codec;
mod commit;
mod commit_codec;
mod compaction_options;
mod environment;
mod error;
mod file;
mod frame;
mod id;
mod key_options;
mod manifest;
mod options;
pub mod path;
mod schema;
mod snapshot;
mod stats;
mod value;
mod value_array;

pub use checksum::{BLOCK_BYTES, BlockChecksums, ContentHash, FileDigest, FileDigester};
pub use commit::{Change, CommitRecord, Expiry, NewDataFile, Operation, Requirement, SourcePosition, TableCommit};
pub use compaction_options::CompactionOptions;
pub use environment::{Clock, Environment, Ids, NoSteps, RandomIds, Step, Steps, SystemClock, Timestamp};
pub use error::{Error, ErrorKind, Result};
pub use file::{DataFile, DeletionFile, Location, PartitionValue, TombstoneFile};
pub use frame::{FrameKind, open, open_version, seal, seal_version};
pub use id::{CommitId, FileId, ReaderId, Sequence, TableId, TableName, WriterEpoch};
pub use key_options::{ConflictDetection, DeletionMode, OnConflict};
pub use manifest::{Manifest, SnapshotChanges, TableState};
pub use options::{Compression, InlineOptions, RetentionOptions, TableOptions};
pub use schema::{TypeRule, UnsupportedTypeAction, decode_schema, encode_schema, stored_schema, type_rule};
pub use snapshot::{DeletionSet, InlineTotals, Snapshot};
pub use stats::{Bound, ColumnStats, FileStats};
pub use value::Value;
pub use value_array::ValueArrayBuilder;
