//! Finding out whether a write is small, without losing a row of it if it is not.

use std::future::poll_fn;
use std::task::Poll;

use arrow_array::RecordBatch;
use cayenne_format::{InlineOptions, Result};
use futures::{StreamExt as _, stream};

use crate::write::{RowStream, batch_bytes};

/// All rows of a write, or its streams as they were.
pub(super) enum Gathered {
    /// The batches of each stream, up to its end.
    Few(Vec<Vec<RecordBatch>>),
    /// More rows or bytes than the limits admit.
    Many(Vec<RowStream>),
}

/// One stream, and the batches that were taken from it.
struct Head {
    taken: Vec<RecordBatch>,
    /// `None` once it has ended.
    rest: Option<RowStream>,
}

/// The totals of what was taken from all streams.
#[derive(Default)]
struct Totals {
    rows: u64,
    bytes: u64,
}

/// Takes rows from all streams until they end or exceed the limits.
///
/// The streams are polled together: they may be fed from one source that waits for all of them.
pub(super) async fn gather(streams: Vec<RowStream>, limits: &InlineOptions) -> Result<Gathered> {
    let mut totals = Totals::default();
    let mut heads: Vec<Head> = streams.into_iter().map(|rest| Head { taken: Vec::new(), rest: Some(rest) }).collect();
    let few = poll_fn(|context| {
        for head in &mut heads {
            while let Some(rest) = &mut head.rest
                && limits.admits(totals.rows, totals.bytes)
            {
                match rest.poll_next_unpin(context) {
                    Poll::Pending => break,
                    Poll::Ready(None) => head.rest = None,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Some(Ok(rows))) => {
                        totals.rows += rows.num_rows() as u64;
                        totals.bytes += batch_bytes(&rows);
                        head.taken.push(rows);
                    }
                }
            }
        }
        if !limits.admits(totals.rows, totals.bytes) {
            return Poll::Ready(Ok(false));
        }
        if heads.iter().all(|head| head.rest.is_none()) { Poll::Ready(Ok(true)) } else { Poll::Pending }
    });
    if few.await? {
        return Ok(Gathered::Few(heads.into_iter().map(|head| head.taken).collect()));
    }
    let whole = |Head { taken, rest }| {
        let taken = stream::iter(taken.into_iter().map(Ok));
        match rest {
            Some(rest) => taken.chain(rest).boxed(),
            None => taken.boxed(),
        }
    };
    Ok(Gathered::Many(heads.into_iter().map(whole).collect()))
}

/// Turns these batches back into the streams that they came from.
pub(super) fn again(rows: Vec<Vec<RecordBatch>>) -> Vec<RowStream> {
    rows.into_iter().map(|rows| stream::iter(rows.into_iter().map(Ok)).boxed()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};
    use cayenne_format::Error;
    use futures::channel::mpsc;
    use futures::{FutureExt as _, SinkExt as _};

    use super::*;

    const LIMITS: InlineOptions = InlineOptions { max_rows: 10, max_bytes: 1_000, ..InlineOptions::OFF };

    fn rows(count: usize) -> RecordBatch {
        RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![7; count])) as ArrayRef)]).unwrap()
    }

    fn stream_of(counts: &[usize]) -> RowStream {
        stream::iter(counts.iter().map(|count| Ok(rows(*count))).collect::<Vec<_>>()).boxed()
    }

    fn counts(rows: &[RecordBatch]) -> Vec<usize> {
        rows.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn few_rows_are_gathered_stream_by_stream() {
        let gathered = gather(vec![stream_of(&[4, 1]), stream_of(&[]), stream_of(&[5])], &LIMITS).now_or_never();
        let Some(Ok(Gathered::Few(found))) = gathered else { panic!("they are few") };
        assert_eq!(found.iter().map(|rows| counts(rows)).collect::<Vec<_>>(), [vec![4, 1], vec![], vec![5]]);
    }

    #[test]
    fn streams_of_many_rows_come_back_whole() {
        let gathered = gather(vec![stream_of(&[4, 1]), stream_of(&[5, 1, 2])], &LIMITS).now_or_never();
        let Some(Ok(Gathered::Many(streams))) = gathered else { panic!("they are many") };
        let found = streams.into_iter().map(|stream| {
            let rows: Vec<_> = stream.map(|rows| rows.unwrap().num_rows()).collect().now_or_never().unwrap();
            rows
        });
        assert_eq!(found.collect::<Vec<_>>(), [vec![4, 1], vec![5, 1, 2]]);
    }

    #[test]
    fn wide_rows_are_many() {
        let gathered = gather(vec![stream_of(&[10])], &LIMITS);
        assert!(matches!(gathered.now_or_never(), Some(Ok(Gathered::Few(_)))));
        let narrow = InlineOptions { max_bytes: 79, ..LIMITS };
        let gathered = gather(vec![stream_of(&[10])], &narrow).now_or_never();
        assert!(matches!(gathered, Some(Ok(Gathered::Many(_)))));
    }

    #[test]
    fn the_error_of_a_stream_is_the_answer() {
        let broken = stream::iter([Ok(rows(1)), Err(Error::invalid("broken"))]).boxed();
        let gathered = gather(vec![stream_of(&[1]), broken], &LIMITS).now_or_never();
        assert!(gathered.is_some_and(|gathered| gathered.is_err_and(|error| error.to_string().contains("broken"))));
    }

    #[test]
    fn streams_that_wait_for_each_other_are_read_together() {
        let (mut first, one) = mpsc::channel(0);
        let (mut second, other) = mpsc::channel(0);
        let source = async move {
            for _ in 0..2 {
                first.send(Ok(rows(1))).await.unwrap();
                second.send(Ok(rows(1))).await.unwrap();
            }
        };
        let gathered = async move { gather(vec![one.boxed(), other.boxed()], &LIMITS).await };
        let (gathered, ()) = futures::executor::block_on(futures::future::join(gathered, source));
        assert!(matches!(gathered, Ok(Gathered::Few(rows)) if rows.iter().all(|rows| rows.len() == 2)));
    }
}
