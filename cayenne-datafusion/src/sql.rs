//! SQL with the statements that DataFusion alone would run in memory, or not at all.

use std::collections::VecDeque;
use std::sync::Arc;

use cayenne_format::{Error, TableName};
use cayenne_table::Database;
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, DropTable, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};

use crate::cast_names;
use crate::catalog::CayenneCatalog;
use crate::error::external;
use crate::files;
