//! Cases of tables: created, listed, dropped, and their writers.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use cayenne_format::{
    Change, Compression, ErrorKind, NewDataFile, Operation, Sequence, TableCommit, TableState, Timestamp, WriterEpoch,
};

use super::{add, append, refused, table};
use crate::conformance::Samples;
use crate::{Beginning, History, Metastore, TableRecord, Writer};

pub(in crate::conformance) async fn new_table_is_empty_and_listed(m: &dyn Metastore, samples: &Samples) {
    assert_eq!(m.list_tables().await.unwrap(), []);
    let new = samples.table("t");
    let record = m.create_table(&new).await.unwrap();
    assert_eq!((record.sequence, record.epoch, record.writer.clone()), (Sequence::ZERO, WriterEpoch::NONE, None));
    assert_eq!(m.list_tables().await.unwrap(), [record]);
    let snapshot = m.load_snapshot(new.id, None).await.unwrap();
    assert_eq!((snapshot.table(), snapshot.sequence(), snapshot.files().len()), (new.id, Sequence::ZERO, 0));
    assert_eq!(m.load_snapshot(new.id, Some(Sequence::ZERO)).await.unwrap(), snapshot);
    assert_eq!(m.load_log(new.id).await.unwrap(), []);
}

pub(in crate::conformance) async fn record_is_kept_exactly(m: &dyn Metastore, samples: &Samples) {
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
    let nested = DataType::Struct(vec![Field::new("\0", DataType::Date64, true)].into());
    let fields = vec![Field::new("", utc, false), Field::new("'; --", DataType::new_list(nested, false), true)];
    let metadata = [("key".to_owned(), "välue".to_owned())];
    let mut new = samples.table("t");
    new.schema = Arc::new(Schema::new_with_metadata(fields, metadata.into()));
    new.options.compression = Compression::Zstd;
    new.options.column_defaults.insert("'; --".to_owned(), "'it''s' || now()".to_owned());
    new.made_at = Timestamp(i64::MIN);
    let made = m.create_table(&new).await.unwrap();
    let writer = Writer { host: "ho'st \0 🌶".into(), process: u32::MAX, since: Timestamp(i64::MAX) };
    let epoch = m.begin_writer(new.id, &writer).await.unwrap();
    let expected = TableRecord {
        id: new.id,
        name: new.name.clone(),
        location: new.location.clone(),
        schema: Arc::clone(&new.schema),
        options: new.options.clone(),
        made_at: new.made_at,
        sequence: Sequence::ZERO,
        epoch,
        writer: Some(writer),
        history: History::default(),
    };
    assert_eq!(made, TableRecord { epoch: WriterEpoch::NONE, writer: None, ..expected.clone() });
    assert_eq!(m.list_tables().await.unwrap(), [expected]);
}

pub(in crate::conformance) async fn names_and_ids_are_unique(m: &dyn Metastore, samples: &Samples) {
    let first = samples.table("t");
    m.create_table(&first).await.unwrap();
    let before = m.list_tables().await.unwrap();
    refused(m.create_table(&first).await, ErrorKind::AlreadyExists);
    refused(m.create_table(&samples.table("t")).await, ErrorKind::AlreadyExists);
    let mut same_id = samples.table("other");
    same_id.id = first.id;
    refused(m.create_table(&same_id).await, ErrorKind::AlreadyExists);
    assert_eq!(m.list_tables().await.unwrap(), before);
    m.create_table(&samples.table("T")).await.expect("names are compared byte for byte");
}

fn rows(first: &TableCommit) -> Beginning {
    Beginning::FirstRows(Box::new(first.clone()))
}

