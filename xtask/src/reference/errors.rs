//! The page of error codes: every code that a crate gives an error, with the texts that stand beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::tree::{Source, Tree};

/// What the sources say of one code.
#[derive(Debug, Default)]
struct Code {
    kinds: BTreeSet<String>,
    messages: BTreeSet<String>,
    fixes: BTreeSet<String>,
}

/// A kind of errors: the constructor's name, the code of an error that has no other, and what a caller can do.
const KINDS: &[(&str, &str, &str)] = &[
    ("not_found", "not-found", "the named thing does not exist"),
    ("already_exists", "already-exists", "the named thing exists already"),
    ("conflict", "conflict", "another commit came first: read again, and try again"),
    ("invalid", "invalid", "the request must be changed"),
    ("unsupported", "unsupported", "Cayenne does not do this"),
    ("corrupt", "corrupt", "stored bytes are not what was written"),
    ("unavailable", "unavailable", "something outside did not answer or refused: try again later"),
    ("resource_limit", "resource-limit", "a limit on memory, disk or number was reached"),
    ("internal", "internal", "a defect of Cayenne or DataFusion: please report it"),
];

/// Returns the page.
pub(super) fn page(tree: &Tree) -> String {
    let mut page = String::from(
        "# All error codes\n\n<!-- Made by `cargo xtask docs`: change the code, not this page. -->\n\n\
         An error prints its code in brackets: `error[no-table]: there is no such table`. \
         Codes do not change between versions; texts may. \
         [Symptoms, causes and fixes](../troubleshooting.md) explains the most frequent.\n\n\
         ## Kinds\n\nEvery error is of one kind. \
         An error without a code of its own has the code of its kind.\n\n| Kind | Meaning |\n|---|---|\n",
    );
    for (_, code, meaning) in KINDS {
        let _ = writeln!(page, "| `{code}` | {meaning} |");
    }
    page.push_str("\n## Codes\n\nA text that depends on the case has `…` in the place of what varies.\n\n");
    page.push_str("| Code | Kind | Message | Fix |\n|---|---|---|---|\n");
    for (name, code) in codes(tree) {
        let cells = [&code.kinds, &code.messages, &code.fixes].map(cell);
        let _ = writeln!(page, "| `{name}` | {} |", cells.join(" | "));
    }
    page
}

fn cell(texts: &BTreeSet<String>) -> String {
    texts.iter().map(|text| text.replace('|', "\\|")).collect::<Vec<_>>().join("<br>")
}

fn codes(tree: &Tree) -> BTreeMap<String, Code> {
    let mut codes = BTreeMap::new();
    // The tools of this repository are no part of the product.
    let tools = ["xtask", "cayenne-testkit", "cayenne-benches"];
    let members = tree.crates.iter().filter(|member| !tools.contains(&member.name.as_str()));
    for source in members.flat_map(|member| &member.sources) {
        collect(source, &mut codes);
    }
    codes
}

/// Finds the errors of a file: `Error::kind(message)` and the calls behind it, and calls of `.code(…)` on other errors.
fn collect(source: &Source, codes: &mut BTreeMap<String, Code>) {
    let words = source.shipped_words();
    let mut seen = BTreeSet::new();
    for constructor in ["Error::", "Self::"] {
        for (place, _) in words.match_indices(constructor) {
            let start = place + constructor.len();
            let Some((name, message, rest)) = call(words.get(start..).unwrap_or_default()) else { continue };
            let kind = KINDS.iter().find(|(kind, _, _)| *kind == name);
            if kind.is_none() && name != "io" {
                continue;
            }
            let calls = calls(rest);
            let code = calls.iter().find(|(name, _, _)| *name == "code");
            let Some((literal, place)) = code.and_then(|(_, text, place)| Some((literal(text)?, *place))) else {
                continue;
            };
            seen.insert(words.len() - rest.len() + place);
            let entry: &mut Code = codes.entry(literal).or_default();
            entry.kinds.extend(kind.map(|(_, kind, _)| format!("`{kind}`")));
            entry.messages.extend(text(message));
            entry.add_fixes(&calls);
        }
    }
    for (place, _) in words.match_indices(".code(\"").filter(|(place, _)| !seen.contains(place)) {
        let calls = calls(words.get(place..).unwrap_or_default());
        if let Some(name) = calls.first().and_then(|(_, text, _)| literal(text)) {
            codes.entry(name).or_default().add_fixes(&calls);
        }
    }
}

