//! Plans the scan of a table: which files it keeps, which of their rows are hidden, and how files are assigned to
//! partitions.

use crate::scan::kept::GivenRows;
use crate::scan::kept::KeptFile;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use cayenne_format::{DataFile, FileId};
use cayenne_storage::SPLITS_AHEAD;
use cayenne_table::{PinnedView, Table};
use datafusion::catalog::{ScanArgs, Session};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use vortex_datafusion::convert::ExpressionConverter;
use vortex_datafusion::{VortexAccessPlan, VortexSource};

use crate::dynamic_filter::{self, DynamicFilterCounts, Trust};
use crate::error::external;
use crate::keys::lookup;
use crate::scan::converter::SameAnswers;
use crate::scan::direct::{DirectFile, DirectFiles};
use crate::scan::identity::{Identity, PositionAdapters};
use crate::scan::lookup::LookupExec;
use crate::scan::positions::WithPositions;
use crate::scan::prune::prune;
use crate::scan::reader::{FirstError, Readers, ScannedFile};
use crate::scan::scanned::Scanned;
use crate::scan::source::CayenneSource;
use crate::scan::statistics;
use crate::scan::turns::Turns;

/// Number of deletion files that are read concurrently. They are small and in one folder.
const DELETIONS_AHEAD: usize = 8;

/// The data files that a scan reads.
struct Kept {
    files: Vec<KeptFile>,
    /// Number of probes of key indexes for a key, if the rows were looked up.
    index_probes: Option<u64>,
}

/// A scan of one view.
pub(crate) struct Scan<'a> {
    pub(crate) table: &'a Arc<Table>,
    pub(crate) view: Arc<PinnedView>,
    /// The identity columns, if the scan returns them.
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) state: &'a dyn Session,
}

