//! Detects the dialect of a text file from a sample of its beginning.
//!
//! The result depends only on the sample and the given options. If two delimiters fit equally well, it returns an error
//! instead of guessing.

use std::cmp::Reverse;
use std::collections::HashSet;

use cayenne_format::{Error, Result};

use crate::files::dialect::{Dialect, TextOptions, shown};
use crate::files::records::{Marks, Record, split};
use crate::files::shape::{Shape, is_figure};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const QUOTES: [u8; 2] = [b'"', b'\''];
const ESCAPES: [Option<u8>; 2] = [None, Some(b'\\')];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Detects the dialect of a text. If the sample is not the whole text (`is_whole`), its last record may be cut off.
///
/// # Errors
///
/// `Invalid` if the sample has no record, or if two delimiters are equally likely.
pub(crate) fn sniff(sample: &[u8], is_whole: bool, given: &TextOptions) -> Result<Dialect> {
    let sample = sample.strip_prefix(BYTE_ORDER_MARK).unwrap_or(sample);
    let readings: Vec<_> = delimiters(given).into_iter().filter_map(|it| best(sample, is_whole, it, given)).collect();
    let reading = choose(&readings)?;
    let header = given.header.unwrap_or_else(|| has_header(&reading.records, &given.nulls));
    let Marks { delimiter, quote, escape } = reading.marks;
    Ok(Dialect { delimiter, quote, escape, header })
}

fn delimiters(given: &TextOptions) -> Vec<u8> {
    given.delimiter.map_or_else(|| DELIMITERS.to_vec(), |delimiter| vec![delimiter])
}

/// The sample as read with one choice of marks.
#[derive(Debug)]
struct Reading {
    marks: Marks,
    records: Vec<Record>,
    columns: usize,
    /// Number of records with as many fields as the first.
    agreeing: usize,
    quoted: usize,
    /// Whether a quote is misplaced, or a quoted field swallows much of the sample.
    is_malformed: bool,
}

impl Reading {
    fn new(sample: &[u8], is_whole: bool, marks: Marks) -> Option<Self> {
        let (mut records, is_open) = split(sample, marks);
        let last = records.last()?.start;
        if !is_whole && records.len() > 1 {
            records.pop();
        }
        let columns = records.first()?.fields.len();
        let is_cut = !is_whole && last > sample.len() / 2;
        Some(Self {
            marks,
            columns,
            agreeing: records.iter().filter(|record| record.fields.len() == columns).count(),
            quoted: records.iter().map(|record| record.quoted).sum(),
            is_malformed: (is_open && !is_cut) || records.iter().any(|record| record.has_stray_quote),
            records,
        })
    }

    /// Says whether all records have the same number of fields and no quote is misplaced.
    fn is_regular(&self) -> bool {
        self.agreeing == self.records.len() && !self.is_malformed
    }

    /// Says whether there are several columns, and at least half of the records have as many fields as the first.
    fn is_likely(&self) -> bool {
        self.columns > 1 && self.agreeing * 2 >= self.records.len()
    }

    /// Says whether the delimiter of another reading occurs only in figures, such as the comma of `1,5`.
    fn explains(&self, other: &Self) -> bool {
        if self.marks.delimiter == other.marks.delimiter {
            return true;
        }
        let mut fields = self.records.iter().flat_map(|record| &record.fields);
        fields.all(|field| is_figure(field) || !field.contains(&other.marks.delimiter))
    }
}

/// Reads the sample with the quote and escape that suit a delimiter best.
///
/// Among regular readings, the one with the most quoted fields wins. If no field is quoted, the usual quote wins.
fn best(sample: &[u8], is_whole: bool, delimiter: u8, given: &TextOptions) -> Option<Reading> {
    let quotes = given.quote.map_or_else(|| QUOTES.to_vec(), |quote| vec![quote]);
    let escapes = given.escape.map_or_else(|| ESCAPES.to_vec(), |escape| vec![Some(escape)]);
    let is_worth_it = |marks: &Marks| {
        let usual_quote = given.quote.is_some() || marks.quote == b'"' || sample.contains(&marks.quote);
        let usual_escape = given.escape.is_some() || marks.escape.is_none_or(|escape| sample.contains(&escape));
        usual_quote && usual_escape && marks.delimiter != marks.quote
    };
    let marks = quotes.iter().flat_map(|quote| escapes.iter().map(move |escape| (*quote, *escape)));
    let marks = marks.map(|(quote, escape)| Marks { delimiter, quote, escape }).filter(is_worth_it);
    let readings = marks.filter_map(|marks| Reading::new(sample, is_whole, marks));
    // Among equally good readings, the first wins.
    readings.min_by_key(|reading| (!reading.is_regular(), reading.is_malformed, Reverse(reading.quoted)))
}