pub(in crate::conformance) async fn first_rows_come_with_the_table_or_not_at_all(m: &dyn Metastore, samples: &Samples) {
    let mut new = samples.table("t");
    let file = samples.data_file();
    let mut first = samples.commit(new.id, WriterEpoch::NONE, vec![add(&file), add(&file)]);
    new.begins = rows(&first);
    refused(m.create_table(&new).await, ErrorKind::Invalid);
    first.changes.pop();
    first.epoch = WriterEpoch::new(1);
    new.begins = rows(&first);
    assert_eq!(refused(m.create_table(&new).await, ErrorKind::Conflict).stable_code(), "fenced");
    first.epoch = WriterEpoch::NONE;
    first.table = samples.table_id();
    new.begins = rows(&first);
    refused(m.create_table(&new).await, ErrorKind::Internal);
    assert_eq!(m.list_tables().await.unwrap(), []);
    first.table = new.id;
    new.begins = rows(&first);
    let record = m.create_table(&new).await.unwrap();
    assert_eq!(record.sequence.number(), 1);
    let snapshot = m.load_snapshot(new.id, None).await.unwrap();
    assert_eq!(snapshot.files().map(|file| file.id).collect::<Vec<_>>(), [file.file.id]);
    assert_eq!(m.load_blocks(new.id, file.file.id).await.unwrap(), file.blocks);
}

pub(in crate::conformance) async fn restored_table_goes_on_from_where_it_was(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let files = [append(m, samples, of).await, append(m, samples, of).await];
    let mut hides = samples.commit(of.0, of.1, vec![Change::AddDeletion(samples.deletion(files[0].file.id))]);
    hides.changes.push(Change::AddTombstones(samples.tombstones()));
    hides.source = Some(samples.source());
    m.commit(&[hides.clone()]).await.unwrap();
    let snapshot = m.load_snapshot(of.0, None).await.unwrap();
    let blocks = |id| files.iter().find(|new| new.file.id == id).unwrap().blocks.clone();
    let state = TableState {
        sequence: snapshot.sequence(),
        files: snapshot
            .files()
            .map(|file| NewDataFile { blocks: blocks(file.id), file: file.as_ref().clone() })
            .collect(),
        deletions: snapshot.deletions().map(|deletion| deletion.as_ref().clone()).collect(),
        tombstones: snapshot.tombstones().map(|file| file.as_ref().clone()).collect(),
        sources: hides.source.clone().into_iter().collect(),
    };
    let mut wrong = state.clone();
    wrong.sequence = Sequence::new(1).unwrap();
    let mut new = samples.table("u");
    new.begins = Beginning::Restored(Box::new(samples.restored(wrong)));
    refused(m.create_table(&new).await, ErrorKind::Corrupt);
    new.begins = Beginning::Restored(Box::new(samples.restored(state.clone())));
    let record = m.create_table(&new).await.unwrap();
    assert_eq!((record.sequence, record.epoch), (snapshot.sequence(), WriterEpoch::NONE));
    assert_eq!(record.history, History { kept_from: snapshot.sequence(), known_from: snapshot.sequence() });
    assert_eq!(m.load_snapshot(new.id, None).await.unwrap(), state.snapshot(new.id));
    assert_eq!(m.load_sources(new.id).await.unwrap(), state.sources);
    assert_eq!(m.load_blocks(new.id, files[1].file.id).await.unwrap(), files[1].blocks);
    refused(m.load_snapshot(new.id, Some(Sequence::new(2).unwrap())).await, ErrorKind::NotFound);
    let log = m.load_log(new.id).await.unwrap();
    assert_eq!(log.iter().map(|record| record.operation).collect::<Vec<_>>(), [Operation::Restore]);
    let mut next = samples.commit(new.id, WriterEpoch::NONE, vec![Change::RemoveFile(files[0].file.id)]);
    assert_eq!(m.commit(&[next.clone()]).await.unwrap(), [snapshot.sequence().next().unwrap()]);
    assert_eq!(m.load_snapshot(new.id, None).await.unwrap(), next.apply(&state.snapshot(new.id)).unwrap());
    next.id = samples.commit(new.id, WriterEpoch::NONE, Vec::new()).id;
    next.source = hides.source;
    assert_eq!(m.commit(&[next]).await.unwrap(), [snapshot.sequence()], "the position was taken in before");
    let mut empty = samples.table("v");
    empty.begins = Beginning::Restored(Box::new(samples.restored(TableState::default())));
    assert_eq!(m.create_table(&empty).await.unwrap().sequence, Sequence::ZERO);
    assert_eq!(m.load_log(empty.id).await.unwrap(), []);
}

