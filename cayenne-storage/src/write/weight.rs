//! The bytes that the rows of a batch take, whatever larger buffers they are slices of.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ByteArrayType, ByteViewType};
use arrow_array::{Array, ArrayRef, GenericByteArray, GenericByteViewArray, OffsetSizeTrait, RecordBatch};
use arrow_schema::DataType;

/// Returns the bytes of all columns.
pub(crate) fn batch_bytes(rows: &RecordBatch) -> u64 {
    rows.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> u64 {
    let nulls = if array.null_count() > 0 { array.len() as u64 / 8 } else { 0 };
    nulls + value_bytes(array)
}

fn value_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8 => text_bytes(array.as_string::<i32>()),
        DataType::LargeUtf8 => text_bytes(array.as_string::<i64>()),
        DataType::Binary => text_bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => text_bytes(array.as_binary::<i64>()),
        DataType::Utf8View => view_bytes(array.as_string_view()),
        DataType::BinaryView => view_bytes(array.as_binary_view()),
        DataType::List(_) => list_bytes::<i32>(array),
        DataType::LargeList(_) => list_bytes::<i64>(array),
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, last) = ends(map.offsets());
            let entries: ArrayRef = Arc::new(map.entries().slice(first, last - first));
            array.len() as u64 * 4 + array_bytes(&entries)
        }
        DataType::FixedSizeList(..) => array_bytes(array.as_fixed_size_list().values()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        other => match other.primitive_width() {
            Some(width) => array.len() as u64 * width as u64,
            None => array.to_data().get_slice_memory_size().unwrap_or_default() as u64,
        },
    }
}

fn text_bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> u64 {
    let (first, last) = ends(array.offsets());
    (last - first) as u64 + size_of_val(array.value_offsets()) as u64
}

/// Short values are stored in their views of 16 bytes, long ones in other buffers. Buffers that are small compared with
/// the views are counted whole: counting only the visible bytes would cost more than it is worth.
fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> u64 {
    let views = array.len() as u64 * 16;
    let buffers: u64 = array.data_buffers().iter().map(|buffer| buffer.len() as u64).sum();
    if buffers <= views * 4 {
        return views + buffers;
    }
    views + array.lengths().filter(|length| *length > 12).map(u64::from).sum::<u64>()
}

fn list_bytes<O: OffsetSizeTrait>(array: &ArrayRef) -> u64 {
    let lists = array.as_list::<O>();
    let (first, last) = ends(lists.offsets());
    let values = lists.values().slice(first, last - first);
    size_of_val(lists.value_offsets()) as u64 + array_bytes(&values)
}

fn ends<O: OffsetSizeTrait>(offsets: &[O]) -> (usize, usize) {
    let at = |offset: Option<&O>| offset.map_or(0, |offset| offset.as_usize());
    (at(offsets.first()), at(offsets.last()))
}
