//! When a table is examined, and when a failed pass is retried.

use std::time::Duration;

/// The delay after the first failure. Each further failure doubles it.
const BACK_OFF: Duration = Duration::from_secs(1);
/// The maximum delay after a failure.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);

/// The schedule of one table.
///
/// It reads no clock: the caller passes the time since a fixed moment, which must always be the same one.
///
/// # Examples
///
/// ```
/// use cayenne_compaction::Schedule;
/// use std::time::Duration;
///
/// let at = Duration::from_secs;
/// let mut schedule = Schedule::default();
/// assert!(schedule.is_time_to_look(at(0), at(30)));
/// assert!(!schedule.is_time_to_look(at(29), at(30)));
/// assert!(schedule.is_time_to_look(at(30), at(30)));
///
/// schedule.note_failure(at(30));
/// assert!(!schedule.may_try(at(30)) && schedule.may_try(at(31)));
/// schedule.note_failure(at(31));
/// assert!(!schedule.may_try(at(32)) && schedule.may_try(at(33)));
/// schedule.note_success();
/// assert!(schedule.may_try(at(33)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    next_look: Duration,
    not_before: Duration,
    failures: u32,
}

impl Schedule {
    /// The minimum interval at which a table is examined, whatever the caller asks for.
    pub const EVERY_MIN: Duration = Duration::from_millis(10);

    /// Says whether it is time to examine the table. If so, the next time is `every` later, or
    /// [`EVERY_MIN`](Self::EVERY_MIN) later if that is longer.
    pub fn is_time_to_look(&mut self, now: Duration, every: Duration) -> bool {
        let is_time = now >= self.next_look;
        if is_time {
            self.next_look = now.saturating_add(every.max(Self::EVERY_MIN));
        }
        is_time
    }

    /// Says whether a pass may be tried: the delay after the last failure has passed.
    #[must_use]
    pub fn may_try(&self, now: Duration) -> bool {
        now >= self.not_before
    }

    /// Notes that a pass has failed. The next pass is delayed by one second; each further failure doubles the delay, up
    /// to five minutes.
    pub fn note_failure(&mut self, now: Duration) {
        let wait = BACK_OFF.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX);
        self.not_before = now.saturating_add(wait);
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that a pass has succeeded.
    pub fn note_success(&mut self) {
        self.failures = 0;
        self.not_before = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A table is examined no more and no less often than its interval says, however often the caller asks.
        #[test]
        fn looks_keep_their_distance(gaps in prop::collection::vec(0..200_u64, 1..200), every in 0..100_u64) {
            let (mut schedule, mut now) = (Schedule::default(), Duration::ZERO);
            let distance = Duration::from_millis(every).max(Schedule::EVERY_MIN);
            let mut last: Option<Duration> = None;
            for gap in gaps {
                now += Duration::from_millis(gap);
                let is_due = last.is_none_or(|last| now >= last + distance);
                prop_assert_eq!(schedule.is_time_to_look(now, Duration::from_millis(every)), is_due);
                last = if is_due { Some(now) } else { last };
            }
        }

        /// After any number of failures, a pass is retried within five minutes, and never within a second.
        #[test]
        fn failures_are_waited_for_and_not_for_ever(failures in 1..100_u32) {
            let (mut schedule, now) = (Schedule::default(), Duration::from_secs(1_000));
            for _ in 0..failures {
                schedule.note_failure(now);
            }
            prop_assert!(!schedule.may_try(now + Duration::from_millis(999)));
            prop_assert!(schedule.may_try(now + BACK_OFF_MAX));
            schedule.note_success();
            prop_assert!(schedule.may_try(now));
        }
    }

    #[test]
    fn the_end_of_time_is_no_reason_to_panic() {
        let mut schedule = Schedule::default();
        assert!(schedule.is_time_to_look(Duration::MAX, Duration::MAX));
        schedule.note_failure(Duration::MAX);
        assert!(schedule.may_try(Duration::MAX));
    }
}
