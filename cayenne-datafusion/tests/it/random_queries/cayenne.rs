//! The engine under test: tables with some rows in files, some inline, and some deleted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cayenne_datafusion::{error_of, session, sql};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use crate::fixture::{Fixture, fixture};

use super::answer::{Answer, Cell};
use super::numbers::Numbers;
use super::statements::{CHANGED, Statement};
use super::tree::Dialect;
use super::world::{DELETED_FROM, Table, World};

/// Why a statement has no result.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Error(String),
    /// A panic, or an error that no statement may have.
    Bug(String),
}

pub(super) struct Cayenne {
    runtime: Runtime,
    fixture: Fixture,
    ctx: SessionContext,
    first: Table,
}

impl Cayenne {
    pub(super) fn new(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fixture = runtime.block_on(fixture());
        let ctx = session(config(world), Arc::default(), &fixture.database).unwrap();
        let cayenne = Self { runtime, fixture, ctx, first: world.tables[0].clone() };
        for table in &world.tables {
            cayenne.must(&table.create(table.name, Dialect::Cayenne));
            cayenne.fill(table, table.name);
        }
        cayenne.must(&cayenne.first.create(CHANGED, Dialect::Cayenne));
        cayenne
    }

    /// Creates two files, deletes rows from them, and adds inline rows.
    fn fill(&self, table: &Table, name: &str) {
        let (files, inline) = table.rows.split_at(table.rows.len() * 2 / 3);
        let (first, second) = files.split_at(files.len() / 2);
        for rows in [first, second] {
            if let Some(insert) = table.insert(name, rows, Dialect::Cayenne) {
                self.must(&insert);
                self.must(&format!("INSERT INTO {name} SELECT * REPLACE (id + {DELETED_FROM} AS id) FROM {name}"));
                self.must(&format!("SELECT * FROM cayenne_flush('{name}')"));
                self.must(&format!("DELETE FROM {name} WHERE id >= {DELETED_FROM}"));
            }
        }
        if let Some(insert) = table.insert(name, inline, Dialect::Cayenne) {
            self.must(&insert);
        }
    }

    fn must(&self, text: &str) {
        self.runtime.block_on(self.fixture.run(text));
    }

    pub(super) fn answer(&self, statement: &Statement) -> Result<Answer, Refusal> {
        if statement.changes {
            self.must(&format!("INSERT OVERWRITE {CHANGED} SELECT * FROM t0 LIMIT 0"));
            self.fill(&self.first, CHANGED);
        }
        let run = || self.runtime.block_on(self.run(statement));
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(Refusal::Bug(text.unwrap_or_else(|| "a panic without a text".to_owned())))
        })
    }

    async fn run(&self, statement: &Statement) -> Result<Answer, Refusal> {
        let mut batches = self.batches(&statement.text(Dialect::Cayenne)).await?;
        if statement.changes {
            batches = self.batches(&format!("SELECT * FROM {CHANGED}")).await?;
        }
        Ok(Answer(batches.iter().flat_map(rows).collect()))
    }

    async fn batches(&self, text: &str) -> Result<Vec<RecordBatch>, Refusal> {
        let refused = |error| match format!("{:?}", error_of(error)) {
            text if is_bug(&text) => Refusal::Bug(text),
            text => Refusal::Error(text),
        };
        let frame = sql(&self.ctx, text).await.map_err(refused)?;
        frame.collect().await.map_err(refused)
    }

    pub(super) fn plan(&self, text: &str) -> String {
        let batches = self.runtime.block_on(self.batches(&format!("EXPLAIN {text}")));
        let print = |batches: Vec<RecordBatch>| {
            datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
        };
        batches.map_or_else(|refusal| format!("{refusal:?}"), print)
    }
}

/// Says whether an error is a fault of the engine rather than of the statement. A panic in a task, and a batch that
/// does not fit its schema, count as such.
fn is_bug(error: &str) -> bool {
    error.starts_with("Internal")
        || ["panicked", "must match schema types", "declared as non-nullable"].iter().any(|part| error.contains(part))
}

/// Settings that select the operators that run; each is used in some of the worlds.
fn config(world: &World) -> SessionConfig {
    let mut numbers = Numbers::new(world.seed);
    let mut config = SessionConfig::new()
        .with_target_partitions([1, 2, 3][numbers.below(3)])
        .with_batch_size([2, 3, 8192][numbers.below(3)]);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.optimizer.prefer_hash_join = !world.has_sort_merge_joins();
    if numbers.one_in(2) {
        options.optimizer.hash_join_single_partition_threshold = 0;
        options.optimizer.hash_join_single_partition_threshold_rows = 0;
    }
    config
}

fn rows(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    let row = |row| batch.columns().iter().map(|column| cell(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn cell(column: &ArrayRef, row: usize) -> Cell {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Cell::Null;
    }
    let text = array_value_to_string(column, row).unwrap();
    match column.data_type() {
        DataType::Boolean => Cell::number(if text == "true" { 1.0 } else { 0.0 }),
        other if other.is_numeric() => Cell::number(text.parse().unwrap()),
        _ => Cell::Text(text),
    }
}
