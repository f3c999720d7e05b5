//! Tables and views as folders of their own: export and import.

pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod view_slice;
