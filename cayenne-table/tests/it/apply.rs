//! Apply: the order of changes, repeated source positions, and what is refused.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use cayenne_format::{SourcePosition, TableOptions};
use cayenne_table::{ChangeKind, RowChanges};

use crate::fixture::{database, existing, name, open};
use crate::keyed::{Content, batch, changes, content, files, inline, keyed, pairs};

fn at(position: u64) -> SourcePosition {
    SourcePosition { stream: "orders".into(), position }
}

/// Every series of up to four changes of one key, cut into batches in every way.
// pitfall 22, pitfall 106
#[tokio::test(flavor = "multi_thread")]
async fn of_changes_of_one_key_the_last_counts_within_and_across_batches() {
    for options in [inline(), files()] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        let (mut expected, mut id) = (Content::new(), 0);
        for length in 1..=4_u32 {
            for kinds in 0..1_i64 << length {
                for was_there in [false, true] {
                    id += 1;
                    if was_there {
                        t.append(pairs([(id, -1)])).await.unwrap();
                    }
                    let all: Vec<_> =
                        (0..length).map(|place| (id, (kinds >> place & 1 == 1).then_some(i64::from(place)))).collect();
                    let cut = usize::try_from(kinds).unwrap() % (all.len() + 1);
                    let batches = [&all[..cut], &all[cut..]].map(|part| changes(part.iter().copied())).into();
                    let written = t.apply(batches, None).await.unwrap();
                    let last = all.last().unwrap().1;
                    assert_eq!(written.rows_removed, u64::from(was_there), "{all:?}");
                    assert_eq!(written.rows, u64::from(last.is_some()), "{all:?}");
                    if let Some(value) = last {
                        expected.insert(id, value);
                    }
                }
            }
        }
        assert_eq!(content(&t).await, expected);
    }
}