fn choose(readings: &[Reading]) -> Result<&Reading> {
    let Some(first) = readings.first() else {
        return Err(Error::invalid("the file has no rows").code("empty-source"));
    };
    if readings.len() == 1 {
        return Ok(first);
    }
    let regular: Vec<&Reading> = readings.iter().filter(|reading| reading.is_regular()).collect();
    let several: Vec<&Reading> = regular.iter().copied().filter(|reading| reading.columns > 1).collect();
    if !several.is_empty() {
        let explains = |reading: &Reading| several.iter().all(|other| reading.explains(other));
        return likeliest(several.clone(), |reading| usize::from(explains(reading)));
    }
    // No delimiter fits all records. With one that fits most, the reader reports the line that does not fit.
    let likely: Vec<&Reading> = readings.iter().filter(|reading| reading.is_likely()).collect();
    if !likely.is_empty() {
        return likeliest(likely, |reading| reading.agreeing);
    }
    // There is one column: any delimiter that does not occur works.
    Ok(regular.first().copied().unwrap_or(first))
}

/// Returns the reading with the highest score. Among equal scores, it must have at least twice the columns of the
/// others.
fn likeliest(mut readings: Vec<&Reading>, score: impl Fn(&Reading) -> usize) -> Result<&Reading> {
    readings.sort_by_key(|reading| Reverse((score(reading), reading.columns)));
    match readings.as_slice() {
        [first, second, ..] if score(first) == score(second) && first.columns < second.columns * 2 => {
            Err(ambiguous(first.marks.delimiter, second.marks.delimiter))
        }
        [first, ..] => Ok(first),
        [] => Err(Error::internal("no reading of a text file to choose from")),
    }
}

fn ambiguous(a: u8, b: u8) -> Error {
    Error::invalid("two delimiters are equally likely")
        .code("ambiguous-delimiter")
        .with("delimiter", shown(a))
        .with("other_delimiter", shown(b))
}

/// Says whether the first record is a header.
///
/// It is if a column of numbers, times or booleans has something else in its first field. If there is no such column,
/// it is if its fields are distinct words.
fn has_header(records: &[Record], nulls: &[String]) -> bool {
    let Some((first, rows)) = records.split_first() else { return true };
    let shape = |field: &[u8]| {
        if nulls.iter().any(|null| null.as_bytes() == field) { Shape::Empty } else { Shape::of(field) }
    };
    let names: Vec<Shape> = first.fields.iter().map(|field| shape(field)).collect();
    let columns: Vec<Option<Shape>> = (0..names.len()).map(|column| shape_of_column(rows, column, shape)).collect();
    let typed = || names.iter().zip(&columns).filter_map(|(name, column)| column.map(|column| (*name, column)));
    if typed().next().is_some() {
        return typed().any(|(name, column)| name != Shape::Empty && name != column);
    }
    let mut seen = HashSet::new();
    names.iter().all(|name| *name == Shape::Text) && first.fields.iter().all(|field| seen.insert(field))
}

