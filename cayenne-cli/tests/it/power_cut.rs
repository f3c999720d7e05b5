//! Power cuts. A process writes to a file system in an image file. A copy of the image, made while the process is
//! stopped, has what a disk would hold after a power cut: writes that were not flushed are not in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::database::Database;
use crate::random::Random;
use crate::writers::{self, End, FULL, Judge, NORMAL, Synchronous, Writers};

const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// The most acknowledgements before the power cut.
const ACTS_MAX: u64 = 80;

/// A file system in an image file, mounted until this is dropped.
struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disk {
    fn make(folder: &Path) -> Result<Self, String> {
        let image = folder.join("0");
        std::fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).map_err(|error| error.to_string())?;
        // The kernel must not continue to initialize the file system in the background.
        let made_whole = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-E", made_whole]).arg(&image))?;
        Self::mount(image)
    }

    fn mount(image: PathBuf) -> Result<Self, String> {
        let mounted_at = image.with_extension("mounted");
        std::fs::create_dir(&mounted_at).map_err(|error| error.to_string())?;
        // The kernel must not write data back merely because of its age.
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,commit=600"]).args([&image, &mounted_at]))?;
        Ok(Self { image, mounted_at })
    }

    fn database(&self) -> Database {
        Database::at(self.mounted_at.join("db"))
    }

    /// Copies the image. The process that uses it is stopped, but the kernel may still write: then it copies again.
    fn copy(&self, number: u64) -> PathBuf {
        let copy = self.image.with_file_name((number + 1).to_string());
        loop {
            let bytes = std::fs::read(&self.image).unwrap();
            if std::fs::read(&self.image).unwrap() == bytes {
                std::fs::write(&copy, bytes).unwrap();
                return copy;
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a failed test a process may still use the mount.
        run(Command::new("umount").arg("--lazy").arg(&self.mounted_at)).inspect_err(|error| println!("{error}")).ok();
        std::fs::remove_file(&self.image).ok();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}

fn cut_the_power(synchronous: Synchronous, end: End) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut disk = match Disk::make(folder.path()) {
        Ok(disk) => disk,
        Err(error) => {
            // Not with the macro: the test runner captures its output while tests pass.
            let said = format!("SKIPPED: no power cut with synchronous={synchronous}: {error}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return;
        }
    };
    let cuts: u64 = std::env::var("CAYENNE_POWER_CUTS").map_or(3, |cuts| cuts.parse().unwrap());
    let mut random = Random::from_environment();
    let seed = random.seed();
    writers::create_tables(&disk.database());
    let (mut judge, mut acts) = (Judge::new(seed), 0);
    for life in 0..cuts {
        let mut writers = Writers::start(&disk.database().root(), seed, life, synchronous);
        for _ in 0..random.below(ACTS_MAX) {
            assert!(writers.wait());
        }
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
        writers.stop();
        let image = disk.copy(life);
        // It was killed without being continued, so it has acknowledged everything before the copy.
        let acknowledged = writers.kill();
        acts += acknowledged.iter().sum::<usize>();
        drop(disk);
        disk = Disk::mount(image).unwrap();
        judge.judge(&disk.database(), life, acknowledged, end).unwrap();
    }
    println!("{cuts} power cuts after {acts} acknowledged acts");
    let check = disk.database().run(&["check", "--deep"]);
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    cut_the_power(FULL, End::Suddenly);
}

#[test]
fn without_flushing_each_commit_a_power_cut_takes_the_latest_commits_whole() {
    cut_the_power(NORMAL, End::NothingDurable);
}
