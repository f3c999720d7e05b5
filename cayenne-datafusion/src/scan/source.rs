//! The file source of a Cayenne scan: wraps Vortex's file source and adds what Cayenne knows of the files.
//!
//! A source of our own could replace Vortex's behind this interface.

use crate::scan::scanned::Scanned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_schema::Schema;
use cayenne_storage::DecodeMemory;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;

use crate::error::external;
use crate::scan::direct::DirectScan;
use crate::scan::pieces::Pieces;
use crate::scan::reader::ScannedFile;

/// A file source that delegates to Vortex's.
#[derive(Clone)]
pub(crate) struct CayenneSource {
    inner: Arc<dyn FileSource>,
    scanned: Arc<Scanned>,
}

impl CayenneSource {
    pub(crate) fn new(inner: Arc<dyn FileSource>, scanned: Scanned) -> Self {
        Self { inner, scanned: Arc::new(scanned) }
    }

    /// Returns the columns that a scan decodes: those that it returns and those that it filters on.
    fn decoded_columns(&self) -> Result<Schema> {
        let schema = self.inner.table_schema().table_schema();
        let projected = self.inner.projection().into_iter().flat_map(|exprs| exprs.iter().map(|expr| &expr.expr));
        let filter = self.inner.filter();
        let used: BTreeSet<usize> = projected
            .chain(&filter)
            .flat_map(|expr| collect_columns(expr).into_iter().map(|column| column.index()))
            .collect();
        Ok(schema.project(&used.into_iter().collect::<Vec<_>>())?)
    }

    fn around(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, scanned: Arc::clone(&self.scanned) })
    }
}

impl FileSource for CayenneSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let inner = self.inner.create_file_opener(object_store, base_config, partition)?;
        let columns = Arc::new(self.decoded_columns()?);
        let direct =
            DirectScan::of_source(Arc::clone(&self.scanned.table), self.scanned.identity.clone(), self.inner.as_ref())?;
        Ok(Arc::new(CayenneOpener { inner, scanned: Arc::clone(&self.scanned), columns, direct }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.around(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &'static str {
        "cayenne"
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scanned { table, sequence, files_kept, files_total, .. } = self.scanned.as_ref();
        let deletion_mode = table.options().deletion_mode.in_force();
        let table = table.name();
        match t {
            DisplayFormatType::TreeRender => {
                writeln!(f, "table={table}")?;
                writeln!(f, "sequence={sequence}")?;
                writeln!(f, "files={files_kept}/{files_total}")?;
                writeln!(f, "deletion_mode={deletion_mode}")?;
            }
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, ", table={table}, sequence={sequence}, files={files_kept}/{files_total}")?;
                write!(f, ", deletion_mode={deletion_mode}")?;
            }
        }
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_filters(filters, config)?;
        Ok(FilterPushdownPropagation {
            filters: pushed.filters,
            updated_node: pushed.updated_node.map(|inner| self.around(inner)),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, eq_properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.around(inner) },
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.around(inner) }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.around(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Opens data files. Inline files, and those in which few rows were looked up, are read directly; the others go through
/// Vortex. Decoding is charged to the memory pool, or is done piece by piece if the pool has too little. Errors are
/// returned in the form they had before they became text.
struct CayenneOpener {
    inner: Arc<dyn FileOpener>,
    scanned: Arc<Scanned>,
    columns: Arc<Schema>,
    direct: DirectScan,
}

impl FileOpener for CayenneOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        if let Some(files) = file.extension() {
            return Ok(self.direct.open(files, &file));
        }
        let rows = rows_of(&file);
        let (opener, scanned, columns) =
            (Arc::clone(&self.inner), Arc::clone(&self.scanned), Arc::clone(&self.columns));
        Ok(async move {
            let consumer = format!("cayenne.scan {}", scanned.table.name());
            let modest = DecodeMemory::take_if_modest(&scanned.memory, &consumer, &columns, rows, scanned.streams);
            let Some(mut memory) = modest else {
                return Ok(Pieces { opener, scanned, columns, file, rows }.stream());
            };
            let stream = opener.open(file)?.await.map_err(|error| scanned.failure.or(error))?;
            let charged = stream.map(move |batch| {
                let batch = batch.map_err(|error| scanned.failure.or(error))?;
                memory.note(&batch).map_err(external)?;
                Ok(batch)
            });
            Ok(charged.boxed())
        }
        .boxed())
    }
}

/// Returns the number of rows to read from a file: all of them, or the estimated share of a range of bytes.
fn rows_of(file: &PartitionedFile) -> u64 {
    let Some(ScannedFile(whole)) = file.extension() else {
        return 0;
    };
    let Some(range) = &file.range else {
        return whole.rows;
    };
    let share = u128::from(range.end.abs_diff(range.start)) * u128::from(whole.rows) / u128::from(whole.bytes.max(1));
    u64::try_from(share).unwrap_or(whole.rows)
}
