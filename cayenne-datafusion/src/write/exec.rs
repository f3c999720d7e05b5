//! The execution plan node that writes rows. It does nothing until it is executed, and commits at most once.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use cayenne_storage::{RowStream, Storage};
use cayenne_table::Table;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use futures::stream::select_all;

use crate::error::{error_of, external};
use crate::write::target::WriteTarget;

/// Writes all rows of its input in one commit, each input partition in its own order. Returns the number of rows.
///
/// Nothing happens before execution. A stream that is dropped before its end commits nothing.
#[derive(Debug)]
pub(crate) struct WriteExec {
    input: Option<Arc<dyn ExecutionPlan>>,
    target: WriteTarget,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WriteExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, target: WriteTarget) -> Self {
        Self::with(Some(input), target)
    }

    pub(crate) fn truncate(table: Arc<Table>) -> Self {
        Self::with(None, WriteTarget::Truncate(table))
    }

    fn with(input: Option<Arc<dyn ExecutionPlan>>, target: WriteTarget) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, target, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn rows(&self, context: &Arc<TaskContext>) -> Result<Vec<RowStream>> {
        let Some(input) = &self.input else {
            return Ok(Vec::new());
        };
        let read = Read::new(&self.metrics);
        let partitions = input.properties().partitioning.partition_count();
        let streams = (0..partitions).map(|partition| Ok(read.count(input.execute(partition, Arc::clone(context))?)));
        Ok(read_at_once(streams.collect::<Result<_>>()?, self.target.storage()))
    }
}

/// Merges streams until there are no more of them than a write reads concurrently.
///
/// The partitions of a join wait for each other: if one of them is not polled, the others may never end.
pub(crate) fn read_at_once(mut streams: Vec<RowStream>, storage: &Storage) -> Vec<RowStream> {
    let at_once = storage.settings().write_concurrency.get();
    if streams.len() <= at_once {
        return streams;
    }
    let mut together: Vec<Vec<RowStream>> = (0..at_once).map(|_| Vec::new()).collect();
    while !streams.is_empty() {
        for group in &mut together {
            group.extend(streams.pop());
        }
    }
    together.into_iter().map(|group| select_all(group).boxed()).collect()
}

/// Counts the rows and bytes that a write reads.
#[derive(Clone)]
pub(crate) struct Read {
    rows: Count,
    bytes: Count,
}

impl Read {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        let counter = |name| MetricBuilder::new(metrics).global_counter(name);
        Self { rows: counter("rows_read"), bytes: counter("bytes_read") }
    }

    pub(crate) fn count(&self, stream: SendableRecordBatchStream) -> RowStream {
        let read = self.clone();
        stream
            .map(move |batch| {
                let batch = batch.map_err(error_of)?;
                read.rows.add(batch.num_rows());
                read.bytes.add(batch.get_array_memory_size());
                Ok(batch)
            })
            .boxed()
    }
}

/// Returns the schema of the result: the number of rows.
pub(crate) fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]))
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "CayenneWrite: {}", self.target),
            DisplayFormatType::TreeRender => write!(f, "{}", self.target),
        }
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &'static str {
        "CayenneWrite"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Ordered rows are stored in their order, and the last of several rows with one key is kept. Repartitioning
        // would interleave the rows.
        let may_be_mixed = |input: &Arc<dyn ExecutionPlan>| {
            input.properties().output_ordering().is_none() && !self.target.keeps_arrival_order()
        };
        self.input.iter().map(may_be_mixed).collect()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.input.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    // Deprecated, but still a required method of the trait.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::with(children.into_iter().next(), self.target.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal("CayenneWrite has one partition".to_owned()));
        }
        let rows = self.rows(&context)?;
        let schema = self.input.as_ref().map(|input| input.schema());
        let target = self.target.clone();
        let written = async move {
            let count = target.write(schema, rows).await.map_err(external)?;
            Ok(RecordBatch::try_new(count_schema(), vec![Arc::new(UInt64Array::from(vec![count]))])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), futures::stream::once(written))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
