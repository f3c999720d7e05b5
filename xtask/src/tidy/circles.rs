//! The rooms of a crate stand in one order: of two folders, one knows the other, and not both each other.
//!
//! A folder, or a file beside it, directly below `src` is a room. What it names as `crate::<room>` it knows; what it names
//! as `crate::<Item>` it knows too, in the room that `lib.rs` exports the item from. Methods of one struct may be written in
//! many rooms, and calling them is not seen here.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Crate, Finding, Source, Tree};

/// Rooms that know each other and are still to be parted. No crate is added, and no room to one.
const KNOWN: &[(&str, &[&str])] = &[
    ("cayenne-benches", &["engines", "measure"]),
    ("cayenne-benches", &["report", "workload"]),
    ("cayenne-cli", &["exit", "terminal"]),
    ("cayenne-format", &["commit", "commit_codec", "key_options", "manifest", "options", "snapshot"]),
    ("cayenne-format", &["value", "value_array"]),
    ("cayenne-metastore", &["sql", "sqlite", "turso"]),
    ("cayenne-storage", &["beside", "decode_memory", "inline", "read", "storage", "take", "write"]),
];

/// For each room, the rooms that it names, and where it does so first.
type Edges<'a> = BTreeMap<String, BTreeMap<String, (&'a str, usize)>>;

/// Rooms that know each other must be those of [`KNOWN`].
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for member in &tree.crates {
        let edges = edges(member);
        for circle in circles(&edges) {
            match KNOWN.iter().position(|(name, rooms)| *name == member.name && circle.iter().eq(rooms.iter())) {
                Some(known) => drop(seen.insert(known)),
                None => findings.extend(finding(&edges, &circle)),
            }
        }
    }
    let is_here = |name: &str| tree.crates.iter().any(|member| member.name == name);
    let gone = KNOWN.iter().enumerate().filter(|(at, (name, _))| is_here(name) && !seen.contains(at));
    findings.extend(gone.map(|(_, (name, rooms))| {
        let message = format!("KNOWN has a circle of `{name}` that is none any more: {}", rooms.join(", "));
        Finding::new("xtask/src/tidy/circles.rs", 1, message)
    }));
    findings
}

fn finding(edges: &Edges<'_>, circle: &BTreeSet<String>) -> Option<Finding> {
    let room = circle.first()?;
    let (other, (path, line)) = edges.get(room)?.iter().find(|(other, _)| circle.contains(*other))?;
    let rooms = circle.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = format!("`{room}` names `{other}`, and both know each other by way of: {rooms}");
    Some(Finding::new(path, *line, message))
}

fn edges(member: &Crate) -> Edges<'_> {
    let folder = format!("{}/src/", member.folder);
    let exports = member.sources.iter().find(|source| source.path() == format!("{folder}lib.rs")).map(exports);
    let exports = exports.unwrap_or_default();
    let rooms: BTreeSet<&str> = member.sources.iter().filter_map(|source| room_of(source, &folder)).collect();
    let mut edges = Edges::new();
    for source in &member.sources {
        let Some(room) = room_of(source, &folder) else { continue };
        for (line, name) in names(source) {
            let known = rooms.get(name.as_str()).map(|room| (*room).to_owned()).or_else(|| exports.get(&name).cloned());
            if let Some(known) = known.filter(|known| known != room) {
                edges.entry(room.to_owned()).or_default().entry(known).or_insert((source.path(), line));
            }
        }
    }
    edges
}

/// Returns the room of a file that is built into the crate; its root is in none.
fn room_of<'a>(source: &'a Source, folder: &str) -> Option<&'a str> {
    let below = source.path().strip_prefix(folder)?;
    let room = below.split('/').next()?.trim_end_matches(".rs");
    (!matches!(room, "lib" | "main")).then_some(room)
}

