//! SQLite in this process: WAL, `synchronous = FULL`, prepared statements, one transaction per commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow_schema::{DataType, Schema, TimeUnit};
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};
use tokio::sync::Mutex;

use super::prepared::{LapClock, Prepared, read};
use super::{Clock, Engine, Limits, refuse};
use crate::Result;
use crate::protocol::{LookupBy, Reply, Request};

/// The rows that a load reads at a time. They all go into one transaction.
const LOAD_BATCH_ROWS: usize = 8_192;

/// One connection, which does one operation at a time.
pub(super) struct Sqlite {
    connection: Mutex<Connection>,
    prepared: Prepared,
}

impl Engine for Sqlite {
    fn version() -> String {
        rusqlite::version().to_owned()
    }

    async fn open(dir: PathBuf, limits: Limits) -> Result<Self> {
        let connection = Connection::open(dir.join("bench.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "threads", u32::try_from(limits.threads)?)?;
        Ok(Self { connection: Mutex::new(connection), prepared: Prepared::default() })
    }

    /// The WAL is written back at the end, as DuckDB does after a load. If the rows are in key order, the key is the
    /// primary key of the table. Otherwise the key gets an index at the end: a tree in key order would take hours to
    /// grow.
    async fn load(&self, table: &str, source: &Path, key: Option<&str>) -> Result<()> {
        let batches = read(source, LOAD_BATCH_ROWS)?;
        let schema = batches.first().map(RecordBatch::schema).ok_or("the source has no rows")?;
        let connection = self.connection.lock().await;
        let by_key = key.filter(|key| batches.first().is_some_and(|batch| is_in_order(batch, key)));
        create_table(&connection, table, &schema, by_key)?;
        let transaction = connection.unchecked_transaction()?;
        let mut insert = connection.prepare(&insert("INSERT", table, &schema))?;
        batches.iter().try_for_each(|batch| insert_rows(&mut insert, batch))?;
        if let Some(key) = key.filter(|_| by_key.is_none()) {
            connection.execute(&format!("CREATE UNIQUE INDEX {table}_key ON {table} ({key})"), [])?;
        }
        transaction.commit()?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(vec![run_query(&*self.connection.lock().await, sql)?])
    }

    async fn serve(self: Arc<Self>, request: Request) -> Result<Reply> {
        match request {
            Request::Prepare { source, rows_per_commit, tables, key } => {
                let clock = Clock::start();
                let schema = self.prepared.fill(&source, rows_per_commit)?;
                let connection = self.connection.lock().await;
                tables.iter().try_for_each(|table| create_table(&connection, table, &schema, key.as_deref()))?;
                Ok(clock.reply(Reply::default()))
            }
            Request::Append { table, commits } => self.write("INSERT", &table, 0, commits).await,
            Request::Upsert { table, skip, commits, .. } => {
                self.write("INSERT OR REPLACE", &table, skip, commits).await
            }
            Request::Execute { sql } => {
                let clock = Clock::start();
                let rows = self.connection.lock().await.execute(&sql, [])? as u64;
                Ok(clock.reply(Reply { rows, ..Reply::default() }))
            }
            Request::Lookup { table, key, keys, by: LookupBy::Sql } => self.lookup(&table, &key, &keys).await,
            other => refuse(&other),
        }
    }

    async fn close(self) -> Result<()> {
        self.connection.into_inner().close().map_err(|(_, error)| error.into())
    }
}

impl Sqlite {
    async fn write(&self, verb: &str, table: &str, skip: usize, commits: usize) -> Result<Reply> {
        let prepared = self.prepared.commits(skip + commits)?;
        let schema = prepared.first().map(RecordBatch::schema).ok_or("no rows are prepared")?;
        let connection = self.connection.lock().await;
        let mut insert = connection.prepare(&insert(verb, table, &schema))?;
        let clock = Clock::start();
        let mut laps = LapClock::start(commits);
        for batch in prepared.iter().skip(skip).take(commits) {
            let transaction = connection.unchecked_transaction()?;
            insert_rows(&mut insert, batch)?;
            transaction.commit()?;
            laps.lap();
        }
        Ok(clock.reply(Reply { lap_ms: laps.lap_ms, ..Reply::default() }))
    }

    /// Looks up one key with a prepared statement, and several with an `IN` list of literals.
    async fn lookup(&self, table: &str, key: &str, keys: &[Vec<i64>]) -> Result<Reply> {
        let connection = self.connection.lock().await;
        let select = format!("SELECT * FROM {table} WHERE {key}");
        let mut one = connection.prepare(&format!("{select} = ?"))?;
        let clock = Clock::start();
        let (mut rows, mut laps) = (0, LapClock::start(keys.len()));
        for keys in keys {
            rows += match keys.as_slice() {
                [key] => read_rows(&mut one, [key])?,
                several => {
                    let list: Vec<_> = several.iter().map(i64::to_string).collect();
                    read_rows(&mut connection.prepare(&format!("{select} IN ({})", list.join(", ")))?, [])?
                }
            };
            laps.lap();
        }
        Ok(clock.reply(Reply { rows, lap_ms: laps.lap_ms, ..Reply::default() }))
    }
}

fn create_table(connection: &Connection, table: &str, schema: &Schema, key: Option<&str>) -> Result<()> {
    let columns = schema.fields().iter().map(|field| {
        let constraint = if key == Some(field.name()) { " PRIMARY KEY" } else { "" };
        format!("{} {}{constraint}", field.name(), affinity(field.data_type()))
    });
    let columns: Vec<_> = columns.collect();
    connection.execute(&format!("CREATE TABLE {table} ({})", columns.join(", ")), [])?;
    Ok(())
}

fn is_in_order(batch: &RecordBatch, key: &str) -> bool {
    let keys = batch.column_by_name(key).and_then(|keys| keys.as_primitive_opt::<Int64Type>());
    keys.is_some_and(|keys| keys.values().is_sorted())
}

fn affinity(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => "TEXT",
        DataType::Float64 | DataType::Decimal128(..) => "REAL",
        _ => "INTEGER",
    }
}

fn insert(verb: &str, table: &str, schema: &Schema) -> String {
    let marks = vec!["?"; schema.fields().len()].join(", ");
    format!("{verb} INTO {table} VALUES ({marks})")
}

fn insert_rows(insert: &mut Statement<'_>, batch: &RecordBatch) -> Result<()> {
    let columns = batch.columns().iter().map(Column::of).collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            column.bind(insert, index + 1, row)?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

/// A column whose type is resolved once instead of for every row.
enum Column<'a> {
    Int64(&'a Int64Array),
    Int32(&'a arrow_array::Int32Array),
    Moment(&'a arrow_array::TimestampMicrosecondArray),
    Day(&'a arrow_array::Date32Array),
    Real(&'a Float64Array),
    Money(&'a arrow_array::Decimal128Array, f64),
    Text(&'a StringArray),
    TextView(&'a StringViewArray),
    Flag(&'a arrow_array::BooleanArray),
}

impl<'a> Column<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Int64 => Self::Int64(column.as_primitive::<Int64Type>()),
            DataType::Int32 => Self::Int32(column.as_primitive::<Int32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Moment(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Date32 => Self::Day(column.as_primitive::<Date32Type>()),
            DataType::Float64 => Self::Real(column.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale) => {
                Self::Money(column.as_primitive::<Decimal128Type>(), 10_f64.powi(i32::from(*scale)))
            }
            DataType::Utf8 => Self::Text(column.as_string()),
            DataType::Utf8View => Self::TextView(column.as_string_view()),
            DataType::Boolean => Self::Flag(column.as_boolean()),
            other => return Err(format!("a column of type {other} has no form in SQLite here").into()),
        })
    }

    /// Binds one value. Money is bound as a real number: SQLite has no decimals.
    #[expect(clippy::cast_precision_loss, reason = "money of twelve digits is exact in a double")]
    fn bind(&self, to: &mut Statement<'_>, parameter: usize, row: usize) -> rusqlite::Result<()> {
        let is_null = match self {
            Self::Int64(array) => array.is_null(row),
            Self::Int32(array) => array.is_null(row),
            Self::Moment(array) => array.is_null(row),
            Self::Day(array) => array.is_null(row),
            Self::Real(array) => array.is_null(row),
            Self::Money(array, _) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::TextView(array) => array.is_null(row),
            Self::Flag(array) => array.is_null(row),
        };
        if is_null {
            return to.raw_bind_parameter(parameter, rusqlite::types::Null);
        }
        match self {
            Self::Int64(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Int32(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Moment(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Day(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Real(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Money(array, unit) => to.raw_bind_parameter(parameter, array.value(row) as f64 / unit),
            Self::Text(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::TextView(array) => to.raw_bind_parameter(parameter, array.value(row)),
            Self::Flag(array) => to.raw_bind_parameter(parameter, array.value(row)),
        }
    }
}

/// Reads every value of every row, and returns the number of rows.
fn read_rows(select: &mut Statement<'_>, parameters: impl rusqlite::Params) -> Result<u64> {
    let (columns, mut count) = (select.column_count(), 0);
    let mut rows = select.query(parameters)?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            std::hint::black_box(row.get::<_, Value>(column)?);
        }
        count += 1;
    }
    Ok(count)
}

/// Runs a query and returns all of its rows. Results have few rows here, so the conversion to columns costs almost
/// nothing.
fn run_query(connection: &Connection, sql: &str) -> Result<RecordBatch> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let mut columns: Vec<Vec<Value>> = vec![Vec::new(); names.len()];
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (index, column) in columns.iter_mut().enumerate() {
            column.push(row.get(index)?);
        }
    }
    let arrays = columns.iter().map(|values| array(values));
    Ok(RecordBatch::try_from_iter_with_nullable(names.iter().zip(arrays).map(|(name, array)| (name, array, true)))?)
}

/// Returns a result column. Its type is that of its values.
fn array(values: &[Value]) -> ArrayRef {
    let text = values.iter().any(|value| matches!(value, Value::Text(_)));
    let real = values.iter().any(|value| matches!(value, Value::Real(_)));
    match (text, real) {
        (true, _) => Arc::new(
            values
                .iter()
                .map(|value| if let Value::Text(text) = value { Some(text) } else { None })
                .collect::<StringArray>(),
        ),
        (_, true) => Arc::new(
            values
                .iter()
                .map(|value| if let Value::Real(real) = value { Some(*real) } else { None })
                .collect::<Float64Array>(),
        ),
        _ => Arc::new(
            values
                .iter()
                .map(|value| if let Value::Integer(whole) = value { Some(*whole) } else { None })
                .collect::<Int64Array>(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Answer, Cell};
    use crate::protocol::OpenSettings;
    use crate::{accounts, events};

    const LIMITS: Limits = Limits {
        threads: 1,
        settings: OpenSettings { key_index_bytes: None, compaction_bytes: None, is_left_alone: false },
    };

    #[tokio::test]
    async fn upserts_lookups_and_deletes_meet_the_rows_of_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let sources = accounts::Sizes { base: 100, batches: 2, rows_per_batch: 10 }.prepare(folder.path()).unwrap();
        let engine = Arc::new(Sqlite::open(folder.path().to_owned(), LIMITS).await.unwrap());
        engine.load("accounts", &sources.base, Some("id")).await.unwrap();
        let (table, key) = ("accounts".to_owned(), "id".to_owned());
        let tables = Vec::new();
        let prepare = Request::Prepare { source: sources.batches, rows_per_commit: 10, tables, key: Some(key.clone()) };
        Arc::clone(&engine).serve(prepare).await.unwrap();
        let upsert = Request::Upsert { table: table.clone(), key: key.clone(), skip: 0, commits: 2 };
        assert_eq!(Arc::clone(&engine).serve(upsert).await.unwrap().lap_ms.len(), 2);
        let lookup = Request::Lookup { table, key, keys: vec![vec![3], vec![1, 103, 104]], by: LookupBy::Sql };
        assert_eq!(Arc::clone(&engine).serve(lookup).await.unwrap().rows, 3);
        let delete = Request::Execute { sql: "DELETE FROM accounts WHERE id BETWEEN 50 AND 59".to_owned() };
        assert_eq!(Arc::clone(&engine).serve(delete).await.unwrap().rows, 10);
        let answer = Answer::from_batches(&engine.query("SELECT count(*) FROM accounts").await.unwrap()).unwrap();
        assert_eq!(answer.rows, [[Cell::Whole(94)]]);
    }

    #[tokio::test]
    async fn loaded_and_appended_rows_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let source = events::prepare(folder.path(), 40).unwrap();
        let engine = Arc::new(Sqlite::open(folder.path().to_owned(), LIMITS).await.unwrap());
        engine.load("loaded", &source, None).await.unwrap();
        let prepare = Request::Prepare { source, rows_per_commit: 10, tables: vec!["appended".to_owned()], key: None };
        Arc::clone(&engine).serve(prepare).await.unwrap();
        let append = Request::Append { table: "appended".to_owned(), commits: 4 };
        assert_eq!(Arc::clone(&engine).serve(append).await.unwrap().lap_ms.len(), 4);
        let both = "SELECT count(*) FROM (SELECT * FROM loaded UNION SELECT * FROM appended)";
        let answer = Answer::from_batches(&engine.query(both).await.unwrap()).unwrap();
        assert_eq!(answer.rows, [[Cell::Whole(40)]]);
    }
}
