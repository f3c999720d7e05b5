//! The Vortex session for writing and reading files: Vortex's own, and one decoding kernel that it lacks.

use vortex::VortexSessionDefault as _;
use vortex::array::arrays::{Filter, PrimitiveArray};
use vortex::array::optimizer::kernels::KernelSession;
use vortex::array::{ArrayRef, ArrayVTable as _, ExecutionCtx, IntoArray as _};
use vortex::encodings::alp::{ALP, ALPArrayExt as _};
use vortex::encodings::parquet_variant;
use vortex::error::VortexResult;
use vortex::file::register_default_encodings;
use vortex::io::session::RuntimeSessionExt as _;
use vortex::session::VortexSession;

/// Decoding all values pays if at least one in this many is an exception.
const VALUES_PER_PATCH: usize = 128;

/// Returns a session with everything that Vortex has by default.
pub(crate) fn session() -> VortexSession {
    // The first registered of several kernels is tried first, and the default session comes with Vortex's own. So the
    // session gets a new registry that begins with our kernel, and then registers Vortex's own once more.
    let kernels = KernelSession::default();
    kernels.register_execute_parent(Filter.id(), ALP.id(), &[filter_after_decoding]);
    let session = VortexSession::default().with_tokio();
    session.register(kernels);
    parquet_variant::initialize(&session);
    register_default_encodings(&session);
    session
}

/// Filters floating-point numbers after they are decoded, if most of them stay and the encoding has exceptions.
///
/// Vortex filters first, and counts for each exception how many rows before it stay. If rows are hidden all over a
/// file, that takes a fifth of the time of decoding it.
fn filter_after_decoding(
    child: &ArrayRef,
    parent: &ArrayRef,
    _place: usize,
    ctx: &mut ExecutionCtx,
) -> VortexResult<Option<ArrayRef>> {
    let (Some(numbers), Some(filter)) = (child.as_opt::<ALP>(), parent.as_opt::<Filter>()) else { return Ok(None) };
    let mask = filter.filter_mask();
    let (all, stay) = (mask.len(), mask.true_count());
    let exceptions = numbers.patches().map_or(0, |patches| patches.num_patches());
    if stay == all || stay < all / 2 || exceptions < all / VALUES_PER_PATCH {
        return Ok(None);
    }
    let decoded = child.clone().execute::<PrimitiveArray>(ctx)?;
    Ok(Some(decoded.into_array().filter(mask.clone())?))
}

#[cfg(test)]
mod tests {
    use vortex::array::VortexSessionExecute as _;
    use vortex::array::arrays::{Dict, Slice};
    use vortex::array::optimizer::kernels::ArrayKernelsExt as _;
    use vortex::array::session::ArraySessionExt as _;
    use vortex::encodings::alp::alp_encode;
    use vortex::mask::Mask;
    use vortex::scalar_fn::fns::binary::Binary;
    use vortex::scalar_fn::fns::cast::Cast;
    use vortex::scalar_fn::{self, ScalarFnVTable as _};

    use super::*;

    #[test]
    fn registry_has_what_the_default_one_has() {
        let (ours, default) = (session(), VortexSession::default());
        let encodings: Vec<_> = default.arrays().registry().read(|known| known.keys().copied().collect());
        let functions = [Binary.id(), Cast.id(), scalar_fn::fns::mask::Mask.id()];
        let mut pairs = 0;
        for parent in encodings.iter().chain(&functions).chain(&[Filter.id(), Slice.id(), Dict.id()]) {
            for child in &encodings {
                let has = default.kernels().has_execute_parent(*parent, *child);
                assert_eq!(ours.kernels().has_execute_parent(*parent, *child), has, "{parent} of {child}");
                pairs += usize::from(has);
            }
        }
        assert!(pairs > 30, "{pairs}");
    }

    /// Prices, and numbers that no decimal of few digits represents exactly.
    fn numbers() -> Vec<Option<f64>> {
        let number = |row: u32| match row % 97 {
            0..5 => Some(std::f64::consts::PI * f64::from(row)),
            7 => None,
            _ => Some(f64::from(row % 1000) / 100.0),
        };
        (0..3000).map(number).collect()
    }

    #[test]
    fn filtered_numbers_are_those_that_stay() {
        let session = session();
        let all = numbers();
        // From few hidden rows to few visible rows: with our kernel, and with Vortex's own.
        for every in [1, 2, 3, 10, 100, 4000] {
            for keeps in [true, false] {
                let stays = |row: usize| row.is_multiple_of(every) == keeps;
                let mut ctx = session.create_execution_ctx();
                let primitive = PrimitiveArray::from_option_iter(all.clone());
                let encoded = alp_encode(primitive.as_view(), None, &mut ctx).unwrap();
                assert!(encoded.patches().is_some_and(|patches| patches.num_patches() > 100));
                let mask: Mask = (0..all.len()).map(stays).collect();
                let filtered = encoded.into_array().filter(mask).unwrap();
                let found = filtered.execute::<PrimitiveArray>(&mut ctx).unwrap();
                let expected = all.iter().enumerate().filter(|(row, _)| stays(*row)).map(|(_, number)| *number);
                let expected = PrimitiveArray::from_option_iter(expected);
                assert_eq!(found.as_slice::<f64>().len(), expected.as_slice::<f64>().len());
                let shown = |array: PrimitiveArray, ctx: &mut ExecutionCtx| {
                    let valid = array.validity().unwrap().execute_mask(array.as_slice::<f64>().len(), ctx).unwrap();
                    let numbers = array.as_slice::<f64>().iter().enumerate();
                    numbers.map(|(row, number)| valid.value(row).then_some(number.to_bits())).collect::<Vec<_>>()
                };
                assert_eq!(shown(found, &mut ctx), shown(expected, &mut ctx), "every {every}, {keeps}");
            }
        }
    }
}
