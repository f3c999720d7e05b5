//! Splits delimited text into records and fields, byte by byte, exactly as the CSV reader does.
//!
//! It does no I/O: the caller passes the bytes. It is used to detect the dialect of a sample, and to find the line of a
//! value that cannot be read.

/// The bytes that separate and quote fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) escape: Option<u8>,
}

/// The meaning of one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is part of the structure and ends nothing.
    Nothing,
    /// It is a byte of the current field.
    Content(u8),
    /// It ends a field.
    Field,
    /// It ends a field and its record.
    Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Field,
    Quoted,
    Escaped,
    /// After a quote inside a quoted field. The quote ends the field, or is literal if another quote follows.
    QuoteEnd,
}

/// A state machine over the bytes of a text.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    marks: Marks,
    state: State,
    line: u64,
    record_line: u64,
    is_quoted: bool,
    has_stray_quote: bool,
}

impl Splitter {
    pub(crate) fn new(marks: Marks) -> Self {
        Self { marks, state: State::RecordStart, line: 1, record_line: 1, is_quoted: false, has_stray_quote: false }
    }

    /// Processes the next byte.
    pub(crate) fn step(&mut self, byte: u8) -> Step {
        let line = self.line;
        if byte == b'\n' {
            self.line += 1;
        }
        match self.state {
            State::RecordStart if is_line_end(byte) => Step::Nothing,
            State::RecordStart => {
                self.record_line = line;
                self.has_stray_quote = false;
                self.begin_field(byte)
            }
            State::FieldStart => self.begin_field(byte),
            State::Field => self.plain(byte),
            State::Quoted if self.marks.escape == Some(byte) => self.enter(State::Escaped, Step::Nothing),
            State::Quoted if byte == self.marks.quote => self.enter(State::QuoteEnd, Step::Nothing),
            State::Quoted => Step::Content(byte),
            State::QuoteEnd if byte != self.marks.quote => {
                self.has_stray_quote |= byte != self.marks.delimiter && !is_line_end(byte);
                self.plain(byte)
            }
            State::Escaped | State::QuoteEnd => self.enter(State::Quoted, Step::Content(byte)),
        }
    }

    /// Ends the text. Returns whether this ends a record.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::replace(&mut self.state, State::RecordStart) != State::RecordStart
    }

    /// Says whether the bytes so far end inside a quoted field.
    pub(crate) fn is_within_quotes(&self) -> bool {
        matches!(self.state, State::Quoted | State::Escaped)
    }

    /// Returns the line on which the current record begins, counted from 1.
    pub(crate) fn record_line(&self) -> u64 {
        self.record_line
    }

    /// Says whether the current field, or the one that has just ended, is quoted.
    pub(crate) fn is_quoted(&self) -> bool {
        self.is_quoted
    }

    /// Says whether the current record has a misplaced quote, which is kept as a literal byte.
    pub(crate) fn has_stray_quote(&self) -> bool {
        self.has_stray_quote
    }

    fn begin_field(&mut self, byte: u8) -> Step {
        self.is_quoted = byte == self.marks.quote;
        if self.is_quoted { self.enter(State::Quoted, Step::Nothing) } else { self.plain(byte) }
    }

    fn plain(&mut self, byte: u8) -> Step {
        if byte == self.marks.delimiter {
            return self.enter(State::FieldStart, Step::Field);
        }
        if is_line_end(byte) {
            return self.enter(State::RecordStart, Step::Record);
        }
        self.has_stray_quote |= byte == self.marks.quote;
        self.enter(State::Field, Step::Content(byte))
    }

    fn enter(&mut self, state: State, step: Step) -> Step {
        self.state = state;
        step
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// A record of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) quoted: usize,
    pub(crate) has_stray_quote: bool,
    /// The offset of its first byte in the sample.
    pub(crate) start: usize,
}

/// Splits a sample into records. Also returns whether the last record ends inside a quoted field.
pub(crate) fn split(sample: &[u8], marks: Marks) -> (Vec<Record>, bool) {
    let mut splitter = Splitter::new(marks);
    let mut records = Vec::new();
    let (mut record, mut field) = (Record::default(), Vec::new());
    for (at, byte) in sample.iter().enumerate() {
        let step = splitter.step(*byte);
        match step {
            Step::Nothing => {}
            Step::Content(byte) => field.push(byte),
            Step::Field | Step::Record => {
                record.quoted += usize::from(splitter.is_quoted());
                record.fields.push(std::mem::take(&mut field));
            }
        }
        if step == Step::Record {
            record.has_stray_quote = splitter.has_stray_quote();
            records.push(std::mem::replace(&mut record, Record { start: at + 1, ..Record::default() }));
        }
    }
    let is_open = splitter.is_within_quotes();
    let (quoted, has_stray_quote) = (splitter.is_quoted(), splitter.has_stray_quote());
    if splitter.end() {
        record.fields.push(field);
        record.quoted += usize::from(quoted);
        record.has_stray_quote = has_stray_quote;
        records.push(record);
    }
    (records, is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, marks: Marks) -> Vec<Vec<String>> {
        let (records, _) = split(text.as_bytes(), marks);
        let text = |field: Vec<u8>| String::from_utf8(field).unwrap();
        records.into_iter().map(|record| record.fields.into_iter().map(text).collect()).collect()
    }

    const COMMAS: Marks = Marks { delimiter: b',', quote: b'"', escape: None };

    #[test]
    fn records_are_split_as_the_reader_splits_them() {
        assert_eq!(fields("a,b\r\n\r\n1,\n", COMMAS), [["a", "b"], ["1", ""]]);
        assert_eq!(fields("\"a,\"\"b\"\"\n\",c", COMMAS), [["a,\"b\"\n", "c"]]);
        assert_eq!(fields("a\"b,\"c\"d\n", COMMAS), [["a\"b", "cd"]]);
        let escaped = Marks { escape: Some(b'\\'), ..COMMAS };
        assert_eq!(fields("\"a\\\"b\",c\\\n", escaped), [["a\"b", "c\\"]]);
    }

    #[test]
    fn a_text_that_ends_within_quotes_is_known() {
        assert!(split(b"a,\"b\n", COMMAS).1);
        assert!(!split(b"a,\"b\"", COMMAS).1);
        assert!(split(b"a,b\"c\n", COMMAS).0[0].has_stray_quote);
    }

    #[test]
    fn lines_are_counted_within_quotes_too() {
        let mut splitter = Splitter::new(COMMAS);
        for byte in b"a\n\n\"x\ny\",z\nlast" {
            splitter.step(*byte);
        }
        assert_eq!(splitter.record_line(), 5);
    }
}
