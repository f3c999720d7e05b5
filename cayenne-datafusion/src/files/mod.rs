//! Files as tables: their kinds, the dialects of text files, and how SQL and loads read them.

mod bytes;
mod dialect;
mod envelope;
mod external;
mod find;
mod kind;
mod locate;
mod open;
mod place;
mod records;
mod shape;
mod sniff;
#[cfg(test)]
mod sniff_property;
mod text;
mod text_format;
mod text_source;

pub use dialect::{ColumnOption, Dialect, TextOptions, parse_mark};
pub use envelope::check_outside;
pub(crate) use external::install;
pub use find::{SourceFile, find_files};
pub use kind::{FileKind, compression_of_bytes};
pub(crate) use open::{missing, open};
pub use place::literal_url;
pub use text::TextFile;
