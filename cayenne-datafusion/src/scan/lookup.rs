//! The plan node that reads only rows that were looked up by their keys.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use cayenne_format::{DeletionMode, Sequence, TableName};
use cayenne_table::PinnedView;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs};
use futures::StreamExt;

use crate::scan::direct::{DirectFiles, DirectScan};
use crate::scan::plan::Scan;

/// Reads a few rows of a table by their positions. It is a leaf with one partition.
#[derive(Debug)]
pub(crate) struct LookupExec {
    table: TableName,
    deletion_mode: DeletionMode,
    files: DirectFiles,
    rows: DirectScan,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Keeps the files alive.
    view: Arc<PinnedView>,
}

impl LookupExec {
    pub(crate) fn new(scan: &Scan<'_>, projection: Option<&[usize]>, files: DirectFiles) -> Result<Self> {
        let all = scan.schema();
        let is_all = |columns: &[usize]| columns.iter().copied().eq(0..all.fields().len());
        let some = projection.filter(|columns| !is_all(columns));
        let schema = some.map_or(Ok(Arc::clone(all)), |columns| all.project(columns).map(Arc::new))?;
        let projection = some.map(|columns| ProjectionExprs::from_indices(columns, all));
        let rows = DirectScan::new(Arc::clone(scan.table), scan.identity.cloned(), None, projection.as_ref())?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            table: scan.table.name().clone(),
            deletion_mode: scan.table.options().deletion_mode.in_force(),
            files,
            rows,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            view: Arc::clone(&scan.view),
        })
    }

    /// Returns the metrics of the node, to which counters can be added.
    pub(crate) fn counters(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn sequence(&self) -> Sequence {
        self.view.sequence()
    }

    fn columns(&self) -> &SchemaRef {
        self.properties.eq_properties.schema()
    }
}

impl DisplayAs for LookupExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, sequence) = (&self.table, self.sequence());
        let files = format!("{}/{}", self.files.0.len(), self.view.files().len());
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let columns: Vec<_> = self.columns().fields().iter().map(|field| field.name().as_str()).collect();
                let columns = columns.join(", ");
                write!(f, "CayenneLookup: table={table}, sequence={sequence}, files={files}, projection=[{columns}]")?;
                write!(f, ", deletion_mode={}", self.deletion_mode)
            }
            DisplayFormatType::TreeRender => write!(f, "table={table}\nsequence={sequence}\nfiles={files}"),
        }
    }
}

impl ExecutionPlan for LookupExec {
    fn name(&self) -> &'static str {
        "CayenneLookup"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    // Deprecated, but still a required method of the trait.
    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.files.0.iter().map(|file| file.rows.count(&file.file)).sum::<u64>();
        let mut statistics = Statistics::new_unknown(self.columns());
        // With so few rows, the planner does not distribute them to several threads.
        statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal("CayenneLookup has one partition".to_owned()));
        }
        let output = BaselineMetrics::new(&self.metrics, partition);
        let view = Arc::clone(&self.view);
        let rows = self.rows.read(&self.files).inspect(move |batch| {
            if let Ok(batch) = batch {
                output.record_output(batch.num_rows());
            }
            let _kept_alive = &view;
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.columns()), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
