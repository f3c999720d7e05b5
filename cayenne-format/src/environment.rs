//! What a database needs from outside besides files: a clock, fresh ids, and a hook before each step of a write.
//!
//! They are passed in, so that a test can freeze the clock, repeat the ids, and fail or stop at any step.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::Result;

/// A wall-clock time: microseconds since 1970-01-01T00:00:00Z. It serves for display and for ages (retention,
/// compaction); nothing is ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the time from `earlier` to this; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).try_into().unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    /// Formats as `2026-01-31T12:00:00Z`: UTC, in whole seconds, by the civil calendar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000_000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Returns year, month and day of a number of days since 1970-01-01.
///
/// The algorithm is Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let (era, of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the wall-clock time. It may jump.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment, for measuring. It is monotonic.
    fn elapsed(&self) -> Duration;
}

/// Draws ids that were never drawn before.
pub trait Ids: fmt::Debug + Send + Sync {
    /// Returns a new id.
    fn draw(&self) -> Uuid;
}

/// A hook that runs before each step of a write.
pub trait Steps: fmt::Debug + Send + Sync {
    /// Called before `step`.
    ///
    /// # Errors
    ///
    /// An error that it returns makes the write fail at this step.
    fn before(&self, step: Step) -> Result<()>;
}

macro_rules! steps {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// The named steps of a write and of a commit, in the order in which they are taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Step {
            $($(#[$doc])* $variant,)*
        }

        impl Step {
            /// All steps.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name of the step, for messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

steps! {
    /// The folder of a new table is made.
    CreateTableFolder = "create-table-folder",
    /// The marker, which names the table that a folder belongs to, is written.
    WriteTableMarker = "write-table-marker",
    /// A data file is created, empty.
    CreateDataFile = "create-data-file",
    /// Bytes are appended to a data file.
    WriteDataFile = "write-data-file",
    /// A complete data file is flushed to disk.
    SyncDataFile = "sync-data-file",
    /// The folder of the data files is flushed to disk.
    SyncFolder = "sync-folder",
    /// The commit is passed to the metastore.
    HandCommit = "hand-commit",
    /// The metastore opens its transaction.
    BeginCommit = "begin-commit",
    /// The requirements of the commit are checked.
    CheckRequirements = "check-requirements",
    /// The changes of the commit are applied, inside the transaction.
    ApplyChanges = "apply-changes",
    /// The transaction is made durable.
    EndCommit = "end-commit",
    /// A commit is staged, without being applied.
    StageCommit = "stage-commit",
    /// The view that readers see is replaced, after the commit.
    SwapView = "swap-view",
    /// The metastore forgets a table.
    DropTable = "drop-table",
    /// A stored manifest is written next to the data.
    WriteManifest = "write-manifest",
    /// Something damaged is moved aside.
    MoveAside = "move-aside",
    /// The files of a dropped table, or orphan files, are removed.
    RemoveFiles = "remove-files",
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Returns a clock whose `elapsed` starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Timestamp(micros)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Draws UUIDs of version 7: random, and in the order in which they are drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    fn draw(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Lets every step pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSteps;

impl Steps for NoSteps {
    fn before(&self, _: Step) -> Result<()> {
        Ok(())
    }
}

/// The clock, the ids and the step hook of a database.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws ids.
    pub ids: Arc<dyn Ids>,
    /// Runs before each step of a write.
    pub steps: Arc<dyn Steps>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), ids: Arc::new(RandomIds), steps: Arc::new(NoSteps) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_by_the_civil_calendar() {
        let of = |seconds: i64| Timestamp(seconds * 1_000_000).to_string();
        assert_eq!(of(0), "1970-01-01T00:00:00Z");
        assert_eq!(of(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(of(-1), "1969-12-31T23:59:59Z");
        assert_eq!(of(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(Timestamp(i64::MIN).to_string().len(), "-290308-12-21T19:59:05Z".len());
    }
}
