//! Property tests: the dialect of random tables, written with random marks, is detected.

use proptest::prelude::*;

use crate::files::dialect::{Dialect, TextOptions};
use crate::files::records::{Marks, split};
use crate::files::shape::Shape;
use crate::files::sniff::sniff;

/// A table: its names, a column of numbers, and columns of texts.
#[derive(Clone, Debug)]
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Writes the table. Fields are quoted where they must be, or all of them if `is_always_quoted`.
    fn written(&self, dialect: Dialect, is_always_quoted: bool, line_end: &str) -> String {
        let mut text = String::new();
        let names = dialect.header.then_some(&self.names);
        for row in names.into_iter().chain(&self.rows) {
            let fields: Vec<String> = row.iter().map(|field| quoted(field, dialect, is_always_quoted)).collect();
            text.push_str(&fields.join(&char::from(dialect.delimiter).to_string()));
            text.push_str(line_end);
        }
        text
    }
}

/// Says whether a text column has values that are not texts. Without a header, its first text may then be taken for a
/// name.
fn has_figures(table: &Table) -> bool {
    let texts = table.rows.iter().flat_map(|row| row.iter().skip(1));
    texts.map(|text| Shape::of(text.as_bytes())).any(|shape| !matches!(shape, Shape::Empty | Shape::Text))
}

fn quoted(field: &str, dialect: Dialect, is_always_quoted: bool) -> String {
    let quote = char::from(dialect.quote);
    let special = |character: char| character.is_ascii_punctuation() || character.is_ascii_control();
    if !is_always_quoted && !field.contains(special) && !field.is_empty() {
        return field.to_owned();
    }
    let before = dialect.escape.map_or(quote, char::from);
    let mut text = String::from(quote);
    for character in field.chars() {
        if character == quote || Some(character) == dialect.escape.map(char::from) {
            text.push(before);
        }
        text.push(character);
    }
    text.push(quote);
    text
}

fn tables() -> impl Strategy<Value = Table> {
    (2_usize..6).prop_flat_map(|columns| {
        let name = "[a-z]{1,6}";
        let text = "[a-zA-Z ,;|\\t\"'\\\\\\n.:0-9äß]{0,12}";
        let row = (any::<i32>(), prop::collection::vec(text, columns - 1));
        (prop::collection::vec(name, columns), prop::collection::vec(row, 3..20)).prop_map(|(names, rows)| Table {
            names: names.into_iter().enumerate().map(|(at, name)| format!("{name}{}", letter(at))).collect(),
            rows: rows.into_iter().map(|(number, texts)| [vec![number.to_string()], texts].concat()).collect(),
        })
    })
}

fn letter(at: usize) -> char {
    char::from(b'a' + u8::try_from(at).unwrap())
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let delimiter = prop::sample::select(b",;\t|".to_vec());
    let quote = prop::sample::select(b"\"'".to_vec());
    (delimiter, quote, any::<bool>()).prop_map(|(delimiter, quote, header)| Dialect {
        delimiter,
        quote,
        escape: None,
        header,
    })
}

/// Splits a text into fields as the reader does.
fn fields(text: &str, dialect: Dialect) -> Vec<Vec<Vec<u8>>> {
    let marks = Marks { delimiter: dialect.delimiter, quote: dialect.quote, escape: dialect.escape };
    split(text.as_bytes(), marks).0.into_iter().map(|record| record.fields).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// If every field is quoted, there is only one way to read the table, whatever its texts contain.
    #[test]
    fn a_table_of_quoted_fields_is_found_again(
        table in tables(),
        dialect in dialects(),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let text = table.written(dialect, true, line_end);
        let found = sniff(text.as_bytes(), true, &TextOptions::default()).unwrap();
        prop_assert_eq!(found.delimiter, dialect.delimiter, "{}", text);
        prop_assert_eq!(fields(&text, found), fields(&text, dialect), "{}", text);
        if dialect.header || !has_figures(&table) {
            prop_assert_eq!(found.header, dialect.header, "{}", text);
        }
    }

    /// If only the fields are quoted that must be, the detected dialect reads the same table.
    #[test]
    fn a_table_under_a_header_is_found_again(table in tables(), dialect in dialects()) {
        let dialect = Dialect { header: true, ..dialect };
        let text = table.written(dialect, false, "\n");
        let found = sniff(text.as_bytes(), true, &TextOptions::default()).unwrap();
        prop_assert_eq!(fields(&text, found), fields(&text, dialect), "{}", text);
        prop_assert!(found.header, "{}", text);
    }

    /// Given options are kept, and the others are detected.
    #[test]
    fn what_is_given_is_kept(table in tables(), dialect in dialects()) {
        let text = table.written(dialect, false, "\n");
        let given = TextOptions {
            delimiter: Some(dialect.delimiter),
            quote: Some(dialect.quote),
            header: Some(dialect.header),
            ..TextOptions::default()
        };
        let found = sniff(text.as_bytes(), true, &given).unwrap();
        prop_assert_eq!(
            (found.delimiter, found.quote, found.header),
            (dialect.delimiter, dialect.quote, dialect.header)
        );
    }

    /// No sample causes a panic. The only errors are an empty sample and an ambiguous delimiter.
    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), is_whole in any::<bool>()) {
        if let Err(error) = sniff(&bytes, is_whole, &TextOptions::default()) {
            prop_assert!(["ambiguous-delimiter", "empty-source"].contains(&error.stable_code()), "{}", error);
        }
    }
}
