//! Splits text that arrives in pieces into SQL statements.
//!
//! It knows only the quotes and comments of SQL, and reads them as the parser does. For the default dialect of sessions
//! it scans by itself. For other dialects it runs the tokenizer at each semicolon, which is slower for a long statement
//! with many semicolons inside quotes.

use cayenne_format::{Error, Result};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The longest statement in bytes. A longer one would only fill memory before the parser refuses it.
const STATEMENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Takes pieces of text and returns complete statements.
#[derive(Debug, Default)]
pub(crate) struct StatementReader {
    bytes: Vec<u8>,
    /// The offset at which the current statement begins.
    start: usize,
    /// The offset up to which the current statement has been scanned.
    seen: usize,
    inside: Inside,
    /// Whether the input has ended, so that an open quote or comment will never be closed.
    ended: bool,
}

/// The context of the next byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Statement,
    /// `'…'`, `"…"` or `` `…` ``; a doubled quote counts as closed and opened again.
    Quotes(u8),
    /// `E'…'`, in which a backslash escapes the byte that follows.
    Escapes,
    /// `q'[…]'`, up to the closing bracket and quote.
    Delimited(u8),
    /// `$tag$…$tag$`; holds the delimiter.
    Dollars(Vec<u8>),
    LineComment,
    /// Nested comments, with their depth.
    BlockComment(u32),
}

/// The result of scanning at one position.
enum Step {
    /// This many bytes belong together; after them the context is this one.
    Over(usize, Inside),
    /// A semicolon ends the statement.
    End,
    /// More bytes are needed to decide.
    More,
}

impl StatementReader {
    /// Adds the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// Marks the end of the input: the remaining text is the last statement.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Returns whether a statement has begun and not ended.
    pub(crate) fn is_pending(&self) -> bool {
        self.inside != Inside::Statement || !is_blank(self.bytes.get(self.start..).unwrap_or_default())
    }

    /// Discards the text that has been pushed.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the next complete statement in a dialect, or `None` until more text is pushed.
    ///
    /// # Errors
    ///
    /// `Invalid` if the statement is not UTF-8; `ResourceLimit` if it is too long. The next call continues after it.
    pub(crate) fn next(&mut self, dialect: &dyn Dialect) -> Option<Result<String>> {
        if dialect.is::<GenericDialect>() { self.next_generic() } else { self.next_by_tokens(dialect) }
    }

    fn next_by_tokens(&mut self, dialect: &dyn Dialect) -> Option<Result<String>> {
        loop {
            let rest = self.bytes.get(self.seen..).unwrap_or_default();
            let Some(at) = rest.iter().position(|byte| *byte == b';') else {
                self.seen = self.bytes.len();
                return match (self.ended && self.is_pending(), self.seen - self.start > STATEMENT_BYTES_MAX) {
                    (true, _) => Some(self.cut()),
                    (false, true) => Some(Err(self.too_long())),
                    (false, false) => None,
                };
            };
            self.seen += at + 1;
            if ends(dialect, self.bytes.get(self.start..self.seen).unwrap_or_default()) {
                return Some(self.cut());
            }
        }
    }

    fn next_generic(&mut self) -> Option<Result<String>> {
        loop {
            let rest = self.bytes.get(self.seen..).unwrap_or_default();
            match step(&self.inside, rest) {
                Step::Over(bytes, inside) => {
                    self.seen += bytes;
                    self.inside = inside;
                }
                Step::End => {
                    self.seen += 1;
                    return Some(self.cut());
                }
                Step::More if self.ended && !rest.is_empty() => self.seen += 1,
                Step::More if self.ended && self.is_pending() => return Some(self.cut()),
                Step::More if self.seen - self.start > STATEMENT_BYTES_MAX => return Some(Err(self.too_long())),
                Step::More => return None,
            }
        }
    }

    fn too_long(&mut self) -> Error {
        self.clear();
        Error::resource_limit("the statement is too long")
            .code("statement-too-long")
            .with("bytes_max", STATEMENT_BYTES_MAX)
    }

