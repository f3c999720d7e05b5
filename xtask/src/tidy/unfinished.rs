//! Tests that are switched off and code that is not written yet never land.

use crate::tree::{Finding, Tree};

/// What must not appear in code, spaces left out, and what to do instead.
const LEFTOVERS: &[(&str, &str)] = &[
    ("#[ignore", "a test that does not run proves nothing: mend it or remove it"),
    (",ignore)]", "a test that does not run proves nothing: mend it or remove it"),
    ("#[should_panic", "say which error is expected: assert on the result"),
    ("todo!", "write it, or return an error of kind Unsupported"),
    ("unimplemented!", "write it, or return an error of kind Unsupported"),
];

/// Nothing unfinished and nothing switched off, in tests as in code.
pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for (line, code) in source.code() {
            let code: String = code.split_whitespace().collect();
            let found = LEFTOVERS.iter().filter(|(leftover, _)| code.contains(leftover));
            findings.extend(found.map(|(leftover, advice)| {
                let name: String =
                    leftover.chars().filter(|character| *character == '_' || character.is_alphabetic()).collect();
                Finding::new(source.path(), line, format!("`{name}`: {advice}"))
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        leftovers(&Tree::of("a", &[("tests/it/b.rs", text)])).len()
    }

    #[test]
    fn switched_off_tests_are_found() {
        assert_eq!(found("#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}"), 2);
        assert_eq!(found("#[cfg_attr(windows, ignore)]"), 1);
        assert_eq!(found("#[ should_panic(expected = \"x\") ]"), 1);
    }

    #[test]
    fn unwritten_code_is_found() {
        assert_eq!(found("fn a() { todo!() }\nfn b() { unimplemented!(\"later\") }"), 2);
    }

    #[test]
    fn words_outside_code_are_left_alone() {
        assert_eq!(found("// todo! #[ignore]\nlet ignored = \"#[should_panic]\";\nfn ignore() {}"), 0);
    }
}
