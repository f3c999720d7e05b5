//! A DataFusion filter as a function that Vortex evaluates.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use parking_lot::Mutex;
use vortex::array::arrays::{BoolArray, ConstantArray};
use vortex::array::validity::Validity;
use vortex::array::{ArrayRef, ExecutionCtx, IntoArray as _};
use vortex::arrow::ArrowSessionExt as _;
use vortex::dtype::{DType, Nullability};
use vortex::error::VortexResult;
use vortex::scalar_fn::{Arity, ChildName, ExecutionArgs, ScalarFnId, ScalarFnVTable};
use vortex::session::registry::CachedId;

use super::domain::{Domain, Range};
use super::runs::once_per_run;
use super::{Trust, check};

/// Number of rows after which it is known whether evaluating the filter pays off.
const SAMPLE_ROWS: u64 = 64 * 1024;
/// Evaluating the filter does not pay off if more than this share of the rows passes, in percent.
const PASSING_PERCENT: u64 = 80;
/// Number of skipped batches after which a filter that does not pay off is tried again, because later rows may differ.
const RETRY_BATCHES: u64 = 16;

/// Number of rows that the dynamic filters of a scan have checked and dropped, for `EXPLAIN ANALYZE`.
#[derive(Clone, Debug)]
pub(crate) struct DynamicFilterCounts {
    checked: Count,
    dropped: Count,
}

impl DynamicFilterCounts {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        let counter = |name| MetricBuilder::new(metrics).global_counter(name);
        Self { checked: counter("dynamic_filter_rows_checked"), dropped: counter("dynamic_filter_rows_dropped") }
    }
}

/// A function that is true for the rows that pass the filter in its options. Its arguments are the columns of the
/// filter.
#[derive(Clone, Debug)]
pub(super) struct DynamicFilter;

/// The filter, and its statistics so far. Two values are equal only if they share one filter instance.
#[derive(Clone)]
pub(super) struct RowFilter(Arc<Inner>);

struct Inner {
    filter: Arc<dyn PhysicalExpr>,
    columns: SchemaRef,
    trust: Trust,
    learnt: Mutex<Learnt>,
    counts: DynamicFilterCounts,
}

/// Statistics of the filter so far. Older rows have less weight.
#[derive(Default)]
struct Learnt {
    rows: u64,
    passed: u64,
    rows_in_all: u64,
    skipped_batches: u64,
    has_failed: bool,
    integers: Integers,
}

/// The answers of the filter for the integers that can pass.
#[derive(Clone, Default)]
enum Integers {
    /// No thread has computed them yet.
    #[default]
    NotAsked,
    /// A thread is computing them; the others evaluate their rows meanwhile.
    Asking,
    /// The answers, or `None` if they cannot be looked up for this filter.
    Asked(Option<Arc<Domain>>),
}

impl RowFilter {
    /// Returns a row filter. `filter` names columns by their index in `columns`.
    pub(super) fn new(
        filter: Arc<dyn PhysicalExpr>,
        columns: SchemaRef,
        trust: Trust,
        counts: DynamicFilterCounts,
    ) -> Self {
        Self(Arc::new(Inner { filter, columns, trust, learnt: Mutex::default(), counts }))
    }

    /// Returns the current filter, or `None` if all rows pass, or so many that evaluating it does not pay off.
    fn current(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        if self.0.learnt.lock().has_failed {
            return Ok(None);
        }
        let now = self.0.trust.current(&self.0.filter)?;
        Ok(now.filter(|_| self.0.learnt.lock().pays()))
    }

    /// Returns the rows that pass, or `None` if all pass or it is not known.
    ///
    /// Computing a key may fail for rows that another filter excludes. The operator above computes the key again for
    /// the remaining rows, and returns an error if it fails there. A failure here only ends the use of this filter.
    fn ask(&self, rows: impl FnOnce() -> Result<RecordBatch>) -> Option<BooleanArray> {
        let asked = match self.current() {
            Ok(None) => return None,
            Ok(Some(now)) => rows().and_then(|rows| self.passing(&now, &rows)),
            Err(error) => Err(error),
        };
        asked.inspect_err(|_| self.0.learnt.lock().has_failed = true).ok()
    }

    fn passing(&self, filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
        let looked_up = match (self.domain(filter)?, batch.columns()) {
            (Some(domain), [column]) => domain.passing(column),
            _ => None,
        };
        let passing = match looked_up {
            Some(passing) => passing,
            None if check::has_members(filter) => once_per_run(batch, |rows| check::passing(filter, rows))?,
            None => check::passing(filter, batch)?,
        };
        self.note(batch.num_rows(), passing.true_count());
        Ok(passing)
    }

