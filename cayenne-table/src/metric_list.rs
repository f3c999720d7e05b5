//! The list of metrics: their names, labels and meanings.

/// What a metric says.
#[derive(Clone, Copy, Debug)]
pub struct MetricMeaning {
    /// The name, as [`Metric::name`](crate::Metric::name) has it.
    pub name: &'static str,
    /// The labels and their values; empty if there are none.
    pub labels: &'static str,
    /// Whether the metric is of a table, or of the database.
    pub is_of_table: bool,
    /// What is counted or measured.
    pub meaning: &'static str,
}

const PASS_LABELS: &str =
    "`kind`: reason of the pass; `outcome`: `committed`, `conflict`, `skipped`, `failed`, `cancelled`";

const fn of_table(name: &'static str, labels: &'static str, meaning: &'static str) -> MetricMeaning {
    MetricMeaning { name, labels, is_of_table: true, meaning }
}

const fn of_database(name: &'static str, labels: &'static str, meaning: &'static str) -> MetricMeaning {
    MetricMeaning { name, labels, is_of_table: false, meaning }
}

/// Every metric that [`Database::metrics`](crate::Database::metrics) returns.
pub const METRICS: [MetricMeaning; 26] = [
    of_table("acceleration_directory_size", "", "bytes of live data files; the same as `cayenne_storage_bytes`"),
    of_table("cayenne_storage_bytes", "", "bytes of live data files"),
    of_table("acceleration_file_count", "", "number of live data files; the same as `cayenne_storage_files`"),
    of_table("cayenne_storage_files", "", "number of live data files"),
    of_table("acceleration_rows", "", "number of visible rows; missing while a deletion file of the table is damaged"),
    of_table("cayenne_storage_rows", "", "number of rows in data files and inline rows, deleted rows included"),
    of_table("cayenne_storage_inline_bytes", "", "bytes of inline rows, which are stored in the metastore"),
    of_table("cayenne_layers", "", "number of commits that the live data files came in"),
    of_table("cayenne_tombstones", "", "number of keys in tombstone files"),
    of_table(
        "cayenne_ingest_read_amp",
        "",
        "number of files that a scan of all rows opens: data files, inline data files and deletion files",
    ),
    of_table(
        "cayenne_written_bytes_total",
        "`kind`: `write`, `flush`, `compact`",
        "bytes of data files written, by what wrote them",
    ),
    of_table(
        "cayenne_compaction_trigger_total",
        "`kind`: reason of the pass",
        "number of compaction passes started, a running one included",
    ),
    of_table("cayenne_compaction_outcome_total", PASS_LABELS, "number of compaction passes ended"),
    of_table("cayenne_compaction_duration_ms_count", PASS_LABELS, "number of compaction passes in the histogram"),
    of_table("cayenne_compaction_duration_ms_sum", PASS_LABELS, "duration of all these passes together"),
    of_table(
        "cayenne_compaction_duration_ms_bucket",
        "those of `_count`, and `le`: upper end of the bucket in milliseconds, or `+Inf`",
        "number of compaction passes that took at most so long",
    ),
    of_table(
        "cayenne_maintenance_outcome_total",
        "`kind`: `flush`, `expire`, `collect`; `outcome`: `committed`, `failed`",
        "number of flushes, expirations and collections in the background",
    ),
    of_table("cayenne_maintenance_reclaimed_files_total", "", "number of files removed"),
    of_table("cayenne_maintenance_reclaimed_bytes_total", "", "bytes of the removed files, where the length is known"),
    of_table("cayenne_maintenance_reclaimed_rows_total", "", "number of deleted rows that compaction left out"),
    of_database("cayenne_compaction_permits_available", "", "number of compaction passes that could start now"),
    of_database("cayenne_compaction_permits_total", "", "most compaction passes that run at the same time"),
    of_database("cayenne_segment_cache_hits_total", "", "number of segments found in the segment cache"),
    of_database("cayenne_segment_cache_misses_total", "", "number of segments that had to be read from a file"),
    of_database("cayenne_segment_cache_bytes", "", "bytes of compressed segments in the segment cache"),
    of_database(
        "cayenne_memory_bytes",
        "`kind`: `key_index`, `deletions`, `caches`",
        "bytes of memory that caches hold",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use cayenne_compaction::Reason;
    use cayenne_format::Error;

    use super::*;
    use crate::PassOutcome;
    use crate::state::counters::{Counters, Gathering, Upkeep};

    /// Of those that a table counts; the SQL tests of `system.metrics` see the others.
    #[test]
    fn what_a_table_counts_is_listed() {
        let counters = Counters::default();
        counters.note_trigger(Reason::Files);
        counters.note_pass(Reason::Files, PassOutcome::Committed, Duration::from_millis(3));
        counters.note_upkeep(Upkeep::Flush, &Ok(()));
        counters.note_upkeep::<()>(Upkeep::Expire, &Err(Error::internal("a test")));
        let mut metrics = Vec::new();
        counters.gather(&mut Gathering { metrics: &mut metrics, table: Some("t") });
        let listed: BTreeSet<_> =
            METRICS.iter().filter(|metric| metric.is_of_table).map(|metric| metric.name).collect();
        let unlisted: Vec<_> = metrics.iter().filter(|metric| !listed.contains(metric.name.as_str())).collect();
        assert!(unlisted.is_empty() && metrics.len() > 10, "{unlisted:?}");
    }
}