/// Returns which room each item comes from that the root exports.
fn exports(library: &Source) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for statement in shipped(library).split(';') {
        let Some((_, path)) = statement.split_once("use ") else { continue };
        let mut words = path.split(|character: char| !character.is_alphanumeric() && character != '_');
        let Some(room) = words.next() else { continue };
        exports.extend(words.filter(|word| !word.is_empty()).map(|word| (word.to_owned(), room.to_owned())));
    }
    exports
}

/// Returns the first names after `crate::`, those in braces included, with their lines.
fn names(source: &Source) -> Vec<(usize, String)> {
    let text = shipped(source);
    let mut names = Vec::new();
    for (at, word) in text.match_indices("crate::") {
        let is_whole =
            !text.get(..at).unwrap_or_default().ends_with(|before: char| before == '$' || is_of_name(before));
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let rest = text.get(at + word.len()..).unwrap_or_default();
        if is_whole {
            names.extend(heads(rest).into_iter().map(|name| (line, name)));
        }
    }
    names
}

/// Returns the name that a path begins with, or those of the paths in braces.
fn heads(rest: &str) -> Vec<String> {
    let head =
        |path: &str| path.trim_start().chars().take_while(|character| is_of_name(*character)).collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![head(rest)] };
    let (mut depth, mut parts) = (0_usize, vec![String::new()]);
    for character in list.chars() {
        match character {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {}
        }
        if let Some(part) = parts.last_mut().filter(|_| depth == 0 && character != ',') {
            part.push(character);
        }
    }
    parts.iter().map(|part| head(part)).filter(|name| !name.is_empty()).collect()
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn shipped(source: &Source) -> String {
    source.shipped_code().map(|(_, code)| code).collect::<Vec<_>>().join("\n")
}

/// Returns the sets of rooms each of which reaches all others of its set.
fn circles(edges: &Edges<'_>) -> BTreeSet<BTreeSet<String>> {
    let known: BTreeMap<&String, BTreeSet<&String>> = edges.keys().map(|room| (room, reach(edges, room))).collect();
    let both = |room: &String, other: &String| {
        let does = |from: &String, to: &String| known.get(from).is_some_and(|rooms| rooms.contains(to));
        does(room, other) && does(other, room)
    };
    let circle = |room: &String| edges.keys().filter(|other| both(room, other)).cloned().collect::<BTreeSet<_>>();
    edges.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

fn reach<'a>(edges: &'a Edges<'_>, room: &str) -> BTreeSet<&'a String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![room]);
    while let Some(room) = next.pop() {
        for known in edges.get(room).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(known) {
                next.push(known);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of("a", files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rooms_in_one_order_are_fine() {
        let files = [
            ("src/lib.rs", "mod view;\nmod write;\npub use view::pin::Pin;\n"),
            ("src/view/pin.rs", "pub struct Pin;\n"),
            ("src/write/publish.rs", "use crate::view::pin;\nuse crate::write::stage;\n"),
            ("src/write/stage.rs", "use crate::Pin;\nuse crate::write::publish;\n"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn rooms_that_know_each_other_are_found_with_the_line() {
        let files = [
            ("src/lib.rs", "pub use write::publish::{Published, Turn as Other};\n"),
            ("src/view/pin.rs", "//! A pin.\nuse crate::{Published, other};\n"),
            ("src/write/publish.rs", "use crate::{middle::{a, b}, write};\n"),
            ("src/middle.rs", "fn f() -> crate::view::Pin {}\n"),
        ];
        let expected =
            "a/src/middle.rs:1: `middle` names `view`, and both know each other by way of: middle, view, write";
        assert_eq!(found(&files), [expected]);
    }

    #[test]
    fn what_tests_and_comments_name_is_not_looked_at() {
        let files = [
            ("src/lib.rs", ""),
            (
                "src/view.rs",
                "// crate::write\nuse crate::error;\n#[cfg(test)]\nmod tests {\n    use crate::write;\n}\n",
            ),
            ("src/write.rs", "use crate::view;\n"),
        ];
        assert!(found(&files).is_empty());
    }
}