// pitfall 115
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_was_taken_in_before_changes_nothing_also_after_reopening() {
    let (folder, first) = database().await;
    let t = keyed(&first, inline()).await;
    t.apply(vec![changes([(1, Some(1)), (2, Some(2))])], Some(at(5))).await.unwrap();
    t.apply(vec![changes([(2, None)])], Some(at(6))).await.unwrap();
    for position in [5, 6, 1] {
        let again = t.apply(vec![changes([(1, None), (2, Some(9)), (3, Some(9))])], Some(at(position))).await.unwrap();
        assert!(again.is_repeated && again.rows == 0 && again.rows_removed == 0, "{again:?}");
    }
    let sequence = t.view().await.unwrap().sequence();
    // A source position without changes is committed.
    assert!(!t.apply(vec![changes([])], Some(at(7))).await.unwrap().is_repeated);
    assert!(t.apply(vec![changes([(1, None)])], Some(at(7))).await.unwrap().is_repeated);
    assert_eq!(t.view().await.unwrap().sequence().number(), sequence.number() + 1);
    // Without a source position there is nothing to commit: no snapshot.
    t.apply(vec![changes([])], None).await.unwrap();
    t.apply(vec![changes([(77, None)])], None).await.unwrap();
    assert_eq!(t.view().await.unwrap().sequence().number(), sequence.number() + 1);
    drop(t);
    first.close().await.unwrap();
    let second = open(folder.path()).await;
    let t = existing(&second, "t").await;
    assert!(t.apply(vec![changes([(1, None)])], Some(at(7))).await.unwrap().is_repeated);
    assert_eq!(content(&t).await, [(1, 1)].into());
    t.apply(vec![changes([(1, None)])], Some(at(8))).await.unwrap();
    assert_eq!(content(&t).await, [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_make_no_sense_change_nothing() {
    let (_folder, database) = database().await;
    let t = keyed(&database, inline()).await;
    t.append(pairs([(1, 1), (2, 2)])).await.unwrap();
    let sequence = t.view().await.unwrap().sequence();
    let good = || changes([(1, None), (3, Some(3))]);
    let column = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
    let of = |columns: Vec<(&str, ArrayRef)>| {
        let fields: Vec<_> = columns.iter().map(|(name, array)| column(name, array.data_type())).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
            .unwrap()
    };
    let numbers = |values: [Option<i64>; 2]| -> ArrayRef { Arc::new(values.into_iter().collect::<Int64Array>()) };
    let both = |rows: RecordBatch, kind| RowChanges { kinds: vec![kind; rows.num_rows()], rows };
    let (upsert, delete) = (ChangeKind::Upsert, ChangeKind::Delete);
    let null = || of(vec![("id", numbers([Some(1), None])), ("value", numbers([Some(1), Some(1)]))]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let bad = vec![
        ("too few kinds", RowChanges { kinds: vec![upsert], rows: batch([(1, 1), (2, 2)]) }),
        ("too many kinds", RowChanges { kinds: vec![delete; 3], rows: batch([(1, 1), (2, 2)]) }),
        ("no key column", both(of(vec![("value", numbers([Some(1), Some(2)]))]), delete)),
        ("a null key comes", both(null(), upsert)),
        ("a null key goes", both(null(), delete)),
        ("a key of another type", both(of(vec![("id", text), ("value", numbers([Some(1), Some(1)]))]), delete)),
        ("a column is missing", both(of(vec![("id", numbers([Some(1), Some(2)]))]), upsert)),
    ];
    for (what, bad) in bad {
        for batches in [vec![good(), bad.clone()], vec![bad.clone(), good()]] {
            let error = t.apply(batches, Some(at(1))).await.expect_err(what);
            assert_eq!(error.kind(), cayenne_format::ErrorKind::Invalid, "{what}: {error:?}");
            assert_eq!(t.view().await.unwrap().sequence(), sequence, "{what}");
        }
    }
    assert_eq!(content(&t).await, [(1, 1), (2, 2)].into());
    assert!(!t.apply(vec![good()], Some(at(1))).await.unwrap().is_repeated, "none of them was taken in");
}

/// Sources may write keys in wider types than the table has.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_narrower_and_wider_types_are_the_same_keys() {
    let (_folder, database) = database().await;
    let schema = Schema::new(vec![
        Field::new("value", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, false),
        Field::new("id", DataType::Int32, false),
    ]);
    let key = vec!["id".to_owned(), "name".to_owned()];
    let t = database.create_table(&name("t"), &schema, TableOptions { primary_key: key, ..inline() }).await.unwrap();
    let rows = |id: ArrayRef, name: ArrayRef, value: i64| {
        let value: ArrayRef = Arc::new(Int64Array::from(vec![value; id.len()]));
        let fields = [("value", &value), ("name", &name), ("id", &id)]
            .map(|(name, array)| Field::new(name, array.data_type().clone(), true));
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![value, name, id]).unwrap()
    };
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["a", "b"])) };
    let large = || -> ArrayRef { Arc::new(arrow_array::LargeStringArray::from(vec!["a", "b"])) };
    let dictionary = || -> ArrayRef {
        Arc::new(["a", "b"].into_iter().collect::<arrow_array::DictionaryArray<arrow_array::types::Int8Type>>())
    };
    let apply = async |kind: ChangeKind, rows: RecordBatch| {
        t.apply(vec![RowChanges { kinds: vec![kind; 2], rows }], None).await
    };
    let count = async || t.view().await.unwrap().snapshot().visible_rows().unwrap();
    for (place, texts) in [text(), large(), dictionary()].into_iter().enumerate() {
        let written = apply(ChangeKind::Upsert, rows(Arc::clone(&narrow), Arc::clone(&texts), 1)).await.unwrap();
        assert_eq!((written.rows_removed, count().await), (if place == 0 { 0 } else { 2 }, 2));
        // Wide keys are either read with their value or refused, never taken for other keys.
        match apply(ChangeKind::Upsert, rows(Arc::clone(&wide), Arc::clone(&texts), 2)).await {
            Ok(written) => assert_eq!((written.rows_removed, count().await), (2, 2)),
            Err(error) => assert_eq!((error.kind(), count().await), (cayenne_format::ErrorKind::Invalid, 2)),
        }
    }
    let gone = apply(ChangeKind::Delete, rows(narrow, dictionary(), 0)).await.unwrap();
    assert_eq!((gone.rows_removed, count().await), (2, 0));
}
