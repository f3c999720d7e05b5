//! Converts paths into URLs for DataFusion.

use std::fmt::Write;
use std::path::Path;

use cayenne_format::{Error, Result};
use datafusion::datasource::listing::ListingTableUrl;

use crate::error::error_of;

/// Returns the URL of one file, taken literally: in a plain path DataFusion treats `[` and `*` as a pattern.
///
/// # Errors
///
/// The error of the file system if the current folder is not known.
pub fn literal_url(path: &Path) -> Result<ListingTableUrl> {
    let absolute = std::path::absolute(path);
    let path =
        absolute.map_err(|error| Error::io("the path cannot be followed", error).with("file", path.display()))?;
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => {
                // Writing to a String cannot fail.
                let _infallible = write!(url, "%{byte:02X}");
            }
        }
    }
    ListingTableUrl::parse(url).map_err(error_of)
}
