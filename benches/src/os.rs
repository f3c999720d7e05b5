//! Data from the operating system about this process, and the hints given to it. The only unsafe code of the crate.

use std::fs::File;
use std::time::Duration;

/// Returns the CPU time of all threads of this process, user and system.
#[expect(unsafe_code, reason = "getrusage has no safe form in the libc crate")]
pub(crate) fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid, writable `rusage`; all its fields may be zero, so it is initialised either way.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Returns the peak resident size of this process in bytes, or `None` where `/proc` does not provide it.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    peak_in_status(&status)
}

fn peak_in_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Asks the kernel to drop the cached pages of `file`. It drops only clean pages, so the file must have been synced.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "posix_fadvise has no safe form in the libc crate")]
pub(crate) fn forget_pages(file: &File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    // SAFETY: the descriptor is open for the duration of the call, and the call touches no memory of ours.
    let code = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(code)) }
}

/// Returns an error: other systems have no such hint. A cold measurement then reports it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forget_pages(_file: &File) -> std::io::Result<()> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// Disables transparent huge pages for this process, as the `cayenne` command does: both Rust engines load faster and
/// use less memory.
#[cfg(target_os = "linux")]
pub(crate) fn use_small_pages() {
    // If the kernel refuses, huge pages stay enabled.
    nix::sys::prctl::set_thp_disable(true).ok();
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn use_small_pages() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_read_from_status_text() {
        assert_eq!(peak_in_status("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(peak_in_status("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time();
        let sum = (0..20_000_000_u64).fold(0_u64, |sum, value| std::hint::black_box(sum ^ value));
        std::hint::black_box(sum);
        assert!(cpu_time() > before);
    }
}
