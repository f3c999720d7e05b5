//! Decoding the pieces of a column into one array.

use vortex::array::builders::{ArrayBuilder, builder_with_capacity_in};
use vortex::array::dtype::DType;
use vortex::array::{ArrayRef, ExecutionCtx};
use vortex::error::{VortexResult, vortex_err};
use vortex::mask::Mask;

use super::column::Piece;

/// Up to this many values of one array are read one by one; more are cheaper to filter out of it, as scans do.
const SINGLE_VALUES_MAX: usize = 16;

/// Returns the values of all pieces, decoded: `count` of them.
pub(super) fn of_pieces(
    dtype: &DType,
    pieces: &[Piece],
    count: usize,
    ctx: &mut ExecutionCtx,
) -> VortexResult<ArrayRef> {
    let mut values = builder_with_capacity_in(dtype, count, ctx.allocator());
    for piece in pieces {
        append(piece, values.as_mut(), ctx)?;
    }
    if values.len() != count {
        return Err(vortex_err!("{count} rows were asked for and {} found", values.len()));
    }
    Ok(values.finish())
}

fn append(piece: &Piece, values: &mut dyn ArrayBuilder, ctx: &mut ExecutionCtx) -> VortexResult<()> {
    let Piece { array, rows } = piece;
    if rows.len() > SINGLE_VALUES_MAX {
        let mask = Mask::from_indices(array.len(), rows.clone());
        return array.filter(mask)?.append_to_builder(values, ctx);
    }
    for row in rows {
        values.append_scalar(&array.execute_scalar(*row, ctx)?)?;
    }
    Ok(())
}