impl Code {
    fn add_fixes(&mut self, calls: &[(&str, &str, usize)]) {
        self.fixes.extend(calls.iter().filter(|(name, _, _)| *name == "help").filter_map(|(_, help, _)| text(help)));
    }
}

/// Splits `name(arguments)rest`.
fn call(code: &str) -> Option<(&str, &str, &str)> {
    let name = code.split(|character: char| !character.is_ascii_lowercase() && character != '_').next()?;
    let arguments = code.strip_prefix(name)?.strip_prefix('(')?;
    let mut depth = 1_usize;
    let mut is_text = false;
    let mut is_escaped = false;
    for (place, character) in arguments.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, arguments.get(..place)?, arguments.get(place + 1..)?));
        }
    }
    None
}

/// The method calls that `code` begins with: name, arguments, and where the dot of the call is.
fn calls(code: &str) -> Vec<(&str, &str, usize)> {
    let mut calls = Vec::new();
    let mut rest = code;
    loop {
        rest = rest.trim_start();
        let place = code.len() - rest.len();
        let Some((name, arguments, tail)) = rest.strip_prefix('.').and_then(call) else { return calls };
        calls.push((name, arguments, place));
        rest = tail;
    }
}

/// What an argument says: a string, or a `format!` with `…` in the place of what varies.
fn text(argument: &str) -> Option<String> {
    let argument = argument.trim_start();
    let Some(inside) = argument.strip_prefix("format!(") else { return literal(argument) };
    let text = literal(inside.trim_start())?;
    let shown = text.split('{').enumerate().map(|(count, piece)| match piece.split_once('}') {
        Some((_, after)) if count > 0 => format!("…{after}"),
        _ => piece.to_owned(),
    });
    Some(shown.collect())
}

/// The string that `code` begins with. A line end behind a backslash, and the spaces after it, are no part of it.
fn literal(code: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = code.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                ' ' => {}
                'n' => text.push(' '),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Cargo;

    fn row(code: &str) -> String {
        let page = page(&Tree::of("cayenne-table", &[("src/a.rs", code)]));
        page.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_code_is_listed_with_its_kind_message_and_fix() {
        let code = r#"fn f() -> Error {
            Error::invalid("a (b) \"c\" \
                            d").with("x", y(1)).code("two-keys")
                .help(format!("leave {name} or {} | out", g("{")))
        }"#;
        assert_eq!(row(code), "| `two-keys` | `invalid` | a (b) \"c\" d | leave … or … \\| out |");
    }

    #[test]
    fn a_code_of_another_error_is_listed_without_a_message() {
        assert_eq!(row(r#"fn f() { error.code("broken").help("mend it") }"#), "| `broken` |  |  | mend it |");
    }

    #[test]
    fn tests_and_comments_have_no_codes() {
        let code = "// Error::invalid(\"a\").code(\"b\")\n#[cfg(test)]\nmod tests {\n fn f() { e.code(\"c\") }\n}";
        assert_eq!(row(code), "|---|---|---|---|");
    }

    #[test]
    fn texts_of_one_code_stand_together() {
        let code = r#"fn f() { Error::corrupt("b").code("x"); Error::conflict("a").code("x"); }"#;
        assert_eq!(row(code), "| `x` | `conflict`<br>`corrupt` | a<br>b |  |");
    }

    /// The kinds are defined by `cayenne-format`, on which this crate does not depend.
    #[test]
    fn every_kind_of_error_is_explained() {
        let cargo = Cargo::find().unwrap();
        let tree = Tree::load(cargo.root(), cargo.metadata()).unwrap();
        let words = tree.source("cayenne-format/src/error.rs").unwrap().shipped_words();
        let (_, code) = words.split_once("pub const fn code(self)").unwrap();
        let (code, _) = code.split_once("} }").unwrap();
        let defined: Vec<_> = code.split("=> ").skip(1).filter_map(literal).collect();
        assert_eq!(defined, KINDS.iter().map(|(_, code, _)| *code).collect::<Vec<_>>());
    }
}