    fn cut(&mut self) -> Result<String> {
        let statement = self.bytes.get(self.start..self.seen).unwrap_or_default();
        // Some editors begin every file with a byte order mark.
        let statement = statement.strip_prefix(b"\xef\xbb\xbf").unwrap_or(statement);
        let text = String::from_utf8(statement.to_vec())
            .map_err(|error| Error::invalid("the statement is not UTF-8").code("sql-syntax").because(error));
        self.start = self.seen;
        self.inside = Inside::Statement;
        text
    }
}

/// Returns whether the semicolon at the end of a text ends a statement. Otherwise it is inside a quote or a comment.
fn ends(dialect: &dyn Dialect, text: &[u8]) -> bool {
    // Text that is not UTF-8 or has no valid token ends here, so that the statement gets the error.
    let Ok(text) = std::str::from_utf8(text) else { return true };
    match Tokenizer::new(dialect, text).tokenize() {
        Ok(tokens) => tokens.last() == Some(&Token::SemiColon),
        Err(error) => !(error.message.contains("Unterminated") || error.message.contains("EOF")),
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

fn step(inside: &Inside, rest: &[u8]) -> Step {
    match inside {
        Inside::Statement => in_statement(rest),
        Inside::Quotes(quote) => match rest.iter().position(|byte| byte == quote) {
            Some(at) => Step::Over(at + 1, Inside::Statement),
            None => all(rest, inside),
        },
        Inside::Escapes => in_escapes(rest),
        Inside::Delimited(close) => until(rest, &[*close, b'\''], inside),
        Inside::Dollars(delimiter) => until(rest, delimiter, inside),
        Inside::LineComment => match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => Step::Over(at + 1, Inside::Statement),
            None => all(rest, inside),
        },
        Inside::BlockComment(depth) => in_block_comment(rest, *depth),
    }
}

/// Scans to the end of `rest` without leaving the context.
fn all(rest: &[u8], inside: &Inside) -> Step {
    if rest.is_empty() { Step::More } else { Step::Over(rest.len(), inside.clone()) }
}

/// Scans to `delimiter`. The last bytes may be its beginning and are scanned again.
fn until(rest: &[u8], delimiter: &[u8], inside: &Inside) -> Step {
    match rest.windows(delimiter.len()).position(|window| window == delimiter) {
        Some(at) => Step::Over(at + delimiter.len(), Inside::Statement),
        None => match rest.len().saturating_sub(delimiter.len() - 1) {
            0 => Step::More,
            bytes => Step::Over(bytes, inside.clone()),
        },
    }
}

fn in_statement(rest: &[u8]) -> Step {
    match rest {
        [b';', ..] => Step::End,
        [quote @ (b'\'' | b'"' | b'`'), ..] => Step::Over(1, Inside::Quotes(*quote)),
        [b'-', b'-', ..] => Step::Over(2, Inside::LineComment),
        [b'/', b'*', ..] => Step::Over(2, Inside::BlockComment(1)),
        // Operators whose second byte does not begin a comment.
        [b'/' | b'|', b'/', ..] => Step::Over(2, Inside::Statement),
        [] | [b'-' | b'/' | b'|'] => Step::More,
        [b'$', tail @ ..] => at_dollar(tail),
        [first, ..] if first.is_ascii_digit() => at_number(rest),
        [first, ..] if is_word(*first) => at_word(rest),
        _ => Step::Over(1, Inside::Statement),
    }
}

/// Scans at a `$` outside of a word: it opens a quote if another `$` follows its tag, otherwise it is a placeholder.
fn at_dollar(tail: &[u8]) -> Step {
    let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let tag = tail.iter().take_while(|byte| is_tag(byte)).count();
    match tail.get(tag) {
        None => Step::More,
        Some(b'$') => {
            let mut delimiter = vec![b'$'];
            delimiter.extend_from_slice(tail.get(..=tag).unwrap_or_default());
            Step::Over(delimiter.len(), Inside::Dollars(delimiter))
        }
        Some(_) => Step::Over(1 + tag, Inside::Statement),
    }
}

/// Scans a number, which ends with its digits: what follows without a space is a word of its own, except the `x` of a
/// hexadecimal number.
fn at_number(rest: &[u8]) -> Step {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (rest.get(digits), rest.first()) {
        (None, _) => Step::More,
        (Some(b'x'), Some(b'0')) if digits == 1 => Step::Over(2, Inside::Statement),
        _ => Step::Over(digits, Inside::Statement),
    }
}

/// Scans a word. Right before a quote it may determine the kind of the quote.
fn at_word(rest: &[u8]) -> Step {
    let length = rest.iter().take_while(|byte| is_word(**byte)).count();
    let word = rest.get(..length).unwrap_or_default();
    match rest.get(length..).unwrap_or_default() {
        [] => Step::More,
        [b'\'', ..] if word.eq_ignore_ascii_case(b"e") || word.eq_ignore_ascii_case(b"x") => {
            Step::Over(length + 1, Inside::Escapes)
        }
        [b'\'', tail @ ..] if word.eq_ignore_ascii_case(b"q") || word.eq_ignore_ascii_case(b"nq") => match tail {
            [] => Step::More,
            [open, ..] => Step::Over(length + 2, Inside::Delimited(closing(*open))),
        },
        _ => Step::Over(length, Inside::Statement),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'#' | b'$') || !byte.is_ascii()
}

fn closing(open: u8) -> u8 {
    match open {
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        b'(' => b')',
        other => other,
    }
}

fn in_escapes(rest: &[u8]) -> Step {
    match rest {
        [] | [b'\\' | b'\''] => Step::More,
        [b'\\', ..] | [b'\'', b'\'', ..] => Step::Over(2, Inside::Escapes),
        [b'\'', ..] => Step::Over(1, Inside::Statement),
        _ => {
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'\\' | b'\'')).count();
            Step::Over(plain, Inside::Escapes)
        }
    }
}

