//! What a forger may say in a slice, with all digests right.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use cayenne_format::{
    ColumnStats, CommitId, ContentHash, DeletionFile, FileDigester, FileId, FileStats, Location, NewDataFile, NoSteps,
    PartitionValue, TableState, Value, path,
};
use cayenne_metastore::{Beginning, CommitLog, Metastore, NewTable, Restored, SqliteMetastore, SqliteSettings};

/// A table that a forger may change before it becomes a slice.
pub(crate) struct Forged {
    pub(crate) new: NewTable,
    pub(crate) state: TableState,
}

pub(crate) async fn read_slice(at: &Path) -> Forged {
    let file = at.join("metadata.db");
    let metastore = SqliteMetastore::open_read_only(&file, SqliteSettings::default()).await.unwrap();
    let record = metastore.list_tables().await.unwrap().remove(0);
    let snapshot = metastore.load_snapshot(record.id, None).await.unwrap();
    let mut state = TableState { sequence: snapshot.sequence(), ..TableState::default() };
    for file in snapshot.files() {
        let blocks = metastore.load_blocks(record.id, file.id).await.unwrap();
        state.files.push(NewDataFile { file: file.as_ref().clone(), blocks });
    }
    state.sources = metastore.load_sources(record.id).await.unwrap();
    let new = NewTable {
        id: record.id,
        name: record.name,
        location: record.location,
        schema: record.schema,
        options: record.options,
        made_at: record.made_at,
        begins: Beginning::Empty,
        replaces: None,
    };
    Forged { new, state }
}

/// Writes what a forger says into the metastore of a slice, with digests that fit.
pub(crate) async fn write_slice(at: &Path, forged: Forged) -> SqliteMetastore {
    let file = at.join("metadata.db");
    std::fs::remove_file(&file).unwrap();
    let metastore = SqliteMetastore::open(&file, SqliteSettings::default(), Arc::new(NoSteps)).await.unwrap();
    let (commit, made_at) = (CommitId::from_bytes([5; 16]), forged.new.made_at);
    let restored = Box::new(Restored { commit, made_at, state: forged.state });
    metastore.create_table(&NewTable { begins: Beginning::Restored(restored), ..forged.new }).await.unwrap();
    metastore
}

/// The data files of a slice.
pub(crate) fn data_files(at: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(at.join("files")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Bytes that mean nothing.
pub(crate) fn garbage() -> Vec<u8> {
    (0..5_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

pub(crate) fn path_of(state: &mut TableState, at: usize) -> &mut String {
    match &mut state.files[at].file.location {
        Location::Path(name) => name,
        Location::Inline(_) => panic!("it is inline"),
    }
}

fn inline_of(state: &TableState) -> usize {
    state.files.iter().position(|new| new.file.is_inline()).unwrap()
}

pub(crate) type Forgery = (&'static str, fn(&Path, &mut Forged));

/// What a forger may say of a table, with all digests right.
pub(crate) const FORGERIES: &[Forgery] = &[
    ("a folder above", |_, forged| forged.new.location = "../files".into()),
    ("another folder", |_, forged| forged.new.location = "data".into()),
    ("an absolute folder", |_, forged| forged.new.location = "/etc".into()),
    ("no folder", |_, forged| forged.new.location = String::new()),
    ("a file above", |at, forged| {
        std::fs::rename(&data_files(at)[0], at.join("x.vortex")).unwrap();
        *path_of(&mut forged.state, 0) = "../x.vortex".into();
    }),
    ("an absolute file", |at, forged| {
        *path_of(&mut forged.state, 0) = data_files(at)[0].display().to_string();
    }),
    ("a file under another name", |at, forged| {
        std::fs::rename(&data_files(at)[0], at.join("files/x.vortex")).unwrap();
        *path_of(&mut forged.state, 0) = "x.vortex".into();
    }),
    ("a file in a folder that is no partition", |at, forged| {
        let from = data_files(at)[0].clone();
        std::fs::create_dir(at.join("files/k=v")).unwrap();
        let name = format!("k=v/{}", from.file_name().unwrap().to_str().unwrap());
        std::fs::rename(from, at.join("files").join(&name)).unwrap();
        *path_of(&mut forged.state, 0) = name;
    }),
    ("one file under two ids", |_, forged| {
        let name = path_of(&mut forged.state, 0).clone();
        *path_of(&mut forged.state, 1) = name;
    }),
    ("more rows", |_, forged| forged.state.files[0].file.rows += 1),
    ("no rows", |_, forged| forged.state.files[0].file.rows = 0),
    ("more rows inline", |_, forged| {
        let at = inline_of(&forged.state);
        forged.state.files[at].file.rows += 1;
    }),
    ("more bytes", |_, forged| forged.state.files[0].file.bytes += 1),
    ("more bytes inline", |_, forged| {
        let at = inline_of(&forged.state);
        forged.state.files[at].file.bytes += 1;
    }),
    ("the hash of another file", |_, forged| {
        forged.state.files[0].file.hash = ContentHash(forged.state.files[0].file.hash.0 ^ 1);
    }),
    ("the blocks of another file", |_, forged| forged.state.files[0].blocks = forged.state.files[1].blocks.clone()),
    ("inline rows that are none", |_, forged| {
        let at = inline_of(&forged.state);
        let file = &mut forged.state.files[at].file;
        (file.bytes, file.hash) = (garbage().len() as u64, ContentHash::of(&garbage()));
        file.location = Location::Inline(garbage().into());
    }),
    ("a data file that is none", |at, forged| {
        std::fs::write(at.join("files").join(path_of(&mut forged.state, 0).clone()), garbage()).unwrap();
        let mut digester = FileDigester::default();
        digester.feed(&garbage());
        let digest = digester.finish();
        let new = &mut forged.state.files[0];
        (new.file.bytes, new.file.hash, new.blocks) = (garbage().len() as u64, digest.hash, digest.blocks);
    }),
    ("other columns", |_, forged| {
        let fields = vec![Field::new("id", DataType::Utf8, false), Field::new("text", DataType::Utf8, true)];
        forged.new.schema = Arc::new(Schema::new(fields));
        let at = inline_of(&forged.state);
        forged.state.files.remove(at);
    }),
    ("fewer columns inline", |_, forged| {
        forged.new.schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        forged.state.files.retain(|new| new.file.is_inline());
    }),
    ("columns that no table is stored with", |_, forged| {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("id", DataType::Utf8, true)];
        forged.new.schema = Arc::new(Schema::new(fields));
    }),
    ("a partition behind a link", |at, forged| {
        let value = PartitionValue { key: "k".into(), value: Some(Value::Text("v".into())) };
        let outside = at.join("outside");
        std::fs::create_dir(&outside).unwrap();
        let from = data_files(at)[0].clone();
        std::fs::rename(&from, outside.join(from.file_name().unwrap())).unwrap();
        std::os::unix::fs::symlink(outside, at.join("files/k=v")).unwrap();
        let file = &mut forged.state.files[0].file;
        file.partition = vec![value];
        file.location = Location::Path(path::data_file(file.id, &file.partition));
    }),
    ("deletions in a file", |_, forged| {
        forged.state.deletions.push(DeletionFile {
            id: FileId::from_bytes([1; 16]),
            data_file: forged.state.files[0].file.id,
            location: Location::Path("../../x".into()),
            rows: 1,
            sequence: forged.state.sequence,
        });
    }),
    ("statistics of other columns", |_, forged| {
        forged.state.files[0].file.stats = FileStats::new(&vec![ColumnStats::default(); 3]);
    }),
];
