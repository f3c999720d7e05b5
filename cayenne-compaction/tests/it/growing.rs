//! A table that is written to for a long time: passes end, files stay few, and rows are not rewritten too often.

use std::time::Duration;

use cayenne_compaction::{CompactionLimits, File, Pick, Reason, next, pick};
use proptest::prelude::*;

use crate::choosing::{any_file, limits};

/// A table whose files are numbers.
struct Table {
    files: Vec<File<u32>>,
    limits: CompactionLimits,
    next_id: u32,
    layer: u64,
    written: u64,
}

impl Table {
    fn new(limits: CompactionLimits) -> Self {
        Self { files: Vec::new(), limits, next_id: 0, layer: 0, written: 0 }
    }

    fn add(&mut self, bytes: u64) {
        self.layer += 1;
        self.push(bytes, bytes);
    }

    fn push(&mut self, bytes: u64, rows: u64) {
        let (id, layer) = (self.next_id, self.layer);
        self.next_id += 1;
        self.written += bytes;
        self.files.push(File {
            id,
            bytes,
            rows,
            hidden_rows: 0,
            layer,
            age: Duration::ZERO,
            group: 0,
            is_incomplete: false,
        });
    }

    /// Rewrites as a pass does: the visible rows become files of the target size and a remainder.
    fn rewrite(&mut self, picked: &Pick<u32>) {
        let of = |file: &File<u32>| picked.files.contains(&file.id);
        let mut bytes: u64 = self.files.iter().filter(|file| of(file)).map(File::live_bytes).sum();
        self.files.retain(|file| !of(file));
        self.layer += 1;
        while bytes > 0 {
            let now = bytes.min(self.limits.target_bytes);
            self.push(now, now);
            bytes -= now;
        }
    }

    /// Returns the number of passes until there is nothing to do.
    fn settle(&mut self) -> usize {
        let mut passes = 0;
        while let Some(picked) = next(&self.files, &self.limits) {
            self.rewrite(&picked);
            passes += 1;
            assert!(passes < 1_000, "{:?}", self.files);
        }
        passes
    }
}

#[test]
fn a_table_of_many_small_writes_has_few_files_and_writes_each_row_a_few_times() {
    for (target_bytes, each) in [(256 << 20, 1 << 20), (256 << 20, 100 << 10), (64 << 20, 20 << 20), (1 << 20, 3 << 20)]
    {
        let mut table = Table::new(CompactionLimits { target_bytes, ..CompactionLimits::default() });
        let mut most = 0;
        for _ in 0..2_000 {
            table.add(each);
            table.settle();
            let unsettled = table.files.iter().filter(|file| file.bytes < target_bytes).count();
            most = most.max(unsettled);
        }
        assert!(most <= 16, "{most} files of {each} bytes");
        let times = table.written / (2_000 * each);
        assert!(times <= 7, "every byte was written {times} times");
    }
}

#[test]
fn whoever_asks_until_there_is_nothing_left_has_no_hidden_rows_and_one_file_to_grow() {
    let mut table = Table::new(limits());
    for bytes in [5, 900, 3_000, 17, 400, 400, 1] {
        table.add(bytes);
    }
    table.files[2].hidden_rows = 1;
    let mut passes = 0;
    while let Some(picked) = pick(&table.files, Reason::Manual, &table.limits) {
        table.rewrite(&picked);
        passes += 1;
        assert!(passes < 100, "{:?}", table.files);
    }
    assert!(table.files.iter().filter(|file| file.bytes < 1_000).count() <= 1, "{:?}", table.files);
    assert!(table.files.iter().all(|file| file.hidden_rows == 0));
}

proptest! {
    /// For any table, passes come to an end, and no visible byte is lost.
    #[test]
    fn passes_end(files in prop::collection::vec(any_file(), 0..60), asks in any::<bool>()) {
        let mut table = Table::new(limits());
        for file in files {
            let id = table.next_id;
            table.next_id += 1;
            table.files.push(File { id, bytes: file.bytes % 3_000, group: 0, is_incomplete: false, ..file });
        }
        let live = |table: &Table| table.files.iter().map(File::live_bytes).sum::<u64>();
        let before = live(&table);
        let mut passes = 0;
        while let Some(picked) =
            if asks { pick(&table.files, Reason::Manual, &table.limits) } else { next(&table.files, &table.limits) }
        {
            table.rewrite(&picked);
            passes += 1;
            prop_assert!(passes < 300, "{:?}", table.files);
        }
        prop_assert_eq!(live(&table), before);
    }
}
