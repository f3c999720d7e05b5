//! One Rust file, cut into code, comments and quoted text.
//!
//! A rule about code must not trip over a comment that explains it or a message that names it. This is no parser: it
//! knows where comments, strings and characters begin and end, and nothing else.

/// One Rust file. Lines count from one.
#[derive(Debug)]
pub(crate) struct Source {
    path: String,
    text: String,
    /// The text with spaces for comments.
    uncommented: String,
    /// The text with spaces for comments and for quoted text.
    code: String,
    literals: Vec<Literal>,
}

/// A quoted text and the line it begins in.
#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) line: usize,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Code,
    Comment,
    Quoted,
}

impl Source {
    /// `path` is relative to the root of the workspace.
    pub(crate) fn new(path: &str, text: String) -> Self {
        let mut source = Self {
            path: path.to_owned(),
            text: String::new(),
            uncommented: String::new(),
            code: String::new(),
            literals: Vec::new(),
        };
        let mut line = 1;
        for (kind, piece) in pieces(&text) {
            source.uncommented.push_str(&if kind == Kind::Comment { blank(piece) } else { piece.to_owned() });
            source.code.push_str(&if kind == Kind::Code { piece.to_owned() } else { blank(piece) });
            if kind == Kind::Quoted {
                source.literals.push(Literal { line, text: piece.to_owned() });
            }
            line += piece.matches('\n').count();
        }
        source.text = text;
        source
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The file as it is on disk.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name of the module the file holds, as its file name gives it.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".rs").unwrap_or(name)
    }

    /// Every line with comments and quoted text left out.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// The lines of [`code`](Self::code) that are built into the crate, so not its tests.
    pub(crate) fn shipped_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.shipped_lines();
        self.code().take_while(move |(line, _)| *line <= lines)
    }

    /// The quoted texts that are built into the crate.
    pub(crate) fn shipped_literals(&self) -> impl Iterator<Item = &Literal> {
        let lines = self.shipped_lines();
        self.literals.iter().filter(move |literal| literal.line <= lines)
    }

    /// The shipped lines without comments, one space between words: what a reformatting leaves as it is.
    pub(crate) fn shipped_words(&self) -> String {
        let lines = self.uncommented.lines().take(self.shipped_lines());
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    /// How many lines stand before the tests of the file; none in a file that is tests from the first line on.
    pub(crate) fn shipped_lines(&self) -> usize {
        if self.is_test() { 0 } else { self.lines_before_tests() }
    }

    /// How many lines stand before `#[cfg(test)] mod … {`.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let lines: Vec<_> = self.code.lines().map(str::trim_end).collect();
        let inline = |line: &str| line.starts_with("mod ") && line.ends_with('{');
        let start = lines.windows(2).position(|pair| matches!(pair, ["#[cfg(test)]", line] if inline(line)));
        start.unwrap_or(lines.len())
    }

    /// Whether the whole file is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.stem() == "tests"
    }
}

/// Spaces for every character but the line ends, so that lines keep their numbers.
fn blank(piece: &str) -> String {
    piece.chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect()
}

fn pieces(text: &str) -> Vec<(Kind, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = first_piece(rest, first);
        let (piece, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        pieces.push((kind, piece));
        rest = tail;
    }
    pieces
}

/// The kind and length of what `rest` begins with. A word is one piece, so that no string begins in the middle of it.
fn first_piece(rest: &str, first: char) -> (Kind, usize) {
    if rest.starts_with("//") {
        (Kind::Comment, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Comment, block_comment_length(rest))
    } else if let Some(length) = raw_string_length(rest) {
        (Kind::Quoted, length)
    } else if first == '"' {
        (Kind::Quoted, string_length(rest))
    } else if let Some(length) = character_length(rest) {
        (Kind::Quoted, length)
    } else if is_word(first) {
        (Kind::Code, rest.find(|character| !is_word(character)).unwrap_or(rest.len()))
    } else {
        (Kind::Code, first.len_utf8())
    }
}

