//! A process that writes six tables concurrently and acknowledges what is durable, and a judge of the content after it
//! has ended.
//!
//! A seed determines what a writer does. From the number of acknowledgements the judge knows which acts were done, and
//! which act was in progress when the process ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringViewArray};
use cayenne_format::{Location, Result, RetentionOptions, TableName};
use cayenne_table::{CheckDepth, DatabaseSettings, Table, TableWrite};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;

use crate::database::Database;
use crate::random::Random;
use crate::signals;

/// The tables of each writer. A writer with two tables writes both in one commit.
const WRITERS: [&[&str]; 5] = [&["a"], &["b"], &["c"], &["d"], &["left", "right"]];
/// Set for a process that writes until it is ended.
const ROOT: &str = "CAYENNE_WRITERS_ROOT";
const SEED: &str = "CAYENNE_WRITERS_SEED";
const LIFE: &str = "CAYENNE_WRITERS_LIFE";
const SYNCHRONOUS: &str = "CAYENNE_WRITERS_SYNCHRONOUS";

/// When a commit of the process counts as done.
pub(crate) type Synchronous = &'static str;
pub(crate) const FULL: Synchronous = "full";
pub(crate) const NORMAL: Synchronous = "normal";

/// The number of acknowledged acts of each writer.
pub(crate) type Acknowledged = [usize; WRITERS.len()];

/// The rows of a table: the numbers of the acts that wrote them, and how many rows each wrote.
type Content = BTreeMap<i64, i64>;

#[derive(Clone, Copy, Debug)]
enum Act {
    Append(i64),
    Overwrite(i64),
    Truncate,
    Flush,
    Expire,
    Collect,
}

impl Act {
    fn apply(self, number: i64, content: &mut Content) {
        if let Self::Overwrite(_) | Self::Truncate = self {
            content.clear();
        }
        if let Self::Append(rows) | Self::Overwrite(rows) = self {
            content.insert(number, rows);
        }
    }
}

/// Returns what one writer does in one life of its process. Each act has a unique number.
fn plan(seed: u64, life: u64, writer: usize) -> impl Iterator<Item = (i64, Act)> + Send {
    let mut random = Random::from_seed(seed ^ (life << 8) ^ writer as u64);
    (i64::try_from(life).unwrap() * 1_000_000..).map(move |number| {
        let choice = random.below(16);
        let few = 1 + random.below(200).cast_signed();
        let many = few * 20 + 1_025;
        let act = match choice {
            0..=7 => Act::Append(few),
            8 | 9 => Act::Append(many),
            10 => Act::Overwrite(few),
            11 => Act::Overwrite(many),
            12 => Act::Truncate,
            13 | 14 => Act::Flush,
            _ if few % 2 == 0 => Act::Expire,
            _ => Act::Collect,
        };
        (number, act)
    })
}

/// Creates the tables. Small limits that differ between them exercise every way to store rows.
pub(crate) fn create_tables(database: &Database) {
    let options = [
        ("a", "'inline_flush_max_segments' '3'"),
        ("b", "'inline_flush_max_rows' '300', 'snapshot_retention_count' '2'"),
        ("c", "'inline_max_rows' '0'"),
        ("d", "'inline_flush_max_bytes' '8000', 'compression_strategy' 'zstd'"),
        ("left", "'inline_flush_max_segments' '2'"),
        ("right", "'inline_max_rows' '100'"),
    ];
    let statements = options.map(|(table, options)| {
        let columns = "(act BIGINT NOT NULL, id BIGINT NOT NULL, text VARCHAR)";
        let root = database.root();
        let root = root.display();
        format!("CREATE EXTERNAL TABLE {table} {columns} STORED AS CAYENNE LOCATION '{root}' OPTIONS ({options});")
    });
    database.ok(&["sql", "-c", &statements.concat()]);
}

/// A handle to the process that writes.
pub(crate) struct Writers {
    process: Child,
    answers: BufReader<ChildStdout>,
    acknowledged: Acknowledged,
}

