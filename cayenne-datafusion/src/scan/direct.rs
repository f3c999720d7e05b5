//! Reads rows without a scan of Vortex: the rows of inline data files, which are Arrow batches in memory, and single
//! rows that were looked up. DataFusion evaluates the filter and the projection of the scan on them.

use crate::scan::kept::KeptFile;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use cayenne_deletes::hide_positions;
use cayenne_format::DataFile;
use cayenne_table::Table;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileSource};
use datafusion::error::Result;
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::{collect_columns, conjunction_opt, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, future, stream};

use crate::dynamic_filter::is_dynamic;
use crate::error::external;
use crate::scan::identity::Identity;
use crate::scan::kept::GivenRows;

/// Minimum number of rows in a batch, except for the last one. Operators are inefficient on smaller batches.
const BATCH_ROWS: usize = 8 * 1024;

/// Data files that one stream reads.
#[derive(Clone, Debug)]
pub(crate) struct DirectFiles(pub(crate) Arc<[DirectFile]>);

/// A data file whose rows are read directly: an inline one, or one in which a few rows were looked up.
#[derive(Clone, Debug)]
pub(crate) struct DirectFile {
    pub(crate) file: Arc<DataFile>,
    pub(crate) rows: GivenRows,
    /// The index of the file in the view.
    pub(crate) place: u32,
}

impl From<&KeptFile> for DirectFile {
    fn from(kept: &KeptFile) -> Self {
        Self { file: Arc::clone(&kept.file), rows: kept.rows.clone(), place: kept.place }
    }
}

/// A scan of rows that are read directly.
#[derive(Clone, Debug)]
pub(crate) struct DirectScan(Arc<Wanted>);

#[derive(Debug)]
struct Wanted {
    table: Arc<Table>,
    identity: Option<Identity>,
    /// The indices of the table's columns that are read.
    columns: Vec<usize>,
    /// The filter, over the columns that are read.
    filter: Option<Arc<dyn PhysicalExpr>>,
    projector: Option<Projector>,
}

impl DirectScan {
    /// Returns a scan with the filter and projection of `source`, but without its dynamic filters. The operators that
    /// create those drop the rows themselves, and there are few rows here.
    pub(crate) fn of_source(table: Arc<Table>, identity: Option<Identity>, source: &dyn FileSource) -> Result<Self> {
        let filter = source.filter();
        let lasting = filter.iter().flat_map(split_conjunction).filter(|conjunct| !is_dynamic(conjunct)).cloned();
        Self::new(table, identity, conjunction_opt(lasting), source.projection())
    }

    /// Returns a scan of the rows that pass `filter`. Without a projection it returns all columns.
    pub(crate) fn new(
        table: Arc<Table>,
        identity: Option<Identity>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<&ProjectionExprs>,
    ) -> Result<Self> {
        let columns = columns_of(&table, filter.as_ref(), projection);
        let read = Arc::new(table.schema().project(&columns)?);
        let read = identity.as_ref().map_or_else(|| Arc::clone(&read), |identity| identity.beside(&read));
        let filter = filter.map(|filter| reassign_expr_columns(filter, &read)).transpose()?;
        let projector = projection.map(|projection| projector(projection.clone(), &read)).transpose()?;
        Ok(Self(Arc::new(Wanted { table, identity, columns, filter, projector })))
    }

    /// Opens data files.
    pub(crate) fn open(&self, files: &DirectFiles, file: &PartitionedFile) -> FileOpenFuture {
        // DataFusion may split a file into ranges of bytes. The range with the first byte reads all rows.
        let is_mine = file.range.as_ref().is_none_or(|range| range.start == 0);
        let files = if is_mine { files.clone() } else { DirectFiles(Arc::new([])) };
        future::ready(Ok(self.read(&files))).boxed()
    }

    /// Reads the rows of data files.
    pub(crate) fn read(&self, files: &DirectFiles) -> BoxStream<'static, Result<RecordBatch>> {
        let (wanted, files) = (Arc::clone(&self.0), Arc::clone(&files.0));
        let batches = stream::try_unfold(0, move |next| {
            let (wanted, files) = (Arc::clone(&wanted), Arc::clone(&files));
            async move { wanted.batch(&files, next).await }
        });
        batches.boxed()
    }
}

/// Returns the indices of the table's columns that a scan needs.
fn columns_of(
    table: &Table,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    projection: Option<&ProjectionExprs>,
) -> Vec<usize> {
    let count = table.schema().fields().len();
    let Some(projection) = projection else { return (0..count).collect() };
    let exprs = projection.iter().map(|projected| &projected.expr).chain(filter);
    let used: BTreeSet<usize> =
        exprs.flat_map(|expr| collect_columns(expr).into_iter().map(|column| column.index())).collect();
    used.into_iter().filter(|column| *column < count).collect()
}

fn projector(projection: ProjectionExprs, read: &SchemaRef) -> Result<Projector> {
    projection.try_map_exprs(|expr| reassign_expr_columns(expr, read))?.make_projector(read)
}

impl Wanted {
    /// Returns the next batch, which concatenates the rows of several files if they are small, and the index of the
    /// next file.
    async fn batch(&self, files: &[DirectFile], mut next: usize) -> Result<Option<(RecordBatch, usize)>> {
        let mut gathered: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        while let Some(file) = files.get(next).filter(|_| rows < BATCH_ROWS) {
            next += 1;
            let batch = self.rows(file).await?;
            rows += batch.num_rows();
            gathered.push(batch);
        }
        Ok(match gathered.as_slice() {
            [] => None,
            [only] => Some((only.clone(), next)),
            [first, ..] => Some((concat_batches(&first.schema(), &gathered)?, next)),
        })
    }

    async fn rows(&self, file: &DirectFile) -> Result<RecordBatch> {
        let given = self.given(file).await?;
        let rows = match &self.identity {
            None => given,
            Some(identity) => identity.extend(&given, file.rows.positions(file.file.rows), file.place)?,
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
        self.projector.as_ref().map_or(Ok(kept.clone()), |projector| projector.project_batch(&kept))
    }

    /// Reads the needed columns of the rows that the scan returns from a file.
    async fn given(&self, file: &DirectFile) -> Result<RecordBatch> {
        let all = || Ok(self.table.inline_rows(&file.file).map_err(external)?.project(&self.columns)?);
        match &file.rows {
            GivenRows::All => all(),
            GivenRows::AllBut(hidden) => hide_positions(&all()?, 0, hidden).map_err(external),
            GivenRows::Only(found) => self.table.rows_of_file(&file.file, found, &self.columns).await.map_err(external),
        }
    }
}
