//! Gathers the keys of rows to delete, so that one lookup serves many keys and reads each page of a key index once.

use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::Result;
use datafusion::arrow::compute::concat_batches;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::error::error_of;

/// Number of gathered keys that starts a lookup; the last batch may exceed it. Looking up this many keys reads all of
/// an index with a hundred times as many rows.
const KEYS_MAX: usize = 1024 * 1024;

/// Bytes of gathered keys that start a lookup, whatever their number.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Keys that have not been looked up yet. Their memory is charged to the memory pool.
pub(crate) struct GatheredKeys {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl GatheredKeys {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self { batches: Vec::new(), memory: MemoryConsumer::new("cayenne.keys").register(pool) }
    }

    /// Adds keys. Returns all gathered keys once a limit is reached, or once the pool has no memory for more.
    pub(crate) fn add(&mut self, keys: RecordBatch) -> Result<Option<RecordBatch>> {
        let has_room = self.memory.try_grow(keys.get_array_memory_size()).is_ok();
        self.batches.push(keys);
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        if has_room && rows < KEYS_MAX && self.memory.size() < BYTES_MAX {
            return Ok(None);
        }
        self.take()
    }

    /// Returns the gathered keys, or `None` if there are none.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        self.memory.free();
        let batches = std::mem::take(&mut self.batches);
        let Some(first) = batches.first() else { return Ok(None) };
        concat_batches(&first.schema(), &batches).map(Some).map_err(|error| error_of(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    fn keys(count: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from_iter_values(0..count)) as _)]).unwrap()
    }

    fn gathered(pool_bytes: usize, batches: &[i64]) -> (Vec<usize>, usize) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(pool_bytes));
        let mut gathered = GatheredKeys::new(&pool);
        let mut given = Vec::new();
        for count in batches {
            given.extend(gathered.add(keys(*count)).unwrap().map(|keys| keys.num_rows()));
        }
        let rest = gathered.take().unwrap().map_or(0, |keys| keys.num_rows());
        assert_eq!(pool.reserved(), 0);
        (given, rest)
    }

    #[test]
    fn few_keys_are_given_together() {
        assert_eq!(gathered(1 << 30, &[10, 20, 30]), (vec![], 60));
        assert_eq!(gathered(1 << 30, &[]), (vec![], 0));
    }

    #[test]
    fn many_keys_are_given_before_the_end() {
        assert_eq!(gathered(1 << 30, &[700_000, 700_000, 5]), (vec![1_400_000], 5));
    }

    #[test]
    fn without_memory_each_batch_is_given_at_once() {
        assert_eq!(gathered(1_000, &[10, 500, 20]), (vec![510], 20));
    }
}
