//! The view that a scan reads, and how the scans of one statement share it.

use std::sync::{Arc, Weak};

use cayenne_table::{PinnedView, Table};
use datafusion::error::Result;
use tokio::sync::Mutex;

use crate::error::external;

/// Which view a scan reads.
#[derive(Clone, Debug)]
pub(crate) enum Reads {
    /// The latest view at the time of the scan.
    Latest,
    /// The latest view, the same one for all scans of a statement.
    OnePerStatement(Arc<StatementView>),
    /// A fixed view.
    Fixed(Arc<PinnedView>),
}

/// The view of one table that all scans of a statement share. It is held weakly: it lives as long as a scan holds it.
#[derive(Debug, Default)]
pub(crate) struct StatementView(Mutex<Weak<PinnedView>>);

impl StatementView {
    pub(crate) async fn view(&self, table: &Table) -> Result<Arc<PinnedView>> {
        // Scans may be planned concurrently: the first one holds the lock until it has taken the view.
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
