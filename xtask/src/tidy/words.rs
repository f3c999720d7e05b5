//! One word per concept: the synonyms that the vocabulary rejects, in the names that our crates introduce.

use crate::tree::is_word;
use crate::tree::{Finding, Source, Tree};

/// Rejected words, as they follow each other inside one identifier, and our word.
///
/// Only words that no library we stand on uses for something else; the rest of the vocabulary is for readers.
const REJECTED: &[(&[&str], &str)] = &[
    (&["alive", "set"], "deletion vector"),
    (&["anti", "row"], "tombstone"),
    (&["delete", "bitmap"], "deletion vector"),
    (&["delete", "cache"], "deletion set"),
    (&["deletion", "index"], "deletion set"),
    (&["deletion", "view"], "deletion set"),
    (&["exception"], "error"),
    (&["gc"], "collect (orphans) or expire (snapshots)"),
    (&["insert", "record"], "tombstone"),
    (&["lsn"], "sequence"),
    (&["metadata", "store"], "metastore"),
    (&["morsel"], "split"),
    (&["opstamp"], "sequence"),
    (&["pk", "bytes"], "key"),
    (&["seq", "no"], "sequence"),
    (&["seqno"], "sequence"),
    (&["sst"], "data file"),
    (&["tombstone", "index"], "deletion set"),
    (&["vacuum"], "collect (orphans) or expire (snapshots)"),
    (&["virtual", "file"], "data file"),
];

/// Benchmarks speak of other engines in those engines' words.
const EXEMPT: &[&str] = &["cayenne-benches"];

/// A name that our crates introduce must use our words.
pub(super) fn rejected(tree: &Tree) -> Vec<Finding> {
    let ours = tree.crates.iter().filter(|member| !EXEMPT.contains(&member.name.as_str()));
    ours.flat_map(|member| &member.sources).flat_map(in_source).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut imports = false;
    for (line, code) in source.code() {
        let start = code.trim_start();
        imports |= start.starts_with("use ") || (start.starts_with("pub") && start.contains(" use "));
        if !imports {
            findings.extend(introduced(code).into_iter().filter_map(|name| {
                let our_word = our_word(name)?;
                Some(Finding::new(source.path(), line, format!("`{name}`: our word is {our_word}")))
            }));
        }
        imports &= !code.contains(';');
    }
    findings
}

/// The identifiers of a line, without those reached through `.` or `::`: where a name is ours, it stands elsewhere alone.
fn introduced(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = code;
    let mut reached = false;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let length = if word == 0 { first.len_utf8() } else { word };
        let (piece, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if word > 0 && !reached {
            names.push(piece);
        }
        reached = first == '.' || (piece == ":" && reached_by_path(code, tail));
        rest = tail;
    }
    names
}

/// Whether what is left of `code` comes right after a `::`.
fn reached_by_path(code: &str, tail: &str) -> bool {
    code.strip_suffix(tail).is_some_and(|before| before.ends_with("::"))
}

/// Our word for what the identifier calls something else.
fn our_word(name: &str) -> Option<&'static str> {
    let words = words_of(name);
    let rejected = REJECTED.iter().find(|(phrase, _)| words.windows(phrase.len()).any(|window| window == *phrase));
    rejected.map(|(_, our_word)| *our_word)
}

/// Cuts `snake_case`, `SCREAMING_CASE` and `CamelCase` into lower-case words; an acronym is one word.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(|next| next.is_lowercase());
        let begins = character.is_uppercase() && (!before.is_uppercase() || next_is_lower);
        if character == '_' || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character != '_') {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let findings = rejected(&Tree::of("cayenne-table", &[("src/b.rs", text)]));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rejected_words_are_found_in_every_case() {
        assert_eq!(
            found("\nfn run_gc() {}"),
            ["cayenne-table/src/b.rs:2: `run_gc`: our word is collect (orphans) or expire (snapshots)"]
        );
        assert_eq!(found("struct DeleteBitmap;").len(), 1);
        assert_eq!(found("const SEQ_NO: u64 = 1;").len(), 1);
        assert_eq!(found("enum E { LSNGap }").len(), 1);
        assert_eq!(found("let last_seqno = 1;").len(), 1);
        assert_eq!(found("struct S { virtual_file: u8 }").len(), 1);
    }

    #[test]
    fn comments_and_messages_may_explain_them() {
        assert!(found("// no gc, no vacuum\nlet message = \"vacuum\";").is_empty());
    }

    #[test]
    fn names_of_libraries_are_left_alone() {
        assert!(found("let tidy = array.gc();").is_empty());
        assert!(found("arrow::compute::gc(array);").is_empty());
        assert!(found("use arrow::{\n    gc,\n    vacuum,\n};\npub use a::vacuum;").is_empty());
        assert_eq!(found("use arrow::gc;\nfn vacuum() {}").len(), 1);
    }

    #[test]
    fn words_match_whole() {
        assert!(found("fn exceptional() {}").is_empty());
        assert!(found("let gcd = assert_eq!(deletions, indexes);").is_empty());
        assert!(found("fn insert_records() {}").is_empty());
    }

    #[test]
    fn benchmarks_may_use_the_words_of_other_engines() {
        assert_eq!(rejected(&Tree::of("cayenne-benches", &[("src/b.rs", "fn vacuum() {}")])), []);
    }

    #[test]
    fn identifiers_are_cut_into_words() {
        assert_eq!(words_of("HTTPServer_v2URL"), ["http", "server", "v2", "url"]);
        assert_eq!(words_of("__snake__case"), ["snake", "case"]);
    }
}
