//! The metrics of each table and of the database, for monitoring.

use crate::Metric;
use crate::state::counters::Gathering;
use std::sync::Arc;

use crate::{Database, Table};

impl Table {
    async fn gather_metrics(&self, metrics: &mut Vec<Metric>) {
        // A table that was dropped meanwhile has no metrics.
        let Ok(view) = self.view().await else { return };
        let of = &mut Gathering { metrics, table: Some(self.name().as_str()) };
        let snapshot = view.snapshot();
        let reads = view.read_amplification();
        let inline_bytes = snapshot.inline().bytes;
        let bytes = snapshot.stored_bytes().saturating_sub(inline_bytes);
        for name in ["acceleration_directory_size", "cayenne_storage_bytes"] {
            of.add(name, vec![], bytes);
        }
        for name in ["acceleration_file_count", "cayenne_storage_files"] {
            of.add(name, vec![], reads.files);
        }
        // A table with a damaged deletion file still has all its other metrics.
        if let Ok(rows) = self.visible_rows(&view).await {
            of.add("acceleration_rows", vec![], rows);
        }
        of.add("cayenne_storage_rows", vec![], snapshot.stored_rows());
        of.add("cayenne_storage_inline_bytes", vec![], inline_bytes);
        of.add("cayenne_layers", vec![], reads.layers);
        of.add("cayenne_tombstones", vec![], snapshot.tombstones().map(|file| file.keys).sum());
        of.add("cayenne_ingest_read_amp", vec![], reads.total());
        self.counters.gather(of);
    }
}

impl Database {
    /// Returns the metrics of each table that this process has open, ordered by name, and of the database. Counters
    /// start when a table is opened. The values come from memory, except where the hidden rows of a table must be read
    /// to count its visible ones.
    pub async fn metrics(&self) -> Vec<Metric> {
        let mut tables: Vec<Arc<Table>> = self.tables.lock().every_open();
        tables.sort_by(|a, b| a.name().cmp(b.name()));
        let mut metrics = Vec::new();
        for table in tables {
            table.gather_metrics(&mut metrics).await;
        }
        let of = &mut Gathering { metrics: &mut metrics, table: None };
        let (free, all) = self.shared.maintenance.permits();
        of.add("cayenne_compaction_permits_available", vec![], free);
        of.add("cayenne_compaction_permits_total", vec![], all);
        let segments = self.storage().cache();
        of.add("cayenne_segment_cache_hits_total", vec![], segments.hits);
        of.add("cayenne_segment_cache_misses_total", vec![], segments.misses);
        of.add("cayenne_segment_cache_bytes", vec![], segments.bytes);
        let (key_index_bytes, deletion_bytes) = self.row_cache_bytes();
        for (kind, bytes) in [("key_index", key_index_bytes), ("deletions", deletion_bytes), ("caches", segments.bytes)]
        {
            of.add("cayenne_memory_bytes", vec![("kind", kind.to_owned())], bytes);
        }
        metrics
    }
}
