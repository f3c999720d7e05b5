//! Group commit: changes that wait at the same time share one transaction and one flush.
//!
//! Each change has a savepoint of its own, so that a refused change leaves no trace and the others still commit.

use std::path::Path;

use cayenne_format::{Error, Result, Step, Steps};
use tokio::sync::oneshot;

use super::failure::at;
use super::{Connection, Uncommitted, identity, roll_back, statements};

/// A change that waits for the writer thread.
pub(super) trait Job: Send {
    /// Makes the change in the open transaction. May be called again if that transaction was lost.
    fn run(&mut self, connection: &dyn Connection, steps: &dyn Steps) -> Result<()>;

    /// Sends the outcome to the caller: the result of [`run`](Self::run) if it is durable, otherwise the error.
    fn answer(self: Box<Self>, ended: Result<()>);
}

/// The only implementation of [`Job`], generic over the type of the answer.
pub(super) struct Request<T, F> {
    work: F,
    made: Option<T>,
    caller: oneshot::Sender<Result<T>>,
}

impl<T, F> Request<T, F>
where
    F: Fn(&dyn Connection, &dyn Steps) -> Result<T>,
{
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work, made: None, caller }, answer)
    }
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: Fn(&dyn Connection, &dyn Steps) -> Result<T> + Send,
{
    fn run(&mut self, connection: &dyn Connection, steps: &dyn Steps) -> Result<()> {
        self.made = Some((self.work)(connection, steps)?);
        Ok(())
    }

    fn answer(self: Box<Self>, ended: Result<()>) {
        let made = self.made.ok_or_else(|| Error::internal("a change ended before it was made"));
        // A caller that dropped its future does not want the answer.
        let _gone = self.caller.send(ended.and(made));
    }
}

/// How a transaction ended.
enum Ended {
    /// It is durable; each job has its own result.
    Done { results: Vec<Result<()>>, committed: bool },
    /// It left nothing behind, or its outcome is unknown; all jobs get the error.
    Failed(Error),
    /// The database rolled it back because of one of its jobs, and it left nothing behind.
    Lost(Error),
}

/// Makes the changes of all jobs durable and answers each job. Returns the number of transactions that were committed.
pub(super) fn run(connection: &dyn Connection, steps: &dyn Steps, path: &Path, mut jobs: Vec<Box<dyn Job>>) -> u64 {
    let alone = jobs.len() == 1;
    match attempt(connection, steps, &mut jobs) {
        Ended::Done { results, committed } => {
            for (job, result) in jobs.into_iter().zip(results) {
                job.answer(result.map_err(|error| at(path, error)));
            }
            u64::from(committed)
        }
        // A change that does not fit on the disk rolls back the others too. Each then gets a transaction of its own.
        Ended::Lost(_) if !alone => jobs.into_iter().map(|job| run(connection, steps, path, vec![job])).sum(),
        Ended::Failed(error) | Ended::Lost(error) => refuse(&at(path, error), jobs),
    }
}

/// Answers each job with the error. Returns 0, the number of transactions.
pub(super) fn refuse(error: &Error, jobs: Vec<Box<dyn Job>>) -> u64 {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
    0
}

fn attempt(connection: &dyn Connection, steps: &dyn Steps, jobs: &mut [Box<dyn Job>]) -> Ended {
    let begun = steps.before(Step::BeginCommit).and_then(|()| connection.script(statements::BEGIN_WRITE));
    if let Err(error) = begun {
        return Ended::Failed(error);
    }
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        let result = in_savepoint(connection, steps, job.as_mut());
        if connection.is_autocommit() {
            return Ended::Lost(result.err().unwrap_or_else(|| Error::internal("a transaction ended by itself")));
        }
        results.push(result);
    }
    if results.iter().all(Result::is_err) {
        return match roll_back(connection) {
            Ok(()) => Ended::Done { results, committed: false },
            Err(error) => Ended::Failed(error),
        };
    }
    if let Err(error) = steps.before(Step::EndCommit) {
        // The error of the step is more useful than an error of the rollback.
        let _rolled_back = roll_back(connection);
        return Ended::Failed(error);
    }
    match connection.commit() {
        Ok(()) => Ended::Done { results, committed: true },
        Err(uncommitted) => Ended::Failed(commit_failed(connection, uncommitted)),
    }
}

