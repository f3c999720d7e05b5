//! Scanning inline data files: their rows are in memory as Arrow batches, so the filter and the projection of the scan
//! are DataFusion's own.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use cayenne_format::DataFile;
use cayenne_table::Table;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileSource};
use datafusion::error::Result;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::conjunction_opt;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use futures::{FutureExt, StreamExt, future, stream};

use crate::dynamic_filter::is_dynamic;
use crate::error::external;
use crate::identity::Identity;
use crate::scan::GivenRows;

/// Rows of inline data files are handed on in batches of at least this many: an operator does not work for a thousand
/// rows.
const BATCH_ROWS: usize = 8 * 1024;

/// Inline data files that are scanned together.
#[derive(Clone, Debug)]
pub(crate) struct InlineFiles(pub(crate) Arc<[InlineFile]>);

/// An inline data file that is scanned.
#[derive(Clone, Debug)]
pub(crate) struct InlineFile {
    pub(crate) file: Arc<DataFile>,
    pub(crate) rows: GivenRows,
    /// Its place among the files of the view.
    pub(crate) place: u32,
}

/// What a scan wants of the rows of an inline data file.
#[derive(Clone)]
pub(crate) struct InlineScan {
    table: Arc<Table>,
    identity: Option<Identity>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    projection: Option<ProjectionExprs>,
}

impl InlineScan {
    /// Returns what `source` was told, but for filters that change while the query runs: the operators that make them
    /// drop those rows themselves, and there are few of them here.
    pub(crate) fn new(table: Arc<Table>, identity: Option<Identity>, source: &dyn FileSource) -> Self {
        let filter = source.filter();
        let lasting = filter.iter().flat_map(split_conjunction).filter(|conjunct| !is_dynamic(conjunct)).cloned();
        Self { table, identity, filter: conjunction_opt(lasting), projection: source.projection().cloned() }
    }

    /// Opens inline data files.
    pub(crate) fn open(&self, files: &InlineFiles, file: &PartitionedFile) -> FileOpenFuture {
        // A scan may be cut into ranges of bytes; the rows belong to the one that has the first byte.
        let is_mine = file.range.as_ref().is_none_or(|range| range.start == 0);
        let files: Arc<[InlineFile]> = if is_mine { Arc::clone(&files.0) } else { Arc::new([]) };
        let scan = self.clone();
        let mut next = 0;
        let batches = stream::iter(std::iter::from_fn(move || scan.batch(&files, &mut next).transpose()));
        future::ready(Ok(batches.boxed())).boxed()
    }

    /// Returns the next rows, put together to batches that are worth handing on.
    fn batch(&self, files: &[InlineFile], next: &mut usize) -> Result<Option<RecordBatch>> {
        let mut gathered: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        while let Some(file) = files.get(*next).filter(|_| rows < BATCH_ROWS) {
            *next += 1;
            let batch = self.rows(file)?;
            rows += batch.num_rows();
            gathered.push(batch);
        }
        match gathered.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            [first, ..] => Ok(Some(concat_batches(&first.schema(), &gathered)?)),
        }
    }

    fn rows(&self, inline: &InlineFile) -> Result<RecordBatch> {
        let rows = self.table.inline_rows(&inline.file).map_err(external)?;
        let rows = match &self.identity {
            None => rows,
            Some(identity) => identity.extend(&rows, inline.place)?,
        };
        let rows = match &inline.rows {
            GivenRows::All => rows,
            given => {
                let has: Vec<bool> = (0..).take(rows.num_rows()).map(|position| given.has(position)).collect();
                filter_record_batch(&rows, &BooleanArray::from(has))?
            }
        };
        let kept = match &self.filter {
            None => rows,
            Some(filter) => {
                let passes = filter.evaluate(&rows)?.into_array(rows.num_rows())?;
                match passes.as_boolean() {
                    passes if passes.true_count() == rows.num_rows() => rows,
                    passes if passes.true_count() == 0 => rows.slice(0, 0),
                    passes => filter_record_batch(&rows, passes)?,
                }
            }
        };
        match &self.projection {
            None => Ok(kept),
            Some(projection) => {
                let schema = self.identity.as_ref().map_or(self.table.schema(), Identity::schema);
                projection.make_projector(schema)?.project_batch(&kept)
            }
        }
    }
}
