//! Cases of views of SQL: created, replaced, dropped, and their names.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use cayenne_format::{ErrorKind, TableName, Timestamp};

use super::{refused, table};
use crate::conformance::Samples;
use crate::{Metastore, SqlView};

fn name(text: &str) -> TableName {
    TableName::try_from(text).unwrap()
}

pub(in crate::conformance) async fn view_is_kept_exactly(m: &dyn Metastore, samples: &Samples) {
    assert_eq!(m.list_views().await.unwrap(), []);
    assert_eq!(m.find_view(&name("v")).await.unwrap(), None);
    let plain = samples.view("v");
    let mut odd = samples.view("'; DROP TABLE cayenne_view; --");
    odd.definition = "AS SELECT '\u{1}🌶', \"\", x'00' -- ".repeat(1_000);
    odd.default_catalog = None;
    odd.default_schema = String::new();
    odd.columns = Arc::new(Schema::new(vec![Field::new("", DataType::Null, true)]));
    odd.made_at = Timestamp(i64::MIN);
    let mut empty = samples.view("w");
    (empty.definition, empty.default_catalog, empty.dialect) = (String::new(), Some(String::new()), String::new());
    for view in [&plain, &odd, &empty] {
        m.create_view(view, false).await.unwrap();
        assert_eq!(m.find_view(&view.name).await.unwrap().as_ref(), Some(view));
    }
    assert_eq!(m.list_views().await.unwrap(), [odd, plain, empty], "ordered by name");
    assert_eq!(m.list_tables().await.unwrap(), [], "a view is no table");
}

pub(in crate::conformance) async fn view_is_replaced_only_if_that_is_asked(m: &dyn Metastore, samples: &Samples) {
    let first = samples.view("v");
    m.create_view(&first, true).await.expect("there is nothing to replace");
    let second = SqlView { definition: "AS SELECT 2".into(), ..first.clone() };
    assert_eq!(refused(m.create_view(&second, false).await, ErrorKind::AlreadyExists).stable_code(), "view-exists");
    assert_eq!(m.list_views().await.unwrap(), [first]);
    m.create_view(&second, true).await.unwrap();
    assert_eq!(m.list_views().await.unwrap(), [second]);
}

pub(in crate::conformance) async fn dropped_view_is_gone_and_its_name_is_free(m: &dyn Metastore, samples: &Samples) {
    let (first, other) = (samples.view("v"), samples.view("other"));
    m.create_view(&first, false).await.unwrap();
    m.create_view(&other, false).await.unwrap();
    assert!(m.drop_view(&first.name).await.unwrap());
    assert!(!m.drop_view(&first.name).await.unwrap(), "there is none any more");
    assert_eq!(m.find_view(&first.name).await.unwrap(), None);
    assert_eq!(m.list_views().await.unwrap(), [other]);
    m.create_view(&first, false).await.expect("the name is free for a view");
    assert!(m.drop_view(&first.name).await.unwrap());
    m.create_table(&samples.table("v")).await.expect("and for a table");
}

pub(in crate::conformance) async fn table_and_view_never_share_a_name(m: &dyn Metastore, samples: &Samples) {
    let of = table(m, samples, "t").await;
    let view = samples.view("v");
    m.create_view(&view, false).await.unwrap();
    let before = m.list_tables().await.unwrap();
    for replace in [false, true] {
        let error = refused(m.create_view(&samples.view("t"), replace).await, ErrorKind::AlreadyExists);
        assert_eq!(error.stable_code(), "table-exists");
    }
    let mut new = samples.table("v");
    assert_eq!(refused(m.create_table(&new).await, ErrorKind::AlreadyExists).stable_code(), "view-exists");
    new.replaces = Some(of);
    refused(m.create_table(&new).await, ErrorKind::AlreadyExists);
    assert!(!m.drop_view(&name("t")).await.unwrap(), "a table is no view");
    assert_eq!(m.list_tables().await.unwrap(), before);
    assert_eq!(m.list_views().await.unwrap(), [view]);
    m.create_view(&samples.view("T"), false).await.expect("names are compared byte for byte");
    m.drop_table(of.0, of.1).await.unwrap();
    m.create_view(&samples.view("t"), false).await.expect("the name is free");
}

pub(in crate::conformance) async fn closed_metastore_refuses_views(m: &dyn Metastore, samples: &Samples) {
    let view = samples.view("v");
    m.create_view(&view, false).await.unwrap();
    m.close().await.unwrap();
    refused(m.create_view(&view, true).await, ErrorKind::Unavailable);
    refused(m.drop_view(&view.name).await, ErrorKind::Unavailable);
    refused(m.find_view(&view.name).await, ErrorKind::Unavailable);
    refused(m.list_views().await, ErrorKind::Unavailable);
}
