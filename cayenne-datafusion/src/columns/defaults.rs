//! Defaults of columns: stored as SQL text, checked when a table is created, and parsed when rows are inserted.
//!
//! A default means the same in every session: it is parsed with the functions and settings of DataFusion alone, so
//! every process that opens the table inserts the same values.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Schema};
use cayenne_format::{Error, Result as CayenneResult, TableName};
use cayenne_table::Table;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::functions::encoding::expr_fn::decode;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlanBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::unparser::expr_to_sql;

use crate::columns::unreadable::unreadable;
use crate::error::error_of;

/// Parses and checks the SQL texts of defaults.
#[derive(Default)]
pub(crate) struct DefaultReader(OnceLock<SessionContext>);

impl fmt::Debug for DefaultReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultReader").finish_non_exhaustive()
    }
}

impl DefaultReader {
    /// Returns the session in which texts are parsed. It is created on first use, because most processes never need it.
    fn session(&self) -> &SessionContext {
        self.0.get_or_init(|| {
            let mut config = SessionConfig::new().with_target_partitions(1);
            // A number literal keeps the exact value that is written.
            config.options_mut().sql_parser.parse_float_as_decimal = true;
            let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
            SessionContext::new_with_state(state)
        })
    }

    fn read(&self, text: &str) -> Result<Expr> {
        self.session().parse_sql_expr(text, &DFSchema::empty())
    }

    /// Returns the SQL texts to store for the defaults of a new table, whose schema is `stored`.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `invalid-default`) if a default depends on rows, does not fit the type of its column, or is null
    /// in a NOT NULL column; `Unsupported` if it cannot be written as SQL text.
    pub(crate) async fn texts(
        &self,
        table: &TableName,
        stored: &Schema,
        defaults: &[(String, Expr)],
    ) -> CayenneResult<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for (column, default) in defaults {
            // A column that is not part of the table needs no default.
            let Ok(at) = stored.index_of(column) else { continue };
            let field = stored.fields().get(at).ok_or_else(|| Error::internal("a column is not in its schema"))?;
            let text = self.text_of(default, field).await;
            let text = text.map_err(|error| error.with("table", table).with("column", column))?;
            if !is_null(default) {
                texts.insert(column.clone(), text);
            }
        }
        Ok(texts)
    }

    async fn text_of(&self, default: &Expr, field: &FieldRef) -> CayenneResult<String> {
        if let Some(part) = part_that_needs_rows(default) {
            return Err(Error::invalid("not allowed in a default")
                .code("invalid-default")
                .with("found", part)
                .help("a default is a constant, or a function of constants such as now() or uuid()"));
        }
        let cannot = |error| {
            Error::unsupported("the default cannot be stored as SQL text")
                .code("unsupported-default")
                .with("default", default)
                .help("write it as a constant, or with other functions of DataFusion")
                .because(error_of(error))
        };
        let text = default.clone().transform(|expr| Ok(sayable(expr))).and_then(|default| expr_to_sql(&default.data));
        let text = text.map_err(cannot)?.to_string();
        let read = self.read(&text).map_err(cannot)?;
        let value = self.values_of(&[&read], field.data_type()).await.map_err(|error| {
            Error::invalid("the default does not fit the type of its column")
                .code("invalid-default")
                .with("default", &text)
                .with("type", field.data_type())
                .because(error_of(error))
        })?;
        if value.iter().any(ScalarValue::is_null) && !field.is_nullable() {
            return Err(Error::invalid("the default of a NOT NULL column is NULL")
                .code("invalid-default")
                .with("default", &text)
                .help("leave the default out, or NOT NULL"));
        }
        // The text may mean something else in the default session: `2 ^ 3` differs between PostgreSQL and other
        // dialects.
        let is_same = default.is_volatile() || {
            let values = self.values_of(&[default, &read], field.data_type()).await.map_err(cannot)?;
            values.iter().all(|value| Some(value) == values.first())
        };
        if !is_same {
            return Err(Error::unsupported("the default means something else in other sessions")
                .code("unsupported-default")
                .with("default", &text)
                .help("write it as a constant"));
        }
        Ok(text)
    }

    /// Evaluates expressions for one row of one statement, as an INSERT would.
    async fn values_of(&self, defaults: &[&Expr], data_type: &DataType) -> Result<Vec<ScalarValue>> {
        let values = defaults.iter().enumerate().map(|(at, default)| {
            Ok((*default).clone().cast_to(data_type, &DFSchema::empty())?.alias(format!("value_{at}")))
        });
        let plan = LogicalPlanBuilder::empty(true).project(values.collect::<Result<Vec<_>>>()?)?.build()?;
        let batches = DataFrame::new(self.session().state(), plan).collect().await?;
        let columns = batches.iter().filter(|batch| batch.num_rows() > 0).flat_map(RecordBatch::columns);
        columns.map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }
}

/// Replaces a constant that has no SQL literal, or whose literal has another type, with an expression of the same
/// value.
fn sayable(expr: Expr) -> Transformed<Expr> {
    let as_text = |text: String| Expr::Literal(ScalarValue::Utf8(Some(text)), None);
    match &expr {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) if is_long(*value) => {
            Transformed::yes(Expr::Cast(Cast::new(Box::new(as_text(format!("{value:e}"))), DataType::Float64)))
        }
        Expr::Literal(ScalarValue::Binary(Some(bytes)), _) => {
            let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
            Transformed::yes(decode(as_text(digits), as_text("hex".to_owned())))
        }
        _ => Transformed::no(expr),
    }
}

/// Says whether a number would need very many digits without an exponent.
fn is_long(value: f64) -> bool {
    value != 0.0 && !(1e-6..1e15).contains(&value.abs())
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// Returns the name of a part of an expression that has no meaning without rows or outside a statement, if there is
/// one.
fn part_that_needs_rows(expr: &Expr) -> Option<&'static str> {
    let mut found = None;
    let looked = expr.exists(|part| {
        found = match part {
            Expr::Column(_) | Expr::OuterReferenceColumn(..) => Some("a column"),
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
                Some("a subquery")
            }
            Expr::AggregateFunction(_) | Expr::GroupingSet(_) => Some("an aggregate function"),
            Expr::WindowFunction(_) => Some("a window function"),
            Expr::Placeholder(_) => Some("a parameter"),
            Expr::ScalarVariable(..) => Some("a variable"),
            Expr::Unnest(_) => Some("unnest"),
            _ => None,
        };
        Ok(found.is_some())
    });
    looked.ok().filter(|found| *found)?;
    found
}

/// The defaults of a table, parsed on first use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    reader: Arc<DefaultReader>,
    read: Arc<OnceLock<HashMap<String, Expr>>>,
}

impl Defaults {
    pub(crate) fn read_by(reader: &Arc<DefaultReader>) -> Self {
        Self { reader: Arc::clone(reader), read: Arc::default() }
    }

    /// Returns the default of a column of `table`, if it has one. A default that can no longer be parsed becomes an
    /// expression that fails when it is evaluated.
    pub(crate) fn of(&self, table: &Table, column: &str) -> Option<&Expr> {
        let texts = &table.options().column_defaults;
        if texts.is_empty() {
            return None;
        }
        let read = |(column, text): (&String, &String)| {
            let default = self.reader.read(text);
            (column.clone(), default.unwrap_or_else(|error| unreadable(table, column, text, &error)))
        };
        self.read.get_or_init(|| texts.iter().map(read).collect()).get(column)
    }
}