pub(in crate::conformance) async fn table_takes_the_place_of_another_or_nothing_changes(
    m: &dyn Metastore,
    samples: &Samples,
) {
    let of = table(m, samples, "t").await;
    append(m, samples, of).await;
    table(m, samples, "other").await;
    let before = m.list_tables().await.unwrap();
    let mut new = samples.table("t");
    new.replaces = Some((of.0, WriterEpoch::NONE));
    assert_eq!(refused(m.create_table(&new).await, ErrorKind::Conflict).stable_code(), "fenced");
    new.replaces = Some((samples.table_id(), of.1));
    refused(m.create_table(&new).await, ErrorKind::NotFound);
    let mut taken = samples.table("other");
    taken.replaces = Some(of);
    refused(m.create_table(&taken).await, ErrorKind::AlreadyExists);
    assert_eq!(m.list_tables().await.unwrap(), before);
    new.replaces = Some(of);
    m.create_table(&new).await.unwrap();
    refused(m.load_snapshot(of.0, None).await, ErrorKind::NotFound);
    assert_eq!(m.load_snapshot(new.id, None).await.unwrap().files().len(), 0);
    assert_eq!(m.list_tables().await.unwrap().len(), 2);
    let epoch = m.begin_writer(new.id, &samples.writer()).await.unwrap();
    new.replaces = Some((new.id, epoch));
    assert_eq!(m.create_table(&new).await.unwrap().epoch, epoch, "what was fenced stays so in a table that goes on");
}

pub(in crate::conformance) async fn dropped_table_is_gone_and_its_name_is_free(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await;
    let neighbour = table(m, samples, "neighbour").await;
    append(m, samples, neighbour).await;
    let kept = m.load_snapshot(neighbour.0, None).await.unwrap();
    let error = refused(m.drop_table(of.0, WriterEpoch::NONE).await, ErrorKind::Conflict);
    assert_eq!(error.stable_code(), "fenced");
    m.drop_table(of.0, of.1).await.unwrap();
    refused(m.drop_table(of.0, of.1).await, ErrorKind::NotFound);
    refused(m.load_snapshot(of.0, None).await, ErrorKind::NotFound);
    let again = table(m, samples, "t").await;
    assert_eq!(m.load_snapshot(again.0, None).await.unwrap().files().len(), 0);
    refused(m.load_blocks(again.0, file.file.id).await, ErrorKind::NotFound);
    assert_eq!(m.load_snapshot(neighbour.0, None).await.unwrap(), kept);
}

pub(in crate::conformance) async fn missing_table_is_not_found(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await.file.id;
    let missing = samples.table_id();
    refused(m.drop_table(missing, WriterEpoch::NONE).await, ErrorKind::NotFound);
    refused(m.load_snapshot(missing, None).await, ErrorKind::NotFound);
    refused(m.load_snapshot(missing, Some(Sequence::ZERO)).await, ErrorKind::NotFound);
    refused(m.load_blocks(missing, file).await, ErrorKind::NotFound);
    refused(m.load_blocks(of.0, samples.file_id()).await, ErrorKind::NotFound);
    refused(m.load_log(missing).await, ErrorKind::NotFound);
    refused(m.begin_writer(missing, &samples.writer()).await, ErrorKind::NotFound);
    let commit = samples.commit(missing, WriterEpoch::NONE, Vec::new());
    refused(m.commit(&[commit]).await, ErrorKind::NotFound);
}

