//! Views of one session.

use std::collections::BTreeMap;
use std::sync::Weak;

use cayenne_format::TableName;
use cayenne_table::SqlView;
use datafusion::execution::session_state::SessionState;
use parking_lot::{Mutex, RwLock};

/// The temporary views of a session, and the session itself.
#[derive(Debug, Default)]
pub(crate) struct SessionViews {
    pub(crate) temporary: Mutex<BTreeMap<TableName, SqlView>>,
    /// The session that plans a view when no statement is being planned, for example to list its columns.
    session: Mutex<Option<Weak<RwLock<SessionState>>>>,
}

impl SessionViews {
    /// Sets the session that this catalog belongs to.
    pub(crate) fn attach(&self, session: Weak<RwLock<SessionState>>) {
        *self.session.lock() = Some(session);
    }

    pub(crate) fn session_state(&self) -> Option<SessionState> {
        let session = self.session.lock().as_ref()?.upgrade()?;
        let state = session.read().clone();
        Some(state)
    }

    pub(crate) fn temporary(&self, name: &TableName) -> Option<SqlView> {
        self.temporary.lock().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.temporary.lock().keys().map(ToString::to_string).collect()
    }

    pub(crate) fn forget(&self, name: &TableName) -> Option<SqlView> {
        self.temporary.lock().remove(name)
    }
}
