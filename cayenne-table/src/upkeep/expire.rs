//! Expires snapshots: first they can no longer be opened, then those that no reader has pinned are forgotten.

use std::sync::Arc;

use cayenne_format::{CommitRecord, Expiry, Result, RetentionOptions, Sequence, Timestamp};

use crate::Table;
use crate::state::writer::WriterState;

/// What expiring snapshots did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The number of snapshots that can no longer be opened.
    pub snapshots: usize,
    /// The earliest snapshot that can be opened.
    pub kept_from: Sequence,
    /// The earliest snapshot that is not forgotten. It is earlier than `kept_from` only if a reader has pinned it.
    pub known_from: Sequence,
}

impl Table {
    /// Expires all snapshots except the current one and those that `retention` keeps. Snapshots that a reader has
    /// pinned are not forgotten yet.
    ///
    /// Data files that no remaining snapshot names become orphans, and `collect` removes them.
    ///
    /// # Errors
    ///
    /// `Unavailable` (code `table-locked`) if another process writes the table; what the metastore returns.
    pub async fn expire(self: &Arc<Self>, retention: RetentionOptions) -> Result<Expired> {
        let mut writer = self.writer().await?;
        let expired = self.to_expire(&writer, retention).await?;
        let metastore = &self.shared.metastore;
        if expired.kept_from > writer.history.kept_from {
            let announced = Expiry { keep_from: expired.kept_from, forget_before: Sequence::ZERO };
            metastore.expire(self.id(), writer.epoch, &announced).await?;
            writer.note_expiry(&announced);
        }
        // From here on no reader can begin on an expired snapshot, so all readers that matter are known.
        let forgotten = Expiry { keep_from: expired.kept_from, forget_before: self.forgettable(&writer)? };
        if forgotten.forget_before > writer.history.known_from {
            metastore.expire(self.id(), writer.epoch, &forgotten).await?;
            writer.note_expiry(&forgotten);
        }
        Ok(Expired { known_from: writer.history.known_from, ..expired })
    }

    /// Returns what [`expire`](Self::expire) would do, without doing it.
    ///
    /// # Errors
    ///
    /// As [`expire`](Self::expire).
    pub async fn expirable(self: &Arc<Self>, retention: RetentionOptions) -> Result<Expired> {
        let writer = self.writer().await?;
        let expired = self.to_expire(&writer, retention).await?;
        let pinned = self.oldest_pin()?.unwrap_or(Sequence::MAX);
        Ok(Expired { known_from: expired.kept_from.min(pinned).max(writer.history.known_from), ..expired })
    }

    async fn to_expire(&self, writer: &WriterState, retention: RetentionOptions) -> Result<Expired> {
        let log = self.shared.metastore.load_log(self.id()).await?;
        let earliest = earliest_kept(&log, retention, self.shared.environment.clock.now());
        // If all of the log is kept, so is the snapshot before it: the empty table.
        let earliest = earliest.filter(|earliest| log.first().is_some_and(|first| first.sequence < *earliest));
        let kept_from = earliest.unwrap_or_default().max(writer.history.kept_from);
        let snapshots = log.iter().filter(|record| record.sequence < kept_from).count();
        Ok(Expired { snapshots, kept_from, known_from: writer.history.known_from })
    }

    /// Returns the expiry of a commit that removes files, by the number of snapshots to keep.
    ///
    /// Returns `None` if snapshots are kept for a time: that would require reading the log, so only `expire` expires
    /// them.
    pub(crate) fn expiry_of_commit(&self, writer: &WriterState, base: Sequence) -> Option<Expiry> {
        let retention = self.options().retention;
        if retention.seconds > 0 {
            return None;
        }
        let next = base.next().ok()?;
        let keep_from = Sequence::new(next.number().saturating_sub(retention.count)).ok()?;
        match self.forgettable(writer) {
            Ok(forget_before) => Some(Expiry { keep_from: keep_from.max(writer.history.kept_from), forget_before }),
            Err(error) => {
                // The commit does not depend on it; a later commit, or `expire`, expires more.
                tracing::warn!(%error, table = %self.name(), "history is kept because its readers are not known");
                None
            }
        }
    }

    /// Returns the earliest snapshot that has to stay known.
    fn forgettable(&self, writer: &WriterState) -> Result<Sequence> {
        let pinned = self.oldest_pin()?.unwrap_or(Sequence::MAX);
        Ok(writer.history.kept_from.min(pinned))
    }

    fn oldest_pin(&self) -> Result<Option<Sequence>> {
        let elsewhere = self.shared.readers.oldest_elsewhere(self.id())?;
        Ok(self.pins.oldest().into_iter().chain(elsewhere).min())
    }
}

/// Returns the earliest snapshot of a log that is kept; the latest always is.
fn earliest_kept(log: &[CommitRecord], retention: RetentionOptions, now: Timestamp) -> Option<Sequence> {
    let kept = usize::try_from(retention.count).unwrap_or(usize::MAX).saturating_add(1);
    let by_count = log.get(log.len().saturating_sub(kept)).map(|record| record.sequence);
    let micros = i64::try_from(retention.seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let since = now.0.saturating_sub(micros);
    // A snapshot was current until the commit after it.
    let was_current = |pair: &&[CommitRecord]| pair.get(1).is_some_and(|next| next.made_at.0 >= since);
    let by_time = match retention.seconds {
        0 => None,
        _ => log.windows(2).find(was_current).and_then(|pair| pair.first()).map(|record| record.sequence),
    };
    by_count.into_iter().chain(by_time).min()
}

#[cfg(test)]
mod tests {
    use cayenne_format::{CommitId, Operation};

    use super::*;

    fn log() -> Vec<CommitRecord> {
        let record = |sequence: u64| CommitRecord {
            id: CommitId::from_bytes([0; 16]),
            sequence: Sequence::new(sequence).unwrap(),
            operation: Operation::Append,
            made_at: Timestamp(i64::try_from(sequence).unwrap() * 1_000_000),
            files_added: 0,
            files_removed: 0,
            rows_added: 0,
            rows_hidden: 0,
        };
        (1..=10).map(record).collect()
    }

    #[test]
    fn a_snapshot_is_kept_if_either_rule_keeps_it() {
        let at = |count, seconds, now: i64| {
            let kept = earliest_kept(&log(), RetentionOptions { count, seconds }, Timestamp(now * 1_000_000));
            kept.map(Sequence::number)
        };
        assert_eq!(at(0, 0, 10), Some(10), "only the current one");
        assert_eq!([at(3, 0, 10), at(9, 0, 10), at(u64::MAX, 0, 10)], [Some(7), Some(1), Some(1)]);
        assert_eq!(at(0, 2, 10), Some(7), "7 was current until 8");
        assert_eq!(at(0, 2, 1_000), Some(10), "it has been the current one for long");
        assert_eq!(at(5, 2, 10), Some(5));
        assert_eq!(at(0, u64::MAX, 10), Some(1));
        assert_eq!(earliest_kept(&[], RetentionOptions::default(), Timestamp(0)), None);
    }
}
