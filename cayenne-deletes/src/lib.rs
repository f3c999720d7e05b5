#![doc = include_str!("../README.md")]

mod filter;
mod fold;
mod gaps;
mod index;
mod key;
mod rewrite;
mod tombstone;
mod vector;
mod visible;

pub use filter::{RowSequences, hide_keys, hide_positions};
pub use fold::pick_fold;
pub use index::{BuiltIndex, Candidate, KeepRule, KeyIndex, KeyIndexBuilder, KeyPage, SmallIndex};
pub use key::{KEY_ENCODING_VERSION, KeyBytes, KeyCodec, KeyForm, Keys, SortedKeys};
pub use rewrite::RowMap;
pub use tombstone::{TombstoneSet, Tombstones};
pub use vector::DeletionVector;
pub use visible::{RowState, is_hidden};
