//! The codec that encodes the keys of a table.

use cayenne_deletes::KeyCodec;
use cayenne_format::{Result, TableId, TableOptions};

/// Returns the codec that encodes the keys of a table, or `None` if the table has no primary key.
///
/// # Errors
///
/// `Invalid` (code `invalid-primary-key`) for columns that cannot be a key.
pub(crate) fn codec_of(
    schema: &arrow_schema::Schema,
    options: &TableOptions,
    table: TableId,
) -> Result<Option<KeyCodec>> {
    if !options.has_key() {
        return Ok(None);
    }
    // The seed stays the same as long as the table exists, and is unknown to a client that chooses keys before the
    // table is created.
    let (_, seed) = table.as_bytes().split_at(8);
    let seed = seed.try_into().map_or(0, u64::from_le_bytes);
    Ok(Some(KeyCodec::new(schema, &options.primary_key)?.with_seed(seed)))
}
