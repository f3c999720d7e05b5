#![doc = include_str!("../README.md")]

mod beside;
mod blocks;
mod cache;
mod copy;
mod decode_memory;
mod error;
mod folder;
mod fs;
mod inline;
mod local;
mod manifests;
mod normalise;
mod read;
mod reader;
mod session;
mod storage;
mod take;
pub mod task;
mod text;
mod write;

pub use beside::BesideFile;
pub use blocks::LoadBlocks;
pub use cache::CacheCounters;
pub use decode_memory::{DecodeMemory, SPLITS_AHEAD, row_bytes, split_rows};
pub use error::find_error;
pub use folder::Orphan;
pub use fs::{Entry, FileLock, Fs, ReadFile, WriteFile};
pub use local::LocalFs;
pub use manifests::StoredManifest;
pub use normalise::normalise;
pub use reader::{DataFileReader, ReadCounters, ReadRequest};
pub use storage::{Storage, StorageSettings};
pub use text::to_text;
pub use write::{IndexRows, RowIndex, RowStream, WriteRequest, file_schema};