impl Writers {
    /// Starts this test program again with one test only, which takes its task from the environment.
    pub(crate) fn start(root: &Path, seed: u64, life: u64, synchronous: Synchronous) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "writers::writers_beside_each_other_leave_what_they_wrote", "--nocapture"]);
        command.env(ROOT, root).env(SEED, seed.to_string()).env(LIFE, life.to_string()).env(SYNCHRONOUS, synchronous);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers, acknowledged: Acknowledged::default() }
    }

    /// Waits for an acknowledgement. Returns false if there are no more.
    pub(crate) fn wait(&mut self) -> bool {
        let mut line = String::new();
        while self.answers.read_line(&mut line).unwrap() > 0 {
            if let Some(writer) = line.strip_prefix("done ").and_then(|line| line.strip_suffix('\n')) {
                self.acknowledged[writer.parse::<usize>().unwrap()] += 1;
                return true;
            }
            line.clear();
        }
        false
    }

    pub(crate) fn stop(&self) {
        signals::stop(&self.process);
    }

    /// Kills the process with SIGKILL and returns all of its acknowledgements.
    pub(crate) fn kill(mut self) -> Acknowledged {
        self.process.kill().unwrap();
        while self.wait() {}
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        self.acknowledged
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// In an orderly way.
    InOrder,
    /// Suddenly: one act of each writer may have been in progress.
    Suddenly,
    /// Suddenly, and acknowledged acts were not yet durable: any number of the latest acts may be lost.
    NothingDurable,
}

impl End {
    /// Returns how many acts may have left their rows.
    fn acts(self, acknowledged: usize) -> RangeInclusive<usize> {
        match self {
            Self::InOrder => acknowledged..=acknowledged,
            Self::Suddenly => acknowledged..=acknowledged + 1,
            Self::NothingDurable => 0..=acknowledged + 1,
        }
    }
}

/// Knows the expected content of the tables.
pub(crate) struct Judge {
    seed: u64,
    contents: [Content; WRITERS.len()],
    runtime: Runtime,
}

/// The result of a judgement; the error is the finding.
pub(crate) type Verdict<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

impl Judge {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, contents: Default::default(), runtime: runtime() }
    }

    /// Checks the content that a process has left, and takes it as the new expected content.
    pub(crate) fn judge(&mut self, database: &Database, life: u64, acknowledged: Acknowledged, end: End) -> Verdict {
        let found = self.runtime.block_on(look(database))?;
        for (writer, tables) in WRITERS.iter().enumerate() {
            let mut content = self.contents[writer].clone();
            let mut allowed = vec![content.clone()];
            let acts = end.acts(acknowledged[writer]);
            for (number, act) in plan(self.seed, life, writer).take(*acts.end()) {
                act.apply(number, &mut content);
                allowed.push(content.clone());
            }
            let allowed = &allowed[acts];
            for table in *tables {
                if found[*table] != found[tables[0]] || !allowed.contains(&found[*table]) {
                    return Err(format!(
                        "seed {}, life {life}, table {table}: {:?} is none of {allowed:?}",
                        self.seed, found[*table]
                    )
                    .into());
                }
            }
            self.contents[writer].clone_from(&found[tables[0]]);
        }
        Ok(())
    }
}

/// Reads all tables, checks their files, and collects orphans: afterwards every file on disk belongs to a table.
async fn look(database: &Database) -> Verdict<BTreeMap<String, Content>> {
    let opened = cayenne_table::Database::builder(database.root()).open().await?;
    let (mut found, mut named) = (BTreeMap::new(), BTreeSet::new());
    for name in WRITERS.concat() {
        let table = table(&opened, name).await;
        table.expire(RetentionOptions::default()).await?;
        let view = table.view().await?;
        let mut rows: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for file in view.files() {
            if let Location::Path(path) = &file.location {
                named.insert(path.clone());
            }
            let batches: Vec<_> = table.read(file).await?.try_collect().await?;
            for batch in &batches {
                note_rows(batch, &mut rows);
            }
        }
        found.insert(name.to_owned(), whole(name, rows)?);
    }
    opened.collect(true).await?;
    let report = opened.check(CheckDepth::Deep).await?;
    opened.close().await?;
    if !report.problems.is_empty() {
        return Err(format!("{:?}", report.problems).into());
    }
    let on_disk = database.files_on_disk();
    if on_disk == named { Ok(found) } else { Err(format!("{on_disk:?} are there, {named:?} are named").into()) }
}

