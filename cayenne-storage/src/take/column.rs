//! The layout of a column in a file, as far as reading single rows needs it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use vortex::array::arrays::DictArray;
use vortex::array::dtype::DType;
use vortex::array::expr::root;
use vortex::array::serde::SerializedArray;
use vortex::array::{ArrayRef, IntoArray as _, MaskFuture};
use vortex::error::{VortexError, VortexResult, vortex_err};
use vortex::layout::layouts::dict::DictLayout;
use vortex::layout::layouts::flat::FlatLayout;
use vortex::layout::layouts::struct_::StructLayout;
use vortex::layout::{LayoutChildType, LayoutReaderContext, LayoutRef};
use vortex::mask::Mask;
use vortex::session::VortexSession;

use super::Segments;

/// Values of a column: an encoded array, and the rows that are selected from it.
pub(super) struct Piece {
    pub(super) array: ArrayRef,
    /// Ascending.
    pub(super) rows: Vec<usize>,
}

/// A column of a file, or a part of one.
pub(super) struct Column {
    layout: LayoutRef,
    kind: Kind,
}

enum Kind {
    /// One segment, which is one array.
    Segment(FlatLayout),
    /// Consecutive parts: the first row of each part, and the part once it has been needed.
    Parts(Vec<(u64, OnceLock<Column>)>),
    /// Numbers that select values, and the values.
    Dictionary { codes: Box<Column>, values: Box<Column> },
    /// What Vortex itself has to read: lists and nested structs.
    Other,
}

/// Returns the columns of a file, in their order.
pub(super) fn columns_of(root: &LayoutRef) -> VortexResult<Vec<Column>> {
    let fields = root.as_any().downcast_ref::<StructLayout>();
    let fields = fields.ok_or_else(|| vortex_err!("the file has no columns, but {}", root.encoding_id()))?;
    let is_field = |slot: &usize| matches!(root.slot_type(*slot), Some(LayoutChildType::Field(_)));
    let columns: Vec<Column> =
        (0..root.nslots()).filter(is_field).map(|slot| Column::of_slot(root, slot)).collect::<VortexResult<_>>()?;
    if columns.len() == fields.struct_fields().nfields() && !root.dtype().is_nullable() {
        Ok(columns)
    } else {
        Err(vortex_err!("the file has rows that are null"))
    }
}

impl Column {
    fn of_slot(layout: &LayoutRef, slot: usize) -> VortexResult<Self> {
        let child = layout.slot(slot)?.ok_or_else(|| vortex_err!("{} without slot {slot}", layout.encoding_id()))?;
        Self::new(child)
    }

    fn new(layout: LayoutRef) -> VortexResult<Self> {
        if let Some(segment) = layout.as_any().downcast_ref::<FlatLayout>() {
            return Ok(Self { kind: Kind::Segment(segment.clone()), layout });
        }
        if layout.as_any().is::<DictLayout>() {
            let [values, codes] = [0, 1].map(|slot| Self::of_slot(&layout, slot).map(Box::new));
            return Ok(Self { kind: Kind::Dictionary { codes: codes?, values: values? }, layout });
        }
        let slots = || (0..layout.nslots()).filter_map(|slot| Some((slot, layout.slot_type(slot)?)));
        // The same rows, with statistics next to them.
        if let Some((slot, _)) = slots().find(|(_, kind)| matches!(kind, LayoutChildType::Transparent(_))) {
            return Self::of_slot(&layout, slot);
        }
        let begin = |(_, kind)| match kind {
            LayoutChildType::Chunk((_, begin)) => Some((begin, OnceLock::new())),
            _ => None,
        };
        let parts: Option<Vec<_>> = slots().map(begin).collect();
        let kind = parts.filter(|parts| parts.len() == layout.nslots() && !parts.is_empty());
        Ok(Self { kind: kind.map_or(Kind::Other, Kind::Parts), layout })
    }

    pub(super) fn dtype(&self) -> &DType {
        self.layout.dtype()
    }