fn in_block_comment(rest: &[u8], depth: u32) -> Step {
    match rest {
        [] | [b'/' | b'*'] => Step::More,
        [b'/', b'*', ..] => Step::Over(2, Inside::BlockComment(depth.saturating_add(1))),
        [b'*', b'/', ..] if depth == 1 => Step::Over(2, Inside::Statement),
        [b'*', b'/', ..] => Step::Over(2, Inside::BlockComment(depth - 1)),
        [b'/' | b'*', ..] => Step::Over(1, Inside::BlockComment(depth)),
        _ => {
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'/' | b'*')).count();
            Step::Over(plain, Inside::BlockComment(depth))
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::{MySqlDialect, PostgreSqlDialect};
    use proptest::prelude::*;

    use super::*;

    const GENERIC: GenericDialect = GenericDialect {};

    /// Reads `text` in pieces of `piece` bytes.
    fn read(text: &[u8], piece: usize) -> Vec<String> {
        read_in(&GENERIC, text, piece)
    }

    fn read_in(dialect: &dyn Dialect, text: &[u8], piece: usize) -> Vec<String> {
        let mut reader = StatementReader::default();
        let mut found = Vec::new();
        for bytes in text.chunks(piece) {
            reader.push(bytes);
            found.extend(std::iter::from_fn(|| reader.next(dialect)));
        }
        reader.end();
        found.extend(std::iter::from_fn(|| reader.next(dialect)));
        found.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for statement in [
            "SELECT 'a;b'",
            "SELECT 'it''s;'",
            "SELECT \"a;b\", `c;d`",
            "SELECT E'it\\';s'",
            "SELECT e'a'';b'",
            "SELECT 1 -- no; end\n",
            "SELECT /* a; /* b; */ c; */ 1",
            "SELECT $$a;'b$$",
            "SELECT $tag$a;$$;$tag$",
            "SELECT q'[a';b]'",
            "SELECT t$files, $1",
            "SELECT '\u{e9};'",
        ] {
            let text = format!("{statement};SELECT 2");
            for piece in [1, 2, 3, 7, 1000] {
                let expected = [format!("{statement};"), "SELECT 2".to_owned()];
                assert_eq!(read(text.as_bytes(), piece), expected, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_statement_is_given_back_as_soon_as_its_end_arrives() {
        let mut reader = StatementReader::default();
        reader.push(b"SELECT 1");
        assert!(reader.next(&GENERIC).is_none() && reader.is_pending());
        reader.push(b";");
        assert_eq!(reader.next(&GENERIC).unwrap().unwrap(), "SELECT 1;");
        assert!(reader.next(&GENERIC).is_none() && !reader.is_pending());
    }

    #[test]
    fn what_is_never_closed_is_the_last_statement() {
        assert_eq!(read(b"SELECT 'a;b", 4), ["SELECT 'a;b"]);
        assert_eq!(read(b"SELECT 1; /* ; ", 4), ["SELECT 1;", " /* ; "]);
        assert_eq!(read(b"SELECT E'a\\", 4), ["SELECT E'a\\"]);
        assert!(read(b"\n  \n", 4).is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_of_one_statement() {
        let mut reader = StatementReader::default();
        reader.push(b"SELECT '\xff'; SELECT 2;");
        assert_eq!(reader.next(&GENERIC).unwrap().unwrap_err().stable_code(), "sql-syntax");
        assert_eq!(reader.next(&GENERIC).unwrap().unwrap(), " SELECT 2;");
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_a_statement() {
        assert_eq!(read(b"\xef\xbb\xbfSELECT 1;", 2), ["SELECT 1;"]);
    }

    #[test]
    fn quotes_and_comments_are_those_of_the_dialect() {
        let mysql = "SELECT 'a\\';b'; SELECT 1 # no; end\n; SELECT `a;`";
        let postgres = "SELECT 'a\\'; SELECT $x$;$x$; SELECT 1 -- no; end\n";
        for piece in [1, 3, 1000] {
            let expected = ["SELECT 'a\\';b';", " SELECT 1 # no; end\n;", " SELECT `a;`"];
            assert_eq!(read_in(&MySqlDialect {}, mysql.as_bytes(), piece), expected);
            let expected = ["SELECT 'a\\';", " SELECT $x$;$x$;", " SELECT 1 -- no; end\n"];
            assert_eq!(read_in(&PostgreSqlDialect {}, postgres.as_bytes(), piece), expected);
        }
    }

    /// Counts the statements with the tokenizer of the parser. Returns `None` if it refuses the text.
    fn semicolons(text: &str) -> Option<usize> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().ok()?;
        Some(tokens.iter().filter(|token| **token == Token::SemiColon).count())
    }

    fn fragment() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "SELECT ", "a", " 1 ", ";", "'", "''", "\"", "`", "--", "\n", "/*", "*/", "$$", "$t$", "$", " E'", " q'[",
            "]'", "\\", " ", ",", "-", "é", "/", "<", ">", "|", "&", "=", "?", "~", "^", ":", "x", "0",
        ])
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_tokenizer_of_the_parser(fragments in prop::collection::vec(fragment(), 0..24), piece in 1_usize..9) {
            let text = fragments.concat();
            if let Some(expected) = semicolons(&text) {
                let found = read(text.as_bytes(), piece);
                let joined = found.concat();
                prop_assert_eq!(joined.trim_end(), text.trim_end());
                let ended = found.iter().filter(|statement| statement.ends_with(';')).count();
                let last_is_open = found.last().is_some_and(|last| semicolons(last) == Some(0));
                prop_assert_eq!(found.len() - usize::from(last_is_open), expected, "{:?} ({} ended)", found, ended);
            }
        }
    }
}
