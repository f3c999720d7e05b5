//! A Cayenne table as DataFusion sees it.

use std::sync::{Arc, Weak};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::{DataFile, Error};
use cayenne_storage::SPLITS_AHEAD;
use cayenne_table::{PinnedView, Table};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::DFSchemaRef;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::dml::{InsertOp, MergeIntoClause};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use parking_lot::Mutex;
use vortex_datafusion::VortexSource;

use crate::converter::SameAnswers;
use crate::dynamic_filter::{self, DynamicFilterCounts, Trust};
use crate::error::external;
use crate::inline_scan::InlineFiles;
use crate::prune::prune;
use crate::reader::{FirstError, Readers, ScannedFile};
use crate::source::{CayenneSource, Scanned};
use crate::statistics;
use crate::write_exec::WriteExec;
use crate::write_plan::WriteTarget;

/// A table, or one snapshot of it, in a DataFusion session.
#[derive(Debug)]
pub struct CayenneTable {
    table: Arc<Table>,
    reads: Reads,
}

/// Which view a scan takes.
#[derive(Debug)]
enum Reads {
    /// The latest one.
    Latest,
    /// The latest one, the same for all scans of one statement.
    OnePerStatement(Mutex<Weak<PinnedView>>),
    /// Always this one.
    Fixed(Arc<PinnedView>),
}

impl CayenneTable {
    /// Returns a provider that reads the latest rows with every scan.
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self { table, reads: Reads::Latest }
    }

    /// Returns a provider for one statement: all scans of it read the same view.
    pub(crate) fn for_statement(table: Arc<Table>) -> Self {
        Self { table, reads: Reads::OnePerStatement(Mutex::default()) }
    }

    /// Returns a provider that reads one snapshot, and cannot be written.
    #[must_use]
    pub fn at(table: Arc<Table>, view: PinnedView) -> Self {
        Self { table, reads: Reads::Fixed(Arc::new(view)) }
    }

    /// Returns the table.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    async fn view(&self) -> Result<Arc<PinnedView>> {
        let shared = match &self.reads {
            Reads::Fixed(view) => return Ok(Arc::clone(view)),
            Reads::Latest => None,
            Reads::OnePerStatement(shared) => Some(shared),
        };
        // While one scan of the statement is alive, the next one joins its view.
        if let Some(view) = shared.and_then(|shared| shared.lock().upgrade()) {
            return Ok(view);
        }
        let view = Arc::new(self.table.view().await.map_err(external)?);
        if let Some(shared) = shared {
            *shared.lock() = Arc::downgrade(&view);
        }
        Ok(view)
    }

    fn writable(&self) -> Result<()> {
        match self.reads {
            Reads::Fixed(_) => Err(external(
                Error::unsupported("an earlier snapshot of a table cannot be written").with("table", self.table.name()),
            )),
            Reads::Latest | Reads::OnePerStatement(_) => Ok(()),
        }
    }

    fn partitioned_file(&self, file: &Arc<DataFile>, columns: &[usize]) -> Result<PartitionedFile> {
        let schema = self.table.schema();
        // The path only tells files apart in caches and messages: bytes come through our own reader.
        let path = format!("{}/{}", self.table.record().location, file.id);
        Ok(PartitionedFile::new(path, file.bytes)
            .with_extension(ScannedFile(Arc::clone(file)))
            .with_statistics(Arc::new(statistics::of_file(file, schema, columns)?)))
    }

    /// Returns the files of a scan. Inline ones are small and many: a scan takes them in as few as there are partitions.
    fn partitioned_files(
        &self,
        kept: &[Arc<DataFile>],
        columns: &[usize],
        partitions: usize,
    ) -> Result<Vec<PartitionedFile>> {
        let (inline, stored): (Vec<_>, Vec<_>) = kept.iter().cloned().partition(|file| file.is_inline());
        let mut files = stored.iter().map(|file| self.partitioned_file(file, columns)).collect::<Result<Vec<_>>>()?;
        for together in inline.chunks(inline.len().div_ceil(partitions).max(1)) {
            files.push(self.inline_files(together, columns)?);
        }
        Ok(files)
    }

    fn inline_files(&self, together: &[Arc<DataFile>], columns: &[usize]) -> Result<PartitionedFile> {
        let first = together.first().map(|file| file.id.to_string()).unwrap_or_default();
        let bytes = together.iter().map(|file| file.bytes).sum();
        let statistics = statistics::of_files(together.iter().map(AsRef::as_ref), self.table.schema(), columns)?;
        Ok(PartitionedFile::new(format!("{}/inline-{first}", self.table.record().location), bytes)
            .with_extension(InlineFiles(together.into()))
            .with_statistics(Arc::new(statistics)))
    }

    fn scan_plan(
        &self,
        state: &dyn Session,
        view: Arc<PinnedView>,
        args: &ScanArgs<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let filters = args.filters().unwrap_or_default();
        let columns = needed_columns(schema, args);
        let (files_total, rows_total) = (view.files().len(), view.snapshot().stored_rows());
        let kept = prune(&view, schema, filters, state)?;
        let statistics = statistics::of_files(kept.iter().map(AsRef::as_ref), schema, &columns)?;
        let partitions = state.config().target_partitions();
        let files = self.partitioned_files(&kept, &columns, partitions)?;
        let metrics = PrunedCounts { files_total, rows_total, kept: &kept };
        let scanned = Scanned {
            table: Arc::clone(&self.table),
            sequence: view.sequence(),
            files_kept: kept.len(),
            files_total,
            failure: FirstError::default(),
            memory: Arc::clone(&state.runtime_env().memory_pool),
            _view: view,
        };
        let source = self.source(state, scanned, &metrics);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups_of(files, partitions))
            .with_statistics(statistics)
            .with_projection_indices(args.projection().map(<[usize]>::to_vec))?
            // Vortex counts the limit after dynamic filters. Any rows will do, because a scan declares no order.
            .with_limit(args.limit())
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn source(&self, state: &dyn Session, scanned: Scanned, pruned: &PrunedCounts<'_>) -> CayenneSource {
        let session = self.table.storage().session().clone();
        dynamic_filter::register(&session);
        let source = VortexSource::new(TableSchema::from(Arc::clone(self.table.schema())), session.clone())
            .with_projection_pushdown(true)
            .with_scan_concurrency(SPLITS_AHEAD)
            .with_file_metadata_cache(state.runtime_env().cache_manager.get_file_metadata_cache());
        let metrics = FileSource::metrics(&source).clone();
        let converter =
            SameAnswers::new(session, Trust::of(state.config_options()), DynamicFilterCounts::new(&metrics));
        let source = source.with_expression_converter(Arc::new(converter));
        pruned.show(&metrics);
        let readers = Readers::new(Arc::clone(&self.table), &metrics, &scanned.failure);
        CayenneSource::new(Arc::new(source.with_vortex_reader_factory(Arc::new(readers))), scanned)
    }
}

