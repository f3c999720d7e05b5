//! The execution plan node that changes rows. It does nothing until it is executed, and commits at most once.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use cayenne_format::{FileId, Result as CayenneResult};
use cayenne_storage::RowStream;
use cayenne_table::{PinnedView, RowChange, Table};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use crate::changes::change::Change;
use crate::changes::found_rows::FoundRows;
use crate::changes::gathered_keys::GatheredKeys;
use crate::error::external;
use crate::write::exec::{Read, count_schema, read_at_once};

/// Hides the rows of a view that its input finds, adds the rows that replace them, and commits both at once. Returns
/// the number of changed rows.
///
/// Nothing happens before execution. A stream that is dropped before its end commits nothing.
#[derive(Debug)]
pub(crate) struct ChangeExec {
    input: Arc<dyn ExecutionPlan>,
    table: Arc<Table>,
    view: Arc<PinnedView>,
    change: Change,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ChangeExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, table: Arc<Table>, view: Arc<PinnedView>, change: Change) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { input, table, view, change, properties: Arc::new(properties), metrics }
    }

    fn found(&self) -> FoundRows {
        let files: Arc<[FileId]> = self.view.files().map(|file| file.id).collect();
        let columns = self.table.schema().fields().len();
        FoundRows::new(self.table.name(), self.change.clone(), columns, files)
    }

    /// Returns the rows to add, one stream for each partition of the input. Reading them records the rows to hide in
    /// `found`.
    fn rows(&self, found: &FoundRows, context: &Arc<TaskContext>) -> Result<Vec<RowStream>> {
        let read = Read::new(&self.metrics);
        let partitions = self.input.properties().partitioning.partition_count();
        let stream = |partition| {
            let found = found.clone();
            let batches = read.count(self.input.execute(partition, Arc::clone(context))?);
            Ok(batches.map(move |batch| found.take(&batch?)).boxed())
        };
        Ok(read_at_once((0..partitions).map(stream).collect::<Result<_>>()?, self.table.storage()))
    }
}

/// Changes the table, and returns how many rows were changed.
async fn change(
    table: Arc<Table>,
    view: Arc<PinnedView>,
    found: FoundRows,
    mut rows: Vec<RowStream>,
    mut keys: Option<GatheredKeys>,
) -> CayenneResult<u64> {
    let writes = found.change().writes();
    if !writes {
        // No rows are added, so all rows to hide are found first: the change may then leave some of them out.
        for stream in &mut rows {
            while let Some(batch) = stream.try_next().await? {
                let Some(keys) = &mut keys else { continue };
                if let Some(many) = keys.add(batch)? {
                    found.look_up(&table, &view, &many).await?;
                }
            }
        }
        rows.clear();
        if let Some(rest) = keys.map_or(Ok(None), |mut keys| keys.take())? {
            found.look_up(&table, &view, &rest).await?;
        }
        if found.changed() == 0 {
            return Ok(0);
        }
    }
    let hidden = found.hidden().clone();
    let written = table.change(RowChange { view, hidden, rows }).await?;
    Ok(if writes { found.changed() } else { written.rows_removed })
}

impl DisplayAs for ChangeExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (change, table) = (&self.change, self.table.name());
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "CayenneChange: {change} {table}"),
            DisplayFormatType::TreeRender => write!(f, "{change} {table}"),
        }
    }
}

impl ExecutionPlan for ChangeExec {
    fn name(&self) -> &'static str {
        "CayenneChange"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        // Row positions are only a few bytes each, so one stream is enough to read them.
        let distribution =
            if self.change.writes() { Distribution::UnspecifiedDistribution } else { Distribution::SinglePartition };
        InputDistributionRequirements::new(vec![distribution])
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Ordered input is stored in its order. Repartitioning would interleave the rows.
        vec![self.change.writes() && self.input.properties().output_ordering().is_none()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    // Deprecated, but still a required method of the trait.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let input = input.ok_or_else(|| DataFusionError::Internal("CayenneChange has one input".to_owned()))?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.table), Arc::clone(&self.view), self.change.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal("CayenneChange has one partition".to_owned()));
        }
        let found = self.found();
        let rows = self.rows(&found, &context)?;
        let (table, view) = (Arc::clone(&self.table), Arc::clone(&self.view));
        let keys = (self.change == Change::DeleteKeys).then(|| GatheredKeys::new(context.memory_pool()));
        let changed = async move {
            let count = change(table, view, found, rows, keys).await.map_err(external)?;
            Ok(RecordBatch::try_new(count_schema(), vec![Arc::new(UInt64Array::from(vec![count]))])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), futures::stream::once(changed))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
