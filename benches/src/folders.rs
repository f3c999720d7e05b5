//! The folders of the benchmark: their location, their size, flushes to disk, and removal from the page cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Result, os};

/// Returns the folder `cayenne` in the user's cache folder. It is on a real disk, whereas `/tmp` may be in memory.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = base.or_else(home).ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("cayenne"))
}

/// Returns the sum of the sizes of all files under `folder`.
pub(crate) fn size_bytes(folder: &Path) -> Result<u64> {
    size_of(files(folder)?)
}

/// Returns the sum of the sizes of all files under `folder` with this extension.
pub(crate) fn size_bytes_of(folder: &Path, extension: &str) -> Result<u64> {
    size_of(files(folder)?.into_iter().filter(|file| file.extension().is_some_and(|found| found == extension)))
}

fn size_of(files: impl IntoIterator<Item = PathBuf>) -> Result<u64> {
    files.into_iter().try_fold(0, |bytes, file| Ok(bytes + fs::metadata(&file)?.len()))
}

/// Empties `folder`, and creates it if it is missing.
pub(crate) fn reset(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(())
}

/// Makes `to` a copy of the folder `from`, on stable storage, so that no write-back remains for a measured time.
pub(crate) fn replace(to: &Path, from: &Path) -> Result<()> {
    reset(to)?;
    for file in files(from)? {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().ok_or("a file has a folder")?)?;
        fs::copy(&file, &target)?;
        sync_new_file(&target)?;
    }
    Ok(())
}

/// Flushes the bytes of a new file and its name to disk.
pub(crate) fn sync_new_file(path: &Path) -> Result<()> {
    File::open(path)?.sync_all()?;
    let folder = path.parent().ok_or("a file has a folder")?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Removes all files under `folder` from the page cache. They are synced first, because dirty pages stay.
pub(crate) fn forget(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        let file = File::open(path)?;
        file.sync_all()?;
        os::forget_pages(&file)?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_counts_files_of_nested_folders() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("a"), [0_u8; 10]).unwrap();
        fs::write(folder.path().join("inner/b"), [0_u8; 32]).unwrap();
        assert_eq!(size_bytes(folder.path()).unwrap(), 42);
    }

    #[test]
    fn copy_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("inner/a"), b"new").unwrap();
        fs::write(to.join("b"), b"old").unwrap();
        replace(&to, &from).unwrap();
        assert_eq!(fs::read(to.join("inner/a")).unwrap(), b"new");
        assert!(!to.join("b").exists());
    }

    #[test]
    fn reset_leaves_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        reset(&inner).unwrap();
        fs::write(inner.join("a"), b"x").unwrap();
        reset(&inner).unwrap();
        assert_eq!(size_bytes(&inner).unwrap(), 0);
    }
}
