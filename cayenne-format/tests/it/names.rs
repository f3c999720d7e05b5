//! Names of objects: injective, confined and bounded, whatever the names of tables and partitions are.

use std::collections::HashMap;

use cayenne_format::{FileId, PartitionValue, TableId, TableName, Value, path};
use proptest::prelude::*;

const HOSTILE: &[&str] = &[
    "../../etc/passwd",
    "..",
    ".",
    "",
    "a/b",
    "a\0b",
    "CON",
    "nul.txt",
    "🌶🌶",
    "\u{202e}abc",
    "a%2e%2e",
    "%2E",
    "%5F",
    "A",
    "a",
    "é",
    "e\u{301}",
    "NULL",
    "null",
    "__HIVE_DEFAULT_PARTITION__",
    "%5F_HIVE_DEFAULT_PARTITION__",
    "year=1/month=2",
    "year=1",
    "a b",
    "a+b",
    "~",
    "-",
];

fn folder(key: &str, value: Option<Value>) -> String {
    path::partition_folder(&PartitionValue { key: key.to_owned(), value })
}

/// Asserts that the text is one path component that every file system accepts and that does not leave its folder.
fn assert_confined(component: &str) {
    assert!(!component.is_empty() && component.len() <= 255, "{component:?} has {} bytes", component.len());
    assert!(component != "." && component != "..", "{component:?} leads elsewhere");
    assert!(component.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\'), "{component:?}");
}

fn value() -> impl Strategy<Value = Option<Value>> {
    let text = prop_oneof![
        prop::sample::select(HOSTILE).prop_map(str::to_owned),
        any::<String>(),
        "[a-z%.~/=]{0,6}",
        "[a-c]{100,400}",
    ];
    prop_oneof![Just(None), text.prop_map(|text| Some(Value::Text(text)))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_partition_values_never_share_a_folder(a in value(), b in value()) {
        let (left, right) = (folder("k", a.clone()), folder("k", b.clone()));
        prop_assert_eq!(a == b, left == right, "{:?} and {:?}", left, right);
        assert_confined(&left);
    }

    #[test]
    fn two_partition_keys_never_share_a_folder(a in ".{1,40}", b in ".{1,40}") {
        prop_assert_eq!(a == b, folder(&a, None) == folder(&b, None));
        assert_confined(&folder(&a, None));
    }

    #[test]
    fn table_folders_are_confined_and_differ_by_id(name in ".{1,128}") {
        if let Ok(name) = TableName::try_from(name.as_str()) {
            let one = path::table_folder(&name, TableId::from_bytes([1; 16]));
            assert_confined(&one);
            prop_assert_ne!(one, path::table_folder(&name, TableId::from_bytes([2; 16])));
        }
    }
}

#[test]
fn hostile_partition_values_have_folders_of_their_own() {
    let mut seen = HashMap::new();
    for text in HOSTILE {
        let folder = folder("k", Some(Value::Text((*text).to_owned())));
        assert_confined(&folder);
        if let Some(other) = seen.insert(folder.clone(), text) {
            panic!("{text:?} and {other:?} share {folder}");
        }
    }
    assert!(!seen.contains_key(&folder("k", None)), "null shares a folder with a text");
}

#[test]
fn the_longest_table_name_fits_a_file_system() {
    let name = TableName::try_from("é".repeat(64).as_str()).unwrap();
    assert_confined(&path::table_folder(&name, TableId::from_bytes([255; 16])));
}

#[test]
fn a_data_file_lies_below_the_folders_of_its_partition() {
    let partition = [
        PartitionValue { key: "region".into(), value: Some(Value::Text("eu/west".into())) },
        PartitionValue { key: "year".into(), value: Some(Value::Int(2026)) },
    ];
    let id = FileId::from_bytes([3; 16]);
    let name = path::data_file(id, &partition);
    assert_eq!(name, format!("region=eu%2Fwest/year=2026/{id}.vortex"));
    assert_eq!(path::data_file_id(&name), Some(id));
}
