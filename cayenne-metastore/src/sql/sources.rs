//! The positions of the streams that feed a table.

use cayenne_format::{Result, Sequence, SourcePosition, TableId};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, Row, all as all_rows, first, statements, values};

/// One row: a position, and the commit that took it in.
struct Taken {
    source: SourcePosition,
    sequence: Sequence,
}

impl Taken {
    fn digest(&self, table: TableId) -> u128 {
        Columns::of("source_position", table)
            .bytes(self.source.stream.as_bytes())
            .number(self.source.position)
            .number(self.sequence.number())
            .digest()
    }

    fn decode(table: TableId, row: &dyn Row) -> Result<Self> {
        let row = Stored::new("source_position", row);
        let source = SourcePosition { stream: row.text(0)?.to_owned(), position: row.count(1)? };
        let taken = Self { source, sequence: row.sequence(2)? };
        row.verify(row.digest(3)?, taken.digest(table))?;
        Ok(taken)
    }
}

/// Returns the sequence of the commit that took in this position of the stream or a later one, if there is one.
pub(super) fn taken_by(
    connection: &dyn Connection,
    table: TableId,
    source: &SourcePosition,
) -> Result<Option<Sequence>> {
    let key = values![table.as_bytes(), source.stream.as_str()];
    let last = first(connection, statements::SOURCE, key, |row| Taken::decode(table, row))?;
    Ok(last.filter(|last| last.source.position >= source.position).map(|last| last.sequence))
}

/// Records that the commit with `sequence` has taken in a position.
pub(super) fn take(
    connection: &dyn Connection,
    table: TableId,
    source: &SourcePosition,
    sequence: Sequence,
) -> Result<()> {
    let taken = Taken { source: source.clone(), sequence };
    connection.execute(
        statements::SET_SOURCE,
        values![
            table.as_bytes(),
            source.stream.as_str(),
            source.position,
            sequence.number(),
            &taken.digest(table).to_be_bytes(),
        ],
    )
}

/// Returns the last position of each stream.
pub(super) fn all(connection: &dyn Connection, table: TableId) -> Result<Vec<SourcePosition>> {
    let decode = |row: &dyn Row| Taken::decode(table, row).map(|taken| taken.source);
    all_rows(connection, statements::SOURCES, values![table.as_bytes()], decode)
}