pub(in crate::conformance) async fn each_writer_fences_those_before_it_for_ever(m: &dyn Metastore, samples: &Samples) {
    let (id, first) = table(m, samples, "t").await;
    let mut epochs = vec![first];
    for _ in 0..3 {
        let writer = samples.writer();
        let latest = m.begin_writer(id, &writer).await.unwrap();
        assert!(epochs.iter().all(|epoch| *epoch < latest), "an epoch came twice");
        for fenced in &epochs {
            let commit = samples.commit(id, *fenced, vec![add(&samples.data_file())]);
            let error = refused(m.commit(&[commit]).await, ErrorKind::Conflict);
            assert_eq!(error.stable_code(), "fenced");
            assert!(error.to_string().contains(&writer.host), "the new writer is not named: {error}");
        }
        append(m, samples, (id, latest)).await;
        epochs.push(latest);
    }
    let ahead = WriterEpoch::new(99);
    let commit = samples.commit(id, ahead, Vec::new());
    refused(m.commit(&[commit]).await, ErrorKind::Conflict);
    assert_eq!(m.load_log(id).await.unwrap().len(), 3);
}

pub(in crate::conformance) async fn hostile_names_are_only_names(m: &dyn Metastore, samples: &Samples) {
    let names = [
        "'; DROP TABLE cayenne_table; --",
        "\"",
        "''",
        "`",
        "[x]",
        "?1",
        ":name",
        "%",
        "_",
        "a b",
        "NULL",
        "cayenne_table",
        "Ünïcode",
        "u\u{308}",
        "ü",
        "🌶",
        "\u{202e}",
        "...",
        "CON",
        "A",
        "a",
        " ",
        &"x".repeat(128),
    ];
    for name in names {
        let mut new = samples.table(name);
        new.location = format!("{name}\0/../{name}");
        let record = m.create_table(&new).await.expect(name);
        append(m, samples, (record.id, WriterEpoch::NONE)).await;
    }
    let listed: Vec<_> = m.list_tables().await.unwrap().into_iter().map(|record| record.name.to_string()).collect();
    let mut expected = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(listed, expected);
    for record in m.list_tables().await.unwrap() {
        assert_eq!(record.location, format!("{0}\0/../{0}", record.name));
        assert_eq!(m.load_snapshot(record.id, None).await.unwrap().files().len(), 1, "table {}", record.name);
    }
}

pub(in crate::conformance) async fn dropped_future_is_done_or_not_begun(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    for _ in 0..20 {
        let commit = [samples.commit(of.0, of.1, vec![add(&samples.data_file()), add(&samples.data_file())])];
        let mut context = Context::from_waker(Waker::noop());
        // The future is polled once and dropped, whatever it returns.
        let _ready = pin!(m.commit(&commit)).as_mut().poll(&mut context);
    }
    append(m, samples, of).await;
    let log = m.load_log(of.0).await.unwrap();
    let files = m.load_snapshot(of.0, None).await.unwrap().files().len();
    assert_eq!(files, 2 * (log.len() - 1) + 1, "half a commit was applied");
}

pub(in crate::conformance) async fn closed_metastore_refuses_everything(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let file = append(m, samples, of).await.file.id;
    m.close().await.unwrap();
    m.close().await.expect("closing twice is harmless");
    refused(m.list_tables().await, ErrorKind::Unavailable);
    refused(m.create_table(&samples.table("u")).await, ErrorKind::Unavailable);
    refused(m.drop_table(of.0, of.1).await, ErrorKind::Unavailable);
    refused(m.load_snapshot(of.0, None).await, ErrorKind::Unavailable);
    refused(m.load_blocks(of.0, file).await, ErrorKind::Unavailable);
    refused(m.load_log(of.0).await, ErrorKind::Unavailable);
    refused(m.begin_writer(of.0, &samples.writer()).await, ErrorKind::Unavailable);
    refused(m.make_durable().await, ErrorKind::Unavailable);
    let commit = samples.commit(of.0, of.1, Vec::new());
    let error = refused(m.commit(&[commit]).await, ErrorKind::Unavailable);
    assert_eq!(error.stable_code(), "closed");
}
