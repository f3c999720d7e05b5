//! A predicate that is evaluated on zone statistics only, not on rows.

use vortex::array::arrays::ConstantArray;
use vortex::array::stats::rewrite::StatsRewriteRule;
use vortex::array::stats::session::StatsSessionExt as _;
use vortex::array::{ArrayRef, ExecutionCtx, IntoArray as _};
use vortex::dtype::{DType, Nullability};
use vortex::error::VortexResult;
use vortex::expr::{BoundExpression, lit};
use vortex::scalar_fn::{
    Arity, ChildName, EmptyOptions, ExecutionArgs, ScalarFnId, ScalarFnVTable, ScalarFnVTableExt as _,
};
use vortex::session::VortexSession;
use vortex::session::registry::CachedId;

/// A function that is true for every row. A zone for which its argument is proven false is excluded.
///
/// Another conjunct of the same filter must imply the argument; that conjunct decides which rows pass.
#[derive(Clone, Debug)]
pub(super) struct ZoneHint;

impl ScalarFnVTable for ZoneHint {
    type Options = EmptyOptions;

    fn id(&self) -> ScalarFnId {
        static ID: CachedId = CachedId::new("cayenne.zone_hint");
        *ID
    }

    fn arity(&self, _: &EmptyOptions) -> Arity {
        Arity::Exact(1)
    }

    fn child_name(&self, _: &EmptyOptions, _: usize) -> ChildName {
        ChildName::from("predicate")
    }

    fn return_dtype(&self, _: &EmptyOptions, _: &[DType]) -> VortexResult<DType> {
        Ok(DType::Bool(Nullability::NonNullable))
    }

    fn execute(&self, _: &EmptyOptions, args: &dyn ExecutionArgs, _: &mut ExecutionCtx) -> VortexResult<ArrayRef> {
        Ok(ConstantArray::new(true, args.row_count()).into_array())
    }

    fn is_infallible(&self, _: &EmptyOptions) -> bool {
        true
    }
}

#[derive(Debug)]
struct ZoneHintRule;

impl StatsRewriteRule for ZoneHintRule {
    fn scalar_fn_id(&self) -> ScalarFnId {
        ZoneHint.id()
    }

    fn falsify(&self, expr: &BoundExpression, session: &VortexSession) -> VortexResult<Option<BoundExpression>> {
        expr.child(0).falsify(session)
    }
}

/// Registers how a [`ZoneHint`] is proven false in a session. Further calls have no effect.
pub(crate) fn register(session: &VortexSession) {
    let hint = ZoneHint.new_expr(EmptyOptions, [lit(false)]);
    let proof = hint.bind(&DType::Null).and_then(|hint| hint.falsify(session));
    if !matches!(proof, Ok(Some(_))) {
        session.stats().register_rewrite(ZoneHintRule);
    }
}
