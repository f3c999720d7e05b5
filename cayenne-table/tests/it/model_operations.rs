//! The operations of the model, and the effect of each on a map.

use std::collections::BTreeMap;

use cayenne_format::{DeletionMode, OnConflict};
use proptest::prelude::*;

use crate::model_rows::{KeyType, Rows};

/// Few keys, so that conflicts are frequent.
pub(crate) const KEYS: u32 = 40;

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Appends by the option `on_conflict`, in one or two streams.
    Append(Rows, Rows),
    Upsert(Rows),
    Overwrite(Rows),
    Apply(Vec<(bool, u32, u32)>),
    /// Deletes rows by position.
    Delete(Vec<u32>),
    /// Deletes rows by position, and adds them with another value.
    Update(Vec<u32>, u32),
    /// Finds rows, for later.
    Remember(Vec<u32>),
    /// Deletes the rows that were found before, or adds them with another value, whatever came between.
    ChangeRemembered(Option<u32>),
    Truncate,
    Flush,
    /// Compacts, with so many data files at a time.
    Compact(usize),
    Reopen,
    /// Loses the metastore and rebuilds it.
    Recover,
    /// Exports the table, and imports it in place of itself.
    Slice,
    Collect,
    Stage(Rows, bool),
    /// Stages rows that are published later, by this process or the next.
    StageForLater(Rows),
    Publish,
    /// The process ends after some steps of the operation.
    Crash(u8, Box<Operation>),
}

fn rows(max: usize) -> impl Strategy<Value = Rows> {
    prop::collection::vec((0..KEYS, 0_u32..100), 0..max)
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let keys = || prop::collection::vec(0..KEYS, 0..12);
    let changes = prop::collection::vec((any::<bool>(), 0..KEYS, 0_u32..100), 0..20);
    let simple = prop_oneof![
        5 => (rows(20), rows(6)).prop_map(|(first, second)| Operation::Append(first, second)),
        3 => rows(20).prop_map(Operation::Upsert),
        1 => rows(20).prop_map(Operation::Overwrite),
        4 => changes.prop_map(Operation::Apply),
        4 => keys().prop_map(Operation::Delete),
        3 => (keys(), 0_u32..100).prop_map(|(keys, value)| Operation::Update(keys, value)),
        3 => Just(Operation::Flush),
        2 => (2_usize..5).prop_map(Operation::Compact),
        1 => Just(Operation::Truncate),
        1 => Just(Operation::Collect),
        1 => (rows(10), any::<bool>()).prop_map(|(rows, publishes)| Operation::Stage(rows, publishes)),
    ];
    prop_oneof![
        20 => simple.clone(),
        3 => Just(Operation::Reopen),
        1 => Just(Operation::Recover),
        1 => Just(Operation::Slice),
        3 => keys().prop_map(Operation::Remember),
        3 => prop::option::of(0_u32..100).prop_map(Operation::ChangeRemembered),
        2 => rows(10).prop_map(Operation::StageForLater),
        1 => Just(Operation::Publish),
        4 => (0_u8..20, simple).prop_map(|(step, operation)| Operation::Crash(step, Box::new(operation))),
    ]
}

impl Operation {
    /// Makes the values of this operation differ from those of all others, so that a row is known by its value.
    pub(crate) fn stamped(mut self, stamp: u32) -> Self {
        let mark = |value: &mut u32| *value += stamp * 100;
        match &mut self {
            Self::Append(first, second) => first.iter_mut().chain(second).map(|(_, value)| value).for_each(mark),
            Self::Upsert(rows) | Self::Overwrite(rows) | Self::Stage(rows, _) | Self::StageForLater(rows) => {
                rows.iter_mut().map(|(_, value)| value).for_each(mark);
            }
            Self::Apply(changes) => changes.iter_mut().map(|(.., value)| value).for_each(mark),
            Self::Update(_, value) | Self::ChangeRemembered(Some(value)) => mark(value),
            Self::Crash(_, inner) => **inner = (**inner).clone().stamped(stamp),
            _ => {}
        }
        self
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    pub(crate) key: KeyType,
    pub(crate) on_conflict: OnConflict,
    /// A write with more rows becomes a file.
    pub(crate) inline_rows: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) kept_snapshots: u64,
    pub(crate) deletion_mode: DeletionMode,
    /// Background upkeep compacts the table and removes its old files all the time.
    pub(crate) looks_after_itself: bool,
}

pub(crate) fn choices() -> impl Strategy<Value = Choices> {
    let rule = prop_oneof![2 => Just(OnConflict::Upsert), 1 => Just(OnConflict::Drop), 1 => Just(OnConflict::Error)];
    let inline = prop_oneof![Just(0_u64), Just(8), Just(1_000)];
    let cache = prop_oneof![Just(0_u64), Just(1_500), Just(10_000_000)];
    let mode = prop_oneof![Just(DeletionMode::Auto), Just(DeletionMode::Key)];
    let choices = (KeyType::any(), rule, inline, cache, prop_oneof![Just(0_u64), Just(4)], mode, any::<bool>());
    choices.prop_map(
        |(key, on_conflict, inline_rows, cache_bytes, kept_snapshots, deletion_mode, looks_after_itself)| Choices {
            key,
            on_conflict,
            inline_rows,
            cache_bytes,
            kept_snapshots,
            deletion_mode,
            looks_after_itself,
        },
    )
}

pub(crate) type Content = BTreeMap<u32, u32>;

/// Returns the content after an operation; `None` if the operation has to fail.
pub(crate) fn on_model(operation: &Operation, on_conflict: OnConflict, before: &Content) -> Option<Content> {
    let mut after = before.clone();
    let mut take_in = |rows: &mut dyn Iterator<Item = &(u32, u32)>, rule: OnConflict| {
        for (key, value) in rows {
            match rule {
                OnConflict::Upsert => {
                    after.insert(*key, *value);
                }
                OnConflict::Drop => {
                    after.entry(*key).or_insert(*value);
                }
                OnConflict::Error => {
                    if after.insert(*key, *value).is_some() {
                        return None;
                    }
                }
            }
        }
        Some(())
    };
    match operation {
        Operation::Append(first, second) => take_in(&mut first.iter().chain(second), on_conflict)?,
        Operation::Upsert(rows) => take_in(&mut rows.iter(), OnConflict::Upsert)?,
        Operation::Stage(rows, true) => take_in(&mut rows.iter(), on_conflict)?,
        Operation::Overwrite(rows) => {
            return on_model(&Operation::Append(rows.clone(), Vec::new()), on_conflict, &Content::new());
        }
        Operation::Apply(changes) => {
            for (is_upsert, key, value) in changes {
                if *is_upsert {
                    after.insert(*key, *value)
                } else {
                    after.remove(key)
                };
            }
        }
        Operation::Delete(keys) => after.retain(|key, _| !keys.contains(key)),
        Operation::Update(keys, new) => {
            after.iter_mut().filter(|(key, _)| keys.contains(key)).for_each(|(_, value)| *value = *new);
        }
        Operation::Truncate => after.clear(),
        Operation::Crash(_, inner) => return on_model(inner, on_conflict, before),
        _ => {}
    }
    Some(after)
}