    /// Returns the answers for all integers that can pass. They are computed once as many rows have been checked as
    /// there are such integers, so computing them costs no more than checking those rows did.
    fn domain(&self, filter: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<Domain>>> {
        // Comparing with bounds alone is as fast as a lookup, and the bounds of a top-k change.
        let range = Range::of(filter, &self.0.columns).filter(|_| check::has_members(filter));
        let Some(range) = range else { return Ok(None) };
        {
            let mut learnt = self.0.learnt.lock();
            match &learnt.integers {
                Integers::Asked(domain) => return Ok(domain.clone()),
                Integers::NotAsked if range.rows() <= learnt.rows_in_all => learnt.integers = Integers::Asking,
                Integers::NotAsked | Integers::Asking => return Ok(None),
            }
        }
        let domain = Domain::ask(filter, &self.0.columns, range)?.map(Arc::new);
        self.0.learnt.lock().integers = Integers::Asked(domain.clone());
        Ok(domain)
    }

    fn note(&self, rows: usize, passed: usize) {
        self.0.counts.checked.add(rows);
        self.0.counts.dropped.add(rows - passed);
        self.0.learnt.lock().learn(rows as u64, passed as u64);
    }
}

impl Learnt {
    fn pays(&mut self) -> bool {
        if self.rows < SAMPLE_ROWS || self.passed * 100 <= self.rows * PASSING_PERCENT {
            return true;
        }
        self.skipped_batches += 1;
        self.skipped_batches.is_multiple_of(RETRY_BATCHES)
    }

    fn learn(&mut self, rows: u64, passed: u64) {
        self.rows_in_all += rows;
        self.rows += rows;
        self.passed += passed;
        if self.rows >= 2 * SAMPLE_ROWS {
            self.rows /= 2;
            self.passed /= 2;
        }
    }
}

impl ScalarFnVTable for DynamicFilter {
    type Options = RowFilter;

    fn id(&self) -> ScalarFnId {
        static ID: CachedId = CachedId::new("cayenne.dynamic_filter");
        *ID
    }

    fn arity(&self, filter: &RowFilter) -> Arity {
        Arity::Exact(filter.0.columns.fields().len())
    }

    fn child_name(&self, filter: &RowFilter, index: usize) -> ChildName {
        let name = filter.0.columns.fields().get(index).map_or_else(String::new, |field| field.name().clone());
        ChildName::from(Arc::<str>::from(name))
    }

    fn return_dtype(&self, _: &RowFilter, _: &[DType]) -> VortexResult<DType> {
        Ok(DType::Bool(Nullability::NonNullable))
    }

    fn execute(&self, filter: &RowFilter, args: &dyn ExecutionArgs, ctx: &mut ExecutionCtx) -> VortexResult<ArrayRef> {
        let rows = args.row_count();
        let session = ctx.session().clone();
        let schema = &filter.0.columns;
        let passing = filter.ask(|| {
            let columns = schema.fields().iter().enumerate();
            let columns = columns.map(|(at, field)| {
                let column = args.get(at)?;
                session.arrow().execute_arrow(column, Some(field.as_ref()), ctx)
            });
            let columns = columns.collect::<VortexResult<Vec<_>>>().map_err(|error| exec_datafusion_err!("{error}"))?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
        });
        Ok(match passing {
            Some(passing) => BoolArray::new(passing.into_parts().0.into(), Validity::NonNullable).into_array(),
            None => ConstantArray::new(true, rows).into_array(),
        })
    }

    /// Returns true: rows for which the filter fails count as passing. It may thus be evaluated on values that no row
    /// uses.
    fn is_infallible(&self, _: &RowFilter) -> bool {
        true
    }
}

impl PartialEq for RowFilter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RowFilter {}

impl Hash for RowFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RowFilter").field(&self.0.filter).finish()
    }
}

impl fmt::Display for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.filter, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_stops_where_nearly_all_rows_pass_and_is_tried_again() {
        let mut learnt = Learnt::default();
        assert!(learnt.pays());
        learnt.learn(SAMPLE_ROWS, SAMPLE_ROWS);
        let asked: Vec<u64> = (1..=RETRY_BATCHES).filter(|_| learnt.pays()).collect();
        assert_eq!(asked, [RETRY_BATCHES]);
        // Later hardly any row passes: after a few retries the filter pays off again.
        let retries = (1..100).find(|_| {
            learnt.learn(SAMPLE_ROWS / 2, 0);
            learnt.pays()
        });
        assert!(retries.is_some_and(|retries| retries < 4), "{retries:?}");
    }
}
