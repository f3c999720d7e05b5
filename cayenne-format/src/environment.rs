//! What the code asks of the world besides files: the time, fresh ids, and a word at each step of a write.
//!
//! They are handed in, so that a test can freeze the clock, repeat the ids, and fail or die at any step.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::Result;

/// A point in time for people: microseconds since 1970-01-01T00:00:00Z. Nothing is ordered or decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the time of day, for people. It may jump.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment, for measuring. It never goes back.
    fn elapsed(&self) -> Duration;
}

/// Draws ids that were never drawn before.
pub trait Ids: fmt::Debug + Send + Sync {
    /// Returns a new id.
    fn draw(&self) -> Uuid;
}

/// Is told of each step of a write before it is taken.
pub trait Steps: fmt::Debug + Send + Sync {
    /// Called before `step`.
    ///
    /// # Errors
    ///
    /// What it returns makes the write fail there.
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
    /// The marker that says whose folder it is, is written.
    WriteTableMarker = "write-table-marker",
    /// A data file is created, empty.
    CreateDataFile = "create-data-file",
    /// Bytes are appended to a data file.
    WriteDataFile = "write-data-file",
    /// A complete data file is flushed to the disk.
    SyncDataFile = "sync-data-file",
    /// The folder of the data files is flushed to the disk.
    SyncFolder = "sync-folder",
    /// The commit is handed to the metastore.
    HandCommit = "hand-commit",
    /// The metastore opens its transaction.
    BeginCommit = "begin-commit",
    /// The requirements of the commit are checked.
    CheckRequirements = "check-requirements",
    /// The changes of the commit are applied, inside the transaction.
    ApplyChanges = "apply-changes",
    /// The transaction is made durable.
    EndCommit = "end-commit",
    /// A commit is noted without being applied.
    StageCommit = "stage-commit",
    /// The view that readers see is swapped, after the commit.
    SwapView = "swap-view",
    /// A table is forgotten by the metastore.
    DropTable = "drop-table",
    /// The files of a dropped table, or files that nobody names, are removed.
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

/// Ids of version 7: random, and in the order in which they were drawn.
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

/// The clock, the ids and the steps that a database works with.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws ids.
    pub ids: Arc<dyn Ids>,
    /// Is told of each step of a write.
    pub steps: Arc<dyn Steps>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), ids: Arc::new(RandomIds), steps: Arc::new(NoSteps) }
    }
}