fn in_savepoint(connection: &dyn Connection, steps: &dyn Steps, job: &mut dyn Job) -> Result<()> {
    connection.script(statements::SAVE)?;
    match job.run(connection, steps) {
        Ok(()) => connection.script(statements::KEEP_SAVED),
        Err(error) if connection.is_autocommit() => Err(error),
        Err(error) => connection.script(statements::UNDO_SAVED).and(Err(error)),
    }
}

/// Leaves the connection clean after a failed COMMIT, and returns the error for the waiting callers.
fn commit_failed(connection: &dyn Connection, Uncommitted { error, left_nothing }: Uncommitted) -> Error {
    let certain = left_nothing || !connection.is_autocommit();
    if let Err(rollback) = roll_back(connection) {
        return unknown(rollback);
    }
    if certain || settle(connection).is_ok() { error } else { unknown(error) }
}

/// Makes certain that the previous transaction was not applied.
///
/// A COMMIT whose flush failed is invisible to connections, but its frames may be on the disk, and recovery after a
/// crash would find them complete. The next transaction overwrites them: this one changes nothing but is durable.
fn settle(connection: &dyn Connection) -> Result<()> {
    let version = identity::version(connection)?;
    connection.script(statements::BEGIN_WRITE)?;
    let written = connection.script(&statements::set_version(version));
    let settled = written.and_then(|()| connection.commit().map_err(|uncommitted| uncommitted.error));
    if settled.is_err() {
        // The outcome of the previous transaction stays unknown, which is what the caller is told.
        let _rolled_back = roll_back(connection);
    }
    settled
}

