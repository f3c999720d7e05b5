//! Scans on one engine, before and after other work.

use crate::Result;
use crate::answer::Answer;
use crate::measure::{Metric, Outcome, Place};
use crate::process::Process;
use crate::protocol::Request;

/// Enough for a median within one repetition, and few enough that all come right after the work.
const SCANS: usize = 5;

/// One query, and the place of its samples.
pub(super) struct Scan<'a> {
    pub(super) place: Place<'a>,
    pub(super) sql: &'a str,
}

impl Scan<'_> {
    /// Scans once as a warm-up and for the answer, and then for the measurement.
    pub(super) fn measure(&self, process: &mut Process, outcome: &mut Outcome) -> Result<Answer> {
        let first = process.ask(&self.request(true))?;
        for _ in 0..SCANS {
            let reply = process.ask(&self.request(false))?;
            outcome.record(self.place, Metric::WallMs, reply.wall_ms);
            outcome.record(self.place, Metric::CpuMs, reply.cpu_ms);
        }
        first.answer.ok_or_else(|| "no rows in the reply".into())
    }

    /// Returns the request of one unmeasured scan.
    pub(super) fn once(&self) -> Request {
        self.request(false)
    }

    fn request(&self, answer: bool) -> Request {
        Request::Query { id: self.place.section.to_owned(), sql: self.sql.to_owned(), answer }
    }
}