/// Returns the common shape of a column's non-empty fields; `None` if they are text, of several shapes, or all empty.
fn shape_of_column(rows: &[Record], column: usize, shape: impl Fn(&[u8]) -> Shape) -> Option<Shape> {
    let fields = rows.iter().filter_map(|row| row.fields.get(column)).map(|field| shape(field));
    let mut shapes = fields.filter(|shape| *shape != Shape::Empty);
    let first = shapes.next().filter(|shape| *shape != Shape::Text)?;
    shapes.all(|shape| shape == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Dialect {
        sniff(text.as_bytes(), true, &TextOptions::default()).unwrap()
    }

    fn marks(text: &str) -> (char, char, bool) {
        let dialect = found(text);
        (dialect.delimiter.into(), dialect.quote.into(), dialect.header)
    }

    #[test]
    fn each_delimiter_is_found() {
        for delimiter in [',', ';', '\t', '|'] {
            let text = "id,name,n\n1,one,1.5\n2,two,2.5\n".replace(',', &delimiter.to_string());
            assert_eq!(marks(&text), (delimiter, '"', true));
        }
    }

    #[test]
    fn commas_in_numbers_and_texts_are_no_delimiters() {
        assert_eq!(marks("x;y\n1,5;2,5\n3,5;4,5\n"), (';', '"', true));
        assert_eq!(marks("1,5;2,5\n3,5;4,5\n"), (';', '"', false));
        assert_eq!(marks("48.8,2.3;Paris\n51.5,-0.1;London\n"), (';', '"', false));
        assert_eq!(marks("id;text\n1;Hello, world\n2;Hello, you\n"), (';', '"', true));
        assert_eq!(marks("id,text\n1,\"a;b\"\n2,\"c;d\"\n"), (',', '"', true));
    }

    #[test]
    fn quotes_and_escapes_are_found() {
        assert_eq!(marks("id,text\n1,'a,b'\n2,'c,d'\n"), (',', '\'', true));
        assert_eq!(marks("id,text\n1,it's\n2,'tis\n"), (',', '"', true));
        let dialect = found("id,text\n1,\"say \\\"hi\\\", you\"\n2,\"b\"\n");
        assert_eq!((dialect.quote, dialect.escape), (b'"', Some(b'\\')));
        assert_eq!(found("id,path\n1,\"C:\\\"\n").escape, None);
    }

    #[test]
    fn a_header_is_words_above_something_else() {
        assert!(found("id\n1\n2\n").header);
        assert!(!found("1,a\n2,b\n").header);
        assert!(!found("1,a\n").header);
        assert!(found("id,2019,2020\n7,1,2\n").header, "one column differs");
        assert!(found("name,city\nAda,London\n").header, "words over words");
        assert!(!found("a,a\nb,c\n").header, "two columns of one name");
        assert!(found("id,name\n").header);
        assert!(!found("2024-01-01,x\n2024-01-02,y\n").header);
        assert!(found("day,x\n2024-01-01,y\n").header);
        assert!(found(",a\n0,1\n1,2\n").header, "an index without a name");
    }

    #[test]
    fn texts_for_null_do_not_count() {
        let nulls = TextOptions { nulls: vec!["NA".into()], ..TextOptions::default() };
        let text = b"NA,1\n2,NA\nNA,3\n";
        assert!(!sniff(text, true, &nulls).unwrap().header);
    }

    #[test]
    fn two_delimiters_that_fit_equally_well_are_an_error() {
        for text in ["a,b;c\n1,2;3\n", "a,b;c\n", "a|b,c\nx|y,z\n"] {
            let error = sniff(text.as_bytes(), true, &TextOptions::default()).unwrap_err();
            assert_eq!(error.stable_code(), "ambiguous-delimiter", "{text}");
        }
        let given = TextOptions { delimiter: Some(b';'), ..TextOptions::default() };
        assert_eq!(sniff(b"a,b;c\n1,2;3\n", true, &given).unwrap().delimiter, b';');
        assert_eq!(marks("a,b,c,d;e\nv,w,x,y;z\n").0, ',', "twice the columns");
    }

    #[test]
    fn a_record_that_does_not_fit_does_not_hide_the_delimiter() {
        assert_eq!(marks("id;name\n1;a\n2\n3;c\n").0, ';');
        assert_eq!(marks("id,name\n1,a,x\n").0, ',');
    }

    #[test]
    fn one_column_has_no_delimiter_in_it() {
        assert_eq!(marks("id\n1\n2\n").0, ',');
        let dialect = found("text\nHello, world\nHello\nHi, you, there\nHi\n");
        assert_ne!(dialect.delimiter, b',');
        assert!(dialect.header);
    }

    #[test]
    fn a_sample_may_end_anywhere() {
        let text = "id;name\n1;\"a;b\nc\"\n".repeat(100);
        for end in 20..text.len() {
            let dialect = sniff(&text.as_bytes()[..end], false, &TextOptions::default()).unwrap();
            assert_eq!((dialect.delimiter, dialect.quote), (b';', b'"'), "{end}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_field() {
        assert_eq!(marks("\u{feff}\"id\";\"n\"\n1;2\n"), (';', '"', true));
    }

    #[test]
    fn nothing_but_line_ends_has_no_record() {
        for text in ["", "\n\n", "\u{feff}"] {
            assert_eq!(
                sniff(text.as_bytes(), true, &TextOptions::default()).unwrap_err().stable_code(),
                "empty-source"
            );
        }
    }
}