/// Whether the character may stand in an identifier or a number.
pub(crate) fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..) {
        let (step, now) = match tail.as_bytes() {
            [b'/', b'*', ..] => (2, depth + 1),
            [b'*', b'/', ..] => (2, depth - 1),
            [] => break,
            _ => (tail.chars().next().map_or(1, char::len_utf8), depth),
        };
        at += step;
        depth = now;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, and the same with `br` and `cr`.
fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let tail = rest.strip_prefix(prefix);
        tail.is_some_and(|tail| tail.trim_start_matches('#').starts_with('"'))
    })?;
    let tail = rest.get(prefix.len()..)?;
    let hashes = tail.find('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = prefix.len() + hashes + 1;
    let closed = rest.get(opened..)?.find(&end);
    Some(closed.map_or(rest.len(), |at| opened + at + end.len()))
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'`, `'\n'`, `'\u{1F4A9}'`; a lifetime has no closing quote and is code.
fn character_length(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut characters = inside.chars();
    let first = characters.next()?;
    let escaped = if first == '\\' { characters.next()?.len_utf8() } else { 0 };
    let skipped = 1 + first.len_utf8() + escaped;
    let closing = rest.get(skipped..)?.find('\'')?;
    (first == '\\' || closing == 0).then_some(skipped + closing + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a/src/b.rs", text.to_owned()).code
    }

    fn literals(text: &str) -> Vec<String> {
        let source = Source::new("a/src/b.rs", text.to_owned());
        source.literals.into_iter().map(|literal| literal.text).collect()
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code("a /* never closed"), "a                ");
        assert_eq!(code("\"// quoted\" b"), "            b");
    }

    #[test]
    fn strings_of_every_kind_are_literals() {
        assert_eq!(literals(r#"f("a \" b", 2)"#), [r#""a \" b""#]);
        assert_eq!(literals(r##"f(r#"a " b"#, br"c\")"##), [r##"r#"a " b"#"##, r#"br"c\""#]);
        assert_eq!(literals("\"over\ntwo\" \"lines\"").len(), 2);
        assert_eq!(literals("attr\"not raw\""), ["\"not raw\""]);
        assert!(literals("// \"comment\"").is_empty());
    }

    #[test]
    fn literal_knows_its_line() {
        let source = Source::new("a/src/b.rs", "x\n\"a\nb\"\n\"c\"".to_owned());
        assert_eq!(source.literals.iter().map(|literal| literal.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code(r"g('a', '\'', '\u{41}', '\\')"), "g(   ,     ,         ,     )");
        assert_eq!(code("let r#type = 'x';"), "let r#type =    ;");
        assert_eq!(code("h('\"') // \"\ni"), "h(   )     \ni");
    }

    #[test]
    fn tests_are_not_shipped() {
        let text = "a\n#[cfg(test)]\nuse b;\n\n#[cfg(test)]\nmod tests {\n    \"c\"\n}\n";
        let source = Source::new("a/src/b.rs", text.to_owned());
        assert_eq!(source.shipped_lines(), 4);
        assert_eq!(source.shipped_literals().count(), 0);
        assert_eq!(Source::new("a/src/b/tests.rs", text.to_owned()).shipped_lines(), 0);
        assert_eq!(Source::new("a/tests/it/b.rs", text.to_owned()).shipped_code().count(), 0);
    }

    #[test]
    fn shipped_words_ignore_comments_and_layout_but_not_strings() {
        let words = |text: &str| Source::new("a/src/b.rs", text.to_owned()).shipped_words();
        assert_eq!(words("/// Doc.\nconst A: &str =\n    \"x\"; // why\n"), words("const A: &str = \"x\";"));
        assert_ne!(words("const A: &str = \"x\";"), words("const A: &str = \"y\";"));
    }
}