fn unknown(error: Error) -> Error {
    Error::unavailable("the metastore failed during a commit")
        .code("commit-unknown")
        .help("look for the commit in t$snapshots")
        .because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use cayenne_format::{Change, ErrorKind, Location, NoSteps, Sequence, TableCommit, TableId, WriterEpoch};
    use tempfile::TempDir;

    use super::*;
    use crate::conformance::Samples;
    use crate::place::Place;
    use crate::settings::SqliteSettings;
    use crate::sql::failure::unreadable;
    use crate::sql::{change, load};
    use crate::sqlite::connect;

    struct Scene {
        folder: TempDir,
        connection: rusqlite::Connection,
        samples: Samples,
        table: TableId,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::find(&folder.path().join("a.db")).unwrap();
            let connection = connect::writable(&place, &SqliteSettings::default()).unwrap();
            connect::enter_wal_mode(&connection).unwrap();
            identity::migrate(&connection).unwrap();
            let samples = Samples::new(1);
            let new = samples.table("t");
            change::create_table(&connection, &NoSteps, &new).unwrap();
            Self { folder, connection, samples, table: new.id }
        }

        fn append(&self, inline_bytes: usize) -> TableCommit {
            let mut new = self.samples.data_file();
            new.file.location = Location::Inline(vec![7; inline_bytes].into());
            self.samples.commit(self.table, WriterEpoch::NONE, vec![Change::AddFile(Box::new(new))])
        }

        fn run(&self, commits: &[TableCommit]) -> (u64, Vec<Result<u64>>) {
            let mut jobs: Vec<Box<dyn Job>> = Vec::new();
            let mut answers = Vec::new();
            for commit in commits {
                let commit = commit.clone();
                let work =
                    move |connection: &dyn Connection, steps: &dyn Steps| change::commit(connection, steps, &commit);
                let (request, answer) = Request::new(work);
                jobs.push(Box::new(request));
                answers.push(answer);
            }
            let took = run(&self.connection, &NoSteps, self.folder.path(), jobs);
            let answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap());
            (took, answers.map(|answer| answer.map(Sequence::number)).collect())
        }

        /// Leaves room for this many more pages.
        fn room_for(&self, pages: i64) {
            let used: i64 = self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            self.connection.pragma_update(None, "max_page_count", used + pages).unwrap();
        }

        fn files(&self) -> usize {
            load::snapshot(&self.connection, self.table, None).unwrap().files().len()
        }
    }

    #[test]
    fn neighbours_share_a_transaction_and_each_gets_its_own_answer() {
        let scene = Scene::new();
        // This commit is refused after it has made a change.
        let mut refused = scene.append(10);
        refused.changes.push(Change::RemoveFile(scene.samples.file_id()));
        let (took, answers) = scene.run(&[scene.append(10), refused.clone(), scene.append(10)]);
        assert_eq!(took, 1);
        let kinds: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect();
        assert_eq!(kinds, [Ok(1), Err(ErrorKind::Invalid), Ok(2)]);
        assert_eq!(scene.files(), 2);
        let (took, _) = scene.run(&[refused]);
        assert_eq!(took, 0, "nothing was changed");
        assert!(scene.connection.is_autocommit());
    }

    #[test]
    fn full_disk_fails_the_one_that_does_not_fit_and_is_over_when_there_is_room() {
        let scene = Scene::new();
        scene.room_for(60);
        let large = scene.append(1 << 20);
        let (_, answers) = scene.run(&[scene.append(10), large.clone(), scene.append(10)]);
        let codes: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.stable_code())).collect();
        assert_eq!(codes, [Ok(1), Err("disk-full"), Ok(2)]);
        let (took, answers) = scene.run(std::slice::from_ref(&large));
        assert_eq!((took, answers[0].as_ref().unwrap_err().kind()), (0, ErrorKind::ResourceLimit));
        assert!(scene.connection.is_autocommit());
        assert_eq!(scene.files(), 2);
        scene.room_for(1_000);
        assert_eq!(scene.run(&[large]).1[0].as_ref().ok(), Some(&3));
        assert_eq!(scene.files(), 3);
    }

    #[test]
    fn commit_in_doubt_is_settled_by_writing_over_it() {
        let scene = Scene::new();
        let wal = scene.folder.path().join("a.db-wal");
        let before = wal.metadata().unwrap().len();
        let failed = || Uncommitted { error: unreadable(), left_nothing: false };
        let error = commit_failed(&scene.connection, failed());
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "unavailable"));
        assert!(wal.metadata().unwrap().len() > before, "nothing was written over the frames in doubt");
        scene.connection.pragma_update(None, "query_only", "ON").unwrap();
        let error = commit_failed(&scene.connection, failed());
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "commit-unknown"));
        assert!(scene.connection.is_autocommit());
    }

    #[cfg(feature = "turso")]
    #[test]
    fn commit_in_doubt_is_settled_in_turso_too() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("a.db")).unwrap();
        let connection = crate::turso::connection(place, SqliteSettings::default()).unwrap();
        let wal = folder.path().join("a.db-wal");
        let before = wal.metadata().unwrap().len();
        let error = commit_failed(connection.as_ref(), Uncommitted { error: unreadable(), left_nothing: false });
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "unavailable"));
        assert!(wal.metadata().unwrap().len() > before, "nothing was written over the frames in doubt");
    }

    #[test]
    fn caller_that_has_gone_does_not_matter() {
        let scene = Scene::new();
        let ran = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ran);
        let (request, answer) = Request::new(move |_: &dyn Connection, _: &dyn Steps| {
            seen.store(true, Ordering::Relaxed);
            Ok(())
        });
        drop(answer);
        run(&scene.connection, &NoSteps, scene.folder.path(), vec![Box::new(request)]);
        assert!(ran.load(Ordering::Relaxed) && scene.connection.is_autocommit());
    }
}
