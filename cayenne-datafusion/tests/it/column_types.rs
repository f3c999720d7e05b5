//! Types come back as they were declared, after a reopen too.

use crate::fixture::{fixture, open};

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_sql_types_survive_a_reopen() {
    let mut f = fixture().await;
    f.run(
        "CREATE TABLE t AS SELECT 1::TINYINT AS i8, 2::SMALLINT AS i16, 3::INT AS i32, 4::BIGINT AS i64, \
         5::TINYINT UNSIGNED AS u8, 18446744073709551615::BIGINT UNSIGNED AS u64, 1.5::REAL AS f32, 2.5::DOUBLE AS f64, \
         true AS b, 12.34::DECIMAL(10, 2) AS d, 'text' AS s, DATE '2024-02-29' AS date, TIME '23:59:59.123456789' AS time, \
         TIMESTAMP '2024-02-29T12:00:00.123456789' AS ts, TIMESTAMP '2024-02-29T12:00:00+05:30' AS tz, \
         arrow_cast('x', 'LargeUtf8') AS ls, arrow_cast('y', 'Dictionary(Int32, Utf8)') AS dict, X'00FF' AS bin, \
         [1, NULL, 3] AS list, {'a': 1, 'b': 'two'} AS struct, NULL AS nothing",
    )
    .await;
    let before = (f.rows("SELECT * FROM t").await, f.rows("DESCRIBE t").await);
    assert_eq!(before.0.len(), 1);
    f.database.close().await.unwrap();
    (f.database, f.ctx) = open(f.folder.path()).await;
    assert_eq!((f.rows("SELECT * FROM t").await, f.rows("DESCRIBE t").await), before);
    assert_eq!(f.rows("SELECT arrow_typeof(tz), arrow_typeof(ls) FROM t").await.len(), 1);
    assert_eq!(f.rows("SELECT count(*) FROM t WHERE ts = TIMESTAMP '2024-02-29T12:00:00.123456789'").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_cannot_be_stored_is_refused_with_the_way_out() {
    let f = fixture().await;
    let error = f.fails("CREATE TABLE t AS SELECT INTERVAL '1 day' AS i").await;
    assert_eq!(error.stable_code(), "unsupported-type", "{error:?}");
    assert!(error.way_to_mend().unwrap().contains("cayenne_unsupported_type_action"));
    assert!(f.database.tables().await.unwrap().is_empty());
}