impl Scan<'_> {
    /// Returns the plan of the scan.
    pub(crate) async fn plan(self, args: &ScanArgs<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let filters = self.filters_of_table(args);
        let kept = match self.found_in_few_files(&filters).await? {
            Some(found) => found,
            None => self.kept(&filters).await?,
        };
        self.plan_of(&kept, args)
    }

    /// Returns a plan that reads only the rows with these keys.
    pub(crate) async fn of_keys(self, keys: &[ArrayRef], args: &ScanArgs<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<_> = self.view.files().cloned().collect();
        let kept = self.found(&all, keys).await?;
        self.plan_of(&kept, args)
    }

    fn plan_of(self, kept: &Kept, args: &ScanArgs<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        if kept.index_probes.is_some() && kept.files.iter().all(KeptFile::is_direct) {
            return self.lookup_of(args.projection(), kept);
        }
        let mut columns = needed_columns(self.schema(), args);
        columns.retain(|column| *column < self.table.schema().fields().len());
        let statistics = statistics::of_files(&kept.files, self.schema(), &columns)?;
        let partitions = self.state.config().target_partitions();
        let files = self.partitioned_files(&kept.files, &columns, partitions)?;
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(self.source(kept)))
            .with_file_groups(groups_of(files, partitions))
            .with_statistics(statistics)
            .with_expr_adapter(self.identity.map(|identity| {
                Arc::new(PositionAdapters { position: identity.position.clone() }) as Arc<dyn PhysicalExprAdapterFactory>
            }))
            .with_projection_indices(args.projection().map(<[usize]>::to_vec))?
            // Vortex applies the limit after dynamic filters and hidden rows. Any rows will do, because the scan
            // declares no order.
            .with_limit(args.limit())
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Returns a plan that reads only rows that were looked up.
    fn lookup_of(&self, projection: Option<&[usize]>, kept: &Kept) -> Result<Arc<dyn ExecutionPlan>> {
        let files = DirectFiles(kept.files.iter().map(DirectFile::from).collect());
        let lookup = LookupExec::new(self, projection, files)?;
        show_counts(lookup.counters(), self.view.files().len(), self.view.snapshot().stored_rows(), kept);
        Ok(Arc::new(lookup))
    }

    /// Looks up the rows if the filters determine their keys, and if there are so few files that pruning them first
    /// would be more work.
    async fn found_in_few_files(&self, filters: &[Expr]) -> Result<Option<Kept>> {
        if self.view.files().len() > lookup::FILES_MIN {
            return Ok(None);
        }
        let all: Vec<_> = self.view.files().cloned().collect();
        self.looked_up(&all, filters).await
    }

    /// Returns the files that remain after pruning, and which of their rows the scan returns.
    async fn kept(&self, filters: &[Expr]) -> Result<Kept> {
        let pruned = prune(&self.view, self.table.schema(), filters, self.state)?;
        match self.looked_up(&pruned, filters).await? {
            Some(found) => Ok(found),
            None => Ok(Kept { files: self.without_hidden(pruned).await?, index_probes: None }),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.identity.map_or(self.table.schema(), Identity::schema)
    }

    /// Returns the filters that can be evaluated on statistics: those without identity columns.
    fn filters_of_table(&self, args: &ScanArgs<'_>) -> Vec<Expr> {
        let filters = args.filters().unwrap_or_default();
        let is_of_table = |filter: &&Expr| {
            self.identity.is_none_or(|identity| {
                let names = [identity.position.as_str(), identity.file.as_str()];
                filter.column_refs().iter().all(|column| !names.contains(&column.name()))
            })
        };
        filters.iter().filter(is_of_table).cloned().collect()
    }

    /// Looks up the rows if the filters determine their keys and the lookup is less work than a scan.
    async fn looked_up(&self, files: &[Arc<DataFile>], filters: &[Expr]) -> Result<Option<Kept>> {
        let Some(keys) = lookup::keys(self.table, filters)? else { return Ok(None) };
        let rows = files.iter().map(|file| file.rows).sum();
        if !lookup::is_worth_it(&keys, files.len(), self.view.files().len(), rows) {
            return Ok(None);
        }
        self.found(files, &keys).await.map(Some)
    }

    /// Looks up the rows with these keys in data files.
    async fn found(&self, files: &[Arc<DataFile>], keys: &[ArrayRef]) -> Result<Kept> {
        let found = self.table.find(&self.view, keys).await.map_err(external)?;
        let places = self.places();
        let kept = files.iter().filter_map(|file| {
            let rows = GivenRows::Only(Arc::new(found.of(file.id)?.clone()));
            Some(KeptFile { place: place(&places, file), file: Arc::clone(file), rows })
        });
        let keys = keys.first().map_or(0, |column| column.len() as u64);
        let index_probes = keys.saturating_mul(self.view.files().len() as u64);
        Ok(Kept { files: kept.collect(), index_probes: Some(index_probes) })
    }

    /// Returns the index of each file in the view; empty without identity columns.
    fn places(&self) -> HashMap<FileId, u32> {
        match self.identity {
            None => HashMap::new(),
            Some(_) => self.view.files().map(|file| file.id).zip(0..).collect(),
        }
    }

    /// Reads the deletion vectors of files, and leaves out files whose rows are all hidden.
    async fn without_hidden(&self, files: Vec<Arc<DataFile>>) -> Result<Vec<KeptFile>> {
        let places = self.places();
        let kept = |file: Arc<DataFile>| KeptFile { place: place(&places, &file), file, rows: GivenRows::All };
        let mut kept: Vec<KeptFile> = files.into_iter().map(kept).collect();
        let (table, view) = (self.table, &self.view);
        let with_hidden: Vec<(usize, Arc<DataFile>)> = kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| view.may_hide(&kept.file))
            .map(|(at, kept)| (at, Arc::clone(&kept.file)))
            .collect();
        if with_hidden.is_empty() {
            return Ok(kept);
        }
        let read = with_hidden.into_iter().map(|(at, file)| async move {
            Ok::<_, DataFusionError>((at, table.hidden(view, &file).await.map_err(external)?))
        });
        let read: Vec<_> = stream::iter(read).buffered(DELETIONS_AHEAD).try_collect().await?;
        for (at, hidden) in read {
            if let (Some(kept), Some(hidden)) = (kept.get_mut(at), hidden) {
                kept.rows = GivenRows::AllBut(hidden);
            }
        }
        kept.retain(|kept| kept.given_rows() > 0);
        Ok(kept)
    }

    fn partitioned_file(&self, kept: &KeptFile, columns: &[usize]) -> Result<PartitionedFile> {
        let file = &kept.file;
        // The path only identifies the file in caches and messages: the bytes come from our own reader.
        let path = format!("{}/{}", self.table.record().location, file.id);
        let scanned = PartitionedFile::new(path, file.bytes)
            .with_extension(ScannedFile(Arc::clone(file)))
            .with_statistics(Arc::new(statistics::of_files([kept], self.schema(), columns)?))
            .with_partition_values(self.partition_values(kept.place));
        Ok(match kept.rows.selection() {
            None => scanned,
            Some(selection) => scanned.with_extension(VortexAccessPlan::default().with_selection(selection)),
        })
    }

    fn partition_values(&self, place: u32) -> Vec<ScalarValue> {
        self.identity.map(|_| ScalarValue::from(place)).into_iter().collect()
    }

    /// Returns the files of a scan. Files that are read directly (inline ones, and those with few rows to read) are
    /// many and small, so they are combined into at most as many files as there are partitions.
    fn partitioned_files(
        &self,
        kept: &[KeptFile],
        columns: &[usize],
        partitions: usize,
    ) -> Result<Vec<PartitionedFile>> {
        let (direct, stored): (Vec<_>, Vec<_>) = kept.iter().cloned().partition(KeptFile::is_direct);
        let mut files = stored.iter().map(|kept| self.partitioned_file(kept, columns)).collect::<Result<Vec<_>>>()?;
        for together in direct.chunks(direct.len().div_ceil(partitions).max(1)) {
            files.push(self.direct_files(together, columns)?);
        }
        Ok(files)
    }

    fn direct_files(&self, together: &[KeptFile], columns: &[usize]) -> Result<PartitionedFile> {
        let first = together.first().map(|kept| kept.file.id.to_string()).unwrap_or_default();
        let bytes = together.iter().map(|kept| kept.file.bytes).sum();
        let statistics = statistics::of_files(together, self.schema(), columns)?;
        // Each combined file has an index of its own, which its rows get when they are read.
        Ok(PartitionedFile::new(format!("{}/direct-{first}", self.table.record().location), bytes)
            .with_extension(DirectFiles(together.iter().map(DirectFile::from).collect()))
            .with_statistics(Arc::new(statistics))
            .with_partition_values(self.partition_values(0)))
    }

    fn source(&self, kept: &Kept) -> CayenneSource {
        let state = self.state;
        let session = self.table.storage().session().clone();
        dynamic_filter::register(&session);
        let table_schema = self.identity.map_or_else(|| TableSchema::from(self.table.schema()), Identity::table_schema);
        let source = VortexSource::new(table_schema, session.clone())
            .with_projection_pushdown(true)
            .with_scan_concurrency(SPLITS_AHEAD)
            .with_file_metadata_cache(state.runtime_env().cache_manager.get_file_metadata_cache());
        let metrics = FileSource::metrics(&source).clone();
        let same = SameAnswers::new(session, Trust::of(state.config_options()), DynamicFilterCounts::new(&metrics));
        let converter: Arc<dyn ExpressionConverter> = match self.identity {
            None => Arc::new(same),
            Some(identity) => Arc::new(WithPositions::new(same, identity.position.clone())),
        };
        let (files_total, rows_total) = (self.view.files().len(), self.view.snapshot().stored_rows());
        show_counts(&metrics, files_total, rows_total, kept);
        let failure = FirstError::default();
        let readers = Readers::new(Arc::clone(self.table), &metrics, &failure);
        let source = source.with_expression_converter(converter).with_vortex_reader_factory(Arc::new(readers));
        let scanned = Scanned {
            table: Arc::clone(self.table),
            sequence: self.view.sequence(),
            identity: self.identity.cloned(),
            files_kept: kept.files.len(),
            files_total,
            failure,
            memory: Arc::clone(&state.runtime_env().memory_pool),
            streams: state.config().target_partitions(),
            turns: Turns::default(),
            _view: Arc::clone(&self.view),
        };
        CayenneSource::new(Arc::new(source), scanned)
    }
}

