//! Which view the scans of a statement take.

use std::sync::{Arc, Weak};

use cayenne_table::{PinnedView, Table};
use datafusion::error::Result;
use tokio::sync::Mutex;

use crate::error::external;

/// Which view a scan takes.
#[derive(Clone, Debug)]
pub(crate) enum Reads {
    /// The latest one.
    Latest,
    /// The latest one, the same for all scans of one statement.
    OnePerStatement(Arc<StatementView>),
    /// Always this one.
    Fixed(Arc<PinnedView>),
}

/// The view of one table that all scans of a statement share, from the first of them until the last is gone.
#[derive(Debug, Default)]
pub(crate) struct StatementView(Mutex<Weak<PinnedView>>);

impl StatementView {
    pub(crate) async fn view(&self, table: &Table) -> Result<Arc<PinnedView>> {
        // Scans are planned at the same time: the lock is held until the first of them has its view.
        let mut shared = self.0.lock().await;
        if let Some(view) = shared.upgrade() {
            return Ok(view);
        }
        let view = latest(table).await?;
        *shared = Arc::downgrade(&view);
        Ok(view)
    }
}

impl Reads {
    pub(crate) async fn view(&self, table: &Table) -> Result<Arc<PinnedView>> {
        match self {
            Self::Latest => latest(table).await,
            Self::OnePerStatement(shared) => shared.view(table).await,
            Self::Fixed(view) => Ok(Arc::clone(view)),
        }
    }
}

async fn latest(table: &Table) -> Result<Arc<PinnedView>> {
    Ok(Arc::new(table.view().await.map_err(external)?))
}
