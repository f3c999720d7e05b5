//! How much room a folder takes, and how numbers of that size are written.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::path::Path;

use crate::failure::{Failure, Result};

/// Returns the length of all files below `folder`, each counted once however many names it has.
///
/// Cargo links its results into several places; counting names would double the size of a target folder. A file that
/// disappears meanwhile counts as nothing.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| Failure::at(&folder, &error))?;
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if first_sight(&metadata, &mut seen) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

/// Whether this file was not met before under another name.
#[cfg(unix)]
fn first_sight(metadata: &Metadata, seen: &mut HashSet<(u64, u64)>) -> bool {
    use std::os::unix::fs::MetadataExt;

    metadata.nlink() <= 1 || seen.insert((metadata.dev(), metadata.ino()))
}

/// Other systems do not tell; there every name counts.
#[cfg(not(unix))]
fn first_sight(_metadata: &Metadata, _seen: &mut HashSet<(u64, u64)>) -> bool {
    true
}

/// Writes a size with one decimal in the largest unit that leaves something before the point.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// Writes a count with a comma after every three digits.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_their_unit() {
        assert_eq!(human_bytes(999), "999 bytes");
        assert_eq!(human_bytes(1_000), "1.0 kB");
        assert_eq!(human_bytes(25_950_000), "25.9 MB");
        assert_eq!(human_bytes(9_800_000_001), "9.8 GB");
    }

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(600_572), "600,572");
        assert_eq!(grouped(6_001_215), "6,001,215");
    }

    #[test]
    fn missing_folder_is_named() {
        let failure = folder_bytes(Path::new("no/such/folder")).unwrap_err();
        assert!(failure.to_string().contains("no/such/folder"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn file_with_two_names_counts_once() {
        let folder = std::env::temp_dir().join(format!("xtask-disk-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::write(folder.join("one"), [0; 100]).unwrap();
        fs::write(folder.join("inner/other"), [0; 11]).unwrap();
        fs::hard_link(folder.join("one"), folder.join("inner/one-again")).unwrap();
        let bytes = folder_bytes(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(bytes, Ok(111));
    }
}
