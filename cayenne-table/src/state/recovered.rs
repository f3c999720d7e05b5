//! The outcome of recovery for staged commits.

use cayenne_format::{CommitId, Error};

/// The outcome of recovery for the staged commits that a new writer has found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The commits that were whole. They are published now.
    pub adopted: Vec<CommitId>,
    /// The commits that were not whole. They are discarded: their rows must be sent from their source again.
    pub rejected: Vec<RejectedCommit>,
}

/// A staged commit that was not whole.
#[derive(Clone, Debug)]
pub struct RejectedCommit {
    /// Its id.
    pub commit: CommitId,
    /// What is wrong, and with which file.
    pub error: Error,
}
