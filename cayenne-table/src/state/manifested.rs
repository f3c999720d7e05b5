//! The state that the last manifest tells.

use std::sync::Arc;

use cayenne_format::SourcePosition;

use crate::View;

/// The state of the table when a manifest was written, or when this process became its writer.
#[derive(Clone, Debug)]
pub(crate) struct Manifested {
    pub(crate) view: Arc<View>,
    pub(crate) sources: Vec<SourcePosition>,
    /// Whether this process has written a manifest of this state.
    pub(crate) is_told: bool,
}