/// What pruning by file statistics left, for `EXPLAIN ANALYZE`.
struct PrunedCounts<'a> {
    files_total: usize,
    rows_total: u64,
    kept: &'a [Arc<DataFile>],
}

impl PrunedCounts<'_> {
    fn show(&self, metrics: &ExecutionPlanMetricsSet) {
        let rows_kept: u64 = self.kept.iter().map(|file| file.rows).sum();
        let rows_pruned = self.rows_total.saturating_sub(rows_kept);
        let counter = |name| MetricBuilder::new(metrics).global_counter(name);
        counter("files_total").add(self.files_total);
        counter("files_pruned").add(self.files_total.saturating_sub(self.kept.len()));
        counter("rows_pruned").add(usize::try_from(rows_pruned).unwrap_or(usize::MAX));
    }
}

/// Deals files out to output partitions. A scan of nothing has one, which is empty: no plan works on none.
fn groups_of(files: Vec<PartitionedFile>, target_partitions: usize) -> Vec<FileGroup> {
    if files.is_empty() {
        return vec![FileGroup::new(files)];
    }
    FileGroup::new(files).split_files(target_partitions)
}

/// Columns whose statistics a plan may ask for: those it reads and those it filters by.
fn needed_columns(schema: &SchemaRef, args: &ScanArgs<'_>) -> Vec<usize> {
    let mut columns: Vec<usize> = match args.projection() {
        Some(projection) => projection.to_vec(),
        None => (0..schema.fields().len()).collect(),
    };
    let filtered = args.filters().unwrap_or_default().iter().flat_map(Expr::column_refs);
    columns.extend(filtered.filter_map(|column| schema.index_of(column.name()).ok()));
    columns.sort_unstable();
    columns.dedup();
    columns
}

#[async_trait]
impl TableProvider for CayenneTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        let view = self.view().await?;
        Ok(ScanResult::new(self.scan_plan(state, view, &args)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // They prune files here; which of them Vortex applies exactly is settled when the physical plan is optimised.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.writable()?;
        let target = match insert_op {
            InsertOp::Append => WriteTarget::Append(Arc::clone(&self.table)),
            InsertOp::Overwrite => WriteTarget::Overwrite(Arc::clone(&self.table)),
            InsertOp::Replace => return Err(self.refused("REPLACE INTO")),
        };
        Ok(Arc::new(WriteExec::new(input, target)))
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.refused("DELETE"))
    }

    async fn update(&self, _: &dyn Session, _: Vec<(String, Expr)>, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.refused("UPDATE"))
    }

    async fn merge_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: DFSchemaRef,
        _: Expr,
        _: Vec<MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.refused("MERGE"))
    }

    async fn truncate(&self, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        self.writable()?;
        Ok(Arc::new(WriteExec::truncate(Arc::clone(&self.table))))
    }
}

impl CayenneTable {
    fn refused(&self, statement: &'static str) -> DataFusionError {
        external(
            Error::unsupported("the statement is not supported yet on Cayenne tables; nothing was changed")
                .code("unsupported-sql")
                .with("statement", statement)
                .with("table", self.table.name())
                .help("INSERT INTO, INSERT OVERWRITE and TRUNCATE change a table"),
        )
    }
}