fn note_rows(batch: &RecordBatch, rows: &mut BTreeMap<i64, Vec<i64>>) {
    let acts = batch.column(0).as_primitive::<Int64Type>().values();
    let ids = batch.column(1).as_primitive::<Int64Type>().values();
    for (act, id) in acts.iter().zip(ids) {
        rows.entry(*act).or_default().push(*id);
    }
}

/// Returns the content, after a check that every act has left all of its rows, each once.
fn whole(table: &str, rows: BTreeMap<i64, Vec<i64>>) -> Verdict<Content> {
    let mut content = Content::new();
    for (act, mut ids) in rows {
        ids.sort_unstable();
        let count = i64::try_from(ids.len()).unwrap();
        if !ids.iter().copied().eq(0..count) {
            return Err(format!("table {table}: the rows of act {act} are {ids:?}").into());
        }
        content.insert(act, count);
    }
    Ok(content)
}

async fn table(database: &cayenne_table::Database, name: &str) -> Arc<Table> {
    database.table(&TableName::try_from(name).unwrap()).await.unwrap().unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Lets every writer do `acts` acts, all writers concurrently.
async fn write(root: &Path, seed: u64, life: u64, acts: usize) -> Acknowledged {
    let mut settings = DatabaseSettings::default();
    if std::env::var(SYNCHRONOUS).is_ok_and(|synchronous| synchronous == NORMAL) {
        settings.metastore.synchronous = cayenne_metastore::Synchronous::Normal;
    }
    let database = cayenne_table::Database::builder(root).settings(settings).open().await.unwrap();
    // Ends the line that the test runner has begun.
    say("\n");
    let writers = (0..WRITERS.len()).map(|writer| {
        let database = Arc::clone(&database);
        tokio::spawn(async move {
            let tables = WRITERS[writer].iter().map(|name| table(&database, name));
            let tables = futures::future::join_all(tables).await;
            for (number, act) in plan(seed, life, writer).take(acts) {
                perform(&database, &tables, number, act).await.unwrap();
                say(&format!("done {writer}\n"));
            }
        })
    });
    futures::future::try_join_all(writers).await.unwrap();
    database.close().await.unwrap();
    [acts; WRITERS.len()]
}

/// Writes a line with a single system call, so that it is written completely or not at all.
fn say(line: &str) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

async fn perform(database: &cayenne_table::Database, tables: &[Arc<Table>], number: i64, act: Act) -> Result<()> {
    let writes = tables.iter().map(|table| match act {
        Act::Append(count) => Some(TableWrite::append(table, rows(table, number, count))),
        Act::Overwrite(count) => Some(TableWrite::overwrite(table, rows(table, number, count))),
        Act::Truncate => Some(TableWrite::truncate(table)),
        Act::Flush | Act::Expire | Act::Collect => None,
    });
    database.write_together(writes.flatten().collect()).await?;
    for table in tables {
        match act {
            Act::Flush => drop(table.flush().await?),
            Act::Expire => drop(table.expire(table.options().retention).await?),
            _ => {}
        }
    }
    if let Act::Collect = act {
        database.collect(true).await?;
    }
    Ok(())
}

/// Returns the rows of an act, in two batches.
fn rows(table: &Table, act: i64, count: i64) -> Vec<BoxStream<'static, Result<RecordBatch>>> {
    let schema = Arc::clone(table.schema());
    let batches = [0..count / 2, count / 2..count].map(|ids| {
        let acts = Int64Array::from_iter_values(ids.clone().map(|_| act));
        let texts = StringViewArray::from_iter_values(ids.clone().map(|id| format!("row {id} of act {act}")));
        let columns: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(acts), Arc::new(Int64Array::from_iter_values(ids)), Arc::new(texts)];
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap())
    });
    vec![futures::stream::iter(batches).boxed()]
}

/// Other tests start this one in another process and kill it.
#[test]
fn writers_beside_each_other_leave_what_they_wrote() {
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    if let Ok(root) = std::env::var(ROOT) {
        runtime().block_on(write(Path::new(&root), number(SEED), number(LIFE), usize::MAX));
        return;
    }
    let (database, seed) = (Database::new(), Random::from_environment().seed());
    create_tables(&database);
    let mut judge = Judge::new(seed);
    let acknowledged = runtime().block_on(write(&database.root(), seed, 0, 20));
    judge.judge(&database, 0, acknowledged, End::InOrder).unwrap();
}
