//! What became of staged commits.

use cayenne_format::{CommitId, Error};

/// What became of the staged commits that a new writer has found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Those that were whole, and are part of the table now.
    pub adopted: Vec<CommitId>,
    /// Those that were not, and never will be. Their rows have to come from their source once more.
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