    /// Returns the values of these rows, which ascend: the rows of all pieces, one piece after the other.
    pub(super) fn pieces<'a>(
        &'a self,
        segments: &'a Arc<Segments>,
        session: &'a VortexSession,
        rows: &'a [u64],
    ) -> BoxFuture<'a, VortexResult<Vec<Piece>>> {
        match &self.kind {
            Kind::Segment(segment) => async move {
                let array = array_of(segment, segments, session).await?;
                Ok(vec![Piece { array, rows: in_memory(rows, 0)? }])
            }
            .boxed(),
            Kind::Parts(parts) => self.pieces_of_parts(parts, segments, session, rows).boxed(),
            Kind::Dictionary { codes, values } => async move {
                let values = values.whole(segments, session).await?;
                let codes = codes.pieces(segments, session, rows).await?;
                codes.into_iter().map(|codes| codes.of_dictionary(&values)).collect()
            }
            .boxed(),
            Kind::Other => self.evaluated(segments, session, rows).boxed(),
        }
    }

    async fn pieces_of_parts(
        &self,
        parts: &[(u64, OnceLock<Self>)],
        segments: &Arc<Segments>,
        session: &VortexSession,
        mut rows: &[u64],
    ) -> VortexResult<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(first) = rows.first() {
            let place = parts.partition_point(|(begin, _)| begin <= first).saturating_sub(1);
            let Some((begin, part)) = parts.get(place) else { break };
            let end = parts.get(place + 1).map_or(u64::MAX, |(begin, _)| *begin);
            let (now, later) = rows.split_at(rows.partition_point(|row| *row < end));
            let now: Vec<u64> = now.iter().map(|row| row - begin).collect();
            let part = if let Some(part) = part.get() {
                part
            } else {
                let made = Self::of_slot(&self.layout, place)?;
                part.get_or_init(|| made)
            };
            pieces.extend(part.pieces(segments, session, &now).await?);
            rows = later;
        }
        Ok(pieces)
    }

    /// Returns all values, still encoded.
    async fn whole(&self, segments: &Arc<Segments>, session: &VortexSession) -> VortexResult<ArrayRef> {
        if let Kind::Segment(segment) = &self.kind {
            return array_of(segment, segments, session).await;
        }
        self.evaluate(segments, session, 0..self.layout.row_count(), None).await
    }

    /// Returns the values of exactly these rows.
    async fn evaluated(
        &self,
        segments: &Arc<Segments>,
        session: &VortexSession,
        rows: &[u64],
    ) -> VortexResult<Vec<Piece>> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let places = in_memory(rows, *first)?;
        let array = self.evaluate(segments, session, *first..last + 1, Some(places)).await?;
        Ok(vec![Piece { rows: (0..array.len()).collect(), array }])
    }

    async fn evaluate(
        &self,
        segments: &Arc<Segments>,
        session: &VortexSession,
        range: Range<u64>,
        places: Option<Vec<usize>>,
    ) -> VortexResult<ArrayRef> {
        let length = usize::try_from(range.end - range.start).map_err(VortexError::from)?;
        let mask = match places {
            None => MaskFuture::new_true(length),
            Some(places) => MaskFuture::ready(Mask::from_indices(length, places)),
        };
        let source = Arc::clone(segments) as Arc<_>;
        let reader = self.layout.dyn_new_reader("".into(), source, session, &LayoutReaderContext::default())?;
        let all = root().bind(self.dtype())?;
        reader.projection_evaluation(&range, &all, mask)?.await
    }
}

impl Piece {
    fn of_dictionary(self, values: &ArrayRef) -> VortexResult<Self> {
        let array = DictArray::try_new(self.array, values.clone())?.into_array();
        Ok(Self { array, rows: self.rows })
    }
}

/// Returns the array that a segment holds, from the segment cache if it was parsed before.
fn array_of<'a>(
    layout: &'a FlatLayout,
    segments: &'a Segments,
    session: &'a VortexSession,
) -> impl Future<Output = VortexResult<ArrayRef>> + 'a {
    segments.array(layout.segment_id(), move |segment| {
        let rows = usize::try_from(layout.row_count()).map_err(VortexError::from)?;
        let array = match layout.array_tree() {
            Some(tree) => SerializedArray::from_flatbuffer_and_segment(tree.clone(), segment)?,
            None => SerializedArray::try_from(segment)?,
        };
        array.decode(layout.dtype(), rows, layout.array_ctx(), session)
    })
}

fn in_memory(rows: &[u64], begin: u64) -> VortexResult<Vec<usize>> {
    rows.iter().map(|row| usize::try_from(row - begin).map_err(VortexError::from)).collect()
}