fn place(places: &HashMap<FileId, u32>, file: &DataFile) -> u32 {
    places.get(&file.id).copied().unwrap_or_default()
}

/// Adds the metrics that `EXPLAIN ANALYZE` shows: what pruning by file statistics left, and how much of that is hidden.
fn show_counts(metrics: &ExecutionPlanMetricsSet, files_total: usize, rows_total: u64, kept: &Kept) {
    let Kept { files: kept, index_probes } = kept;
    let rows_kept: u64 = kept.iter().map(|kept| kept.file.rows).sum();
    let rows_hidden: u64 = kept.iter().map(KeptFile::hidden_rows).sum();
    let as_metric = |rows| usize::try_from(rows).unwrap_or(usize::MAX);
    let counter = |name| MetricBuilder::new(metrics).global_counter(name);
    counter("files_total").add(files_total);
    counter("files_pruned").add(files_total.saturating_sub(kept.len()));
    counter("rows_pruned").add(as_metric(rows_total.saturating_sub(rows_kept)));
    counter("files_with_deletes").add(kept.iter().filter(|kept| kept.hidden_rows() > 0).count());
    counter("rows_masked_by_deletes").add(as_metric(rows_hidden));
    let looked_up = kept.iter().filter(|kept| matches!(kept.rows, GivenRows::Only(_))).map(KeptFile::given_rows);
    counter("rows_looked_up").add(as_metric(looked_up.sum()));
    counter("index_probes").add(as_metric(index_probes.unwrap_or_default()));
}

/// Distributes files over output partitions. Without files there is one empty partition, because no plan works without
/// one.
fn groups_of(files: Vec<PartitionedFile>, target_partitions: usize) -> Vec<FileGroup> {
    if files.is_empty() {
        return vec![FileGroup::new(files)];
    }
    FileGroup::new(files).split_files(target_partitions)
}

/// Returns the columns whose statistics the planner may need: those that are read, and those that are filtered on.
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
