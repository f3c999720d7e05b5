//! Keys of every type in conditions: a lookup finds the same rows as a scan.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use cayenne_format::TableOptions;

use crate::fixture::{Fixture, fixture};

/// Keys of one type, and the values that they are compared with.
struct Case {
    /// The type's name, as `arrow_cast` and Arrow parse it.
    key: &'static str,
    /// The values from which `arrow_cast` makes the keys.
    values: &'static [&'static str],
    /// More expressions to compare with: of other types, out of range, between two keys, invalid.
    others: &'static [&'static str],
}

const WHOLE: &[&str] = &[
    "0",
    "7",
    "-1",
    "127",
    "128",
    "300",
    "70000",
    "1.5",
    "7.0",
    "-0.0",
    "1e30",
    "'7'",
    "'x'",
    "NULL",
    "7::DECIMAL(5, 2)",
    "7.5::DECIMAL(5, 2)",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "arrow_cast(7, 'UInt64')",
    "arrow_cast(7, 'Int8')",
    "arrow_cast(7.5, 'Float32')",
    "true",
];
const DECIMAL: &[&str] = &[
    "0",
    "1",
    "1.5",
    "1.25",
    "1.255",
    "-0.0",
    "1.5::DECIMAL(3, 1)",
    "1.2500::DECIMAL(20, 4)",
    "1.2501::DECIMAL(20, 4)",
    "99999999.99",
    "100000000000",
    "1e20",
    "'1.5'",
    "NULL",
    "arrow_cast(1, 'UInt8')",
    "0.1",
    "0.3",
];
const FLOAT: &[&str] = &[
    "0",
    "0.0",
    "-0.0",
    "1",
    "0.1",
    "0.5",
    "16777217",
    "1e300",
    "'NaN'::DOUBLE",
    "-('NaN'::DOUBLE)",
    "'inf'::DOUBLE",
    "arrow_cast('NaN', 'Float32')",
    "arrow_cast(-0.0, 'Float32')",
    "arrow_cast(0.1, 'Float32')",
    "NULL",
    "'0.5'",
    "0.5::DECIMAL(3, 1)",
];
const TEXT: &[&str] =
    &["''", "'a'", "'A'", "'a '", "'ä'", "1", "NULL", "arrow_cast('a', 'LargeUtf8')", "DATE '2020-01-01'"];
const BINARY: &[&str] =
    &["X''", "X'00'", "X'0001'", "X'ff'", "arrow_cast(X'0001', 'FixedSizeBinary(2)')", "'a'", "NULL"];
const INSTANT: &[&str] = &[
    "TIMESTAMP '2020-01-01T00:00:00'",
    "TIMESTAMP '2020-01-01T00:00:00.5'",
    "TIMESTAMP '2020-01-01T00:00:00.000001'",
    "TIMESTAMP '2020-01-01T00:00:00.000000001'",
    "TIMESTAMP '2020-01-01T00:00:00+02:00'",
    "'2020-01-01T00:00:00'",
    "'2020-01-01T00:00:00Z'",
    "DATE '2020-01-01'",
    "'then'",
    "NULL",
    "arrow_cast('2020-01-01T00:00:00', 'Timestamp(Second, None)')",
    "arrow_cast('2020-01-01T00:00:00', 'Timestamp(Millisecond, Some(\"+02:00\"))')",
    "arrow_cast('2020-07-01T02:30:00', 'Timestamp(Nanosecond, Some(\"Europe/Vienna\"))')",
];
const INSTANTS: &[&str] = &[
    "2020-01-01T00:00:00",
    "1969-12-31T23:59:59",
    "2020-07-01T00:30:00",
    "2020-03-29T02:30:00",
    "2019-12-31T22:00:00",
];
/// Some local times do not exist in some time zones.
const ZONED: &[&str] =
    &["2020-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2020-03-29T01:30:00Z", "2019-12-31T22:00:00Z"];
const DAY: &[&str] = &[
    "DATE '2020-01-01'",
    "'2020-01-01'",
    "'2020-13-01'",
    "TIMESTAMP '2020-01-01T00:00:00'",
    "NULL",
    "TIMESTAMP '2020-01-01T00:00:01'",
    "arrow_cast('2020-01-01', 'Date64')",
    "arrow_cast('1969-12-31', 'Date64')",
    "DATE '0001-01-01'",
];
const TIME: &[&str] = &[
    "TIME '01:02:03'",
    "TIME '01:02:03.000001'",
    "'01:02:03'",
    "'noon'",
    "NULL",
    "arrow_cast('01:02:03', 'Time32(Second)')",
    "arrow_cast('01:02:03', 'Time32(Millisecond)')",
];
const TIMES: &[&str] = &["01:02:03", "00:00:00", "23:59:59"];

const WHOLE_NUMBERS: &[Case] = &[
    Case { key: "Int8", values: &["0", "7", "-1", "127", "-128"], others: WHOLE },
    Case { key: "Int16", values: &["0", "7", "-1", "300"], others: WHOLE },
    Case { key: "Int32", values: &["0", "7", "-1", "70000"], others: WHOLE },
    Case {
        key: "Int64",
        values: &["0", "7", "9007199254740992", "9007199254740993", "9223372036854775807"],
        others: WHOLE,
    },
    Case { key: "UInt8", values: &["0", "7", "255"], others: WHOLE },
    Case { key: "UInt16", values: &["0", "7", "65535"], others: WHOLE },
    Case { key: "UInt32", values: &["0", "7", "4294967295"], others: WHOLE },
    Case { key: "UInt64", values: &["0", "7", "9223372036854775808", "9007199254740993"], others: WHOLE },
];

const FRACTIONS: &[Case] = &[
    Case { key: "Decimal32(7, 2)", values: &["0", "1", "1.5", "1.25", "-3.1"], others: DECIMAL },
    Case { key: "Decimal64(12, 2)", values: &["0", "1", "1.5", "1.25", "99999999.99"], others: DECIMAL },
    Case { key: "Decimal128(10, 2)", values: &["0", "1", "1.5", "1.25", "99999999.99"], others: DECIMAL },
    Case { key: "Decimal128(38, 1)", values: &["0", "1", "1.5", "0.1", "0.3"], others: DECIMAL },
    Case { key: "Decimal256(50, 2)", values: &["0", "1", "1.5", "1.25"], others: DECIMAL },
    Case { key: "Float32", values: &["0.0", "0.1", "0.5", "NaN", "inf", "16777216"], others: FLOAT },
    Case { key: "Float32", values: &["-0.0", "0.5"], others: FLOAT },
    Case { key: "Float64", values: &["0.0", "0.1", "0.5", "NaN", "1e300"], others: FLOAT },
    Case { key: "Float64", values: &["-0.0", "1"], others: FLOAT },
];

const TEXT_AND_BYTES: &[Case] = &[
    Case { key: "Boolean", values: &["true", "false"], others: &["true", "false", "NULL", "1", "'true'"] },
    Case { key: "Utf8", values: &["", "a", "ä", "1", "2020-01-01"], others: TEXT },
    Case { key: "LargeUtf8", values: &["", "a"], others: TEXT },
    Case { key: "Utf8View", values: &["", "a"], others: TEXT },
    Case { key: "Binary", values: &["", "a", "b"], others: BINARY },
    Case { key: "LargeBinary", values: &["", "a"], others: BINARY },
    Case { key: "BinaryView", values: &["", "a"], others: BINARY },
];

const TIMES_AND_DAYS: &[Case] = &[
    Case { key: "Date32", values: &["2020-01-01", "1969-12-31", "0001-01-01"], others: DAY },
    Case { key: "Date64", values: &["2020-01-01", "1969-12-31"], others: DAY },
    Case { key: "Time32(Second)", values: TIMES, others: TIME },
    Case { key: "Time32(Millisecond)", values: TIMES, others: TIME },
    Case { key: "Time64(Microsecond)", values: TIMES, others: TIME },
    Case { key: "Time64(Nanosecond)", values: TIMES, others: TIME },
    Case { key: "Timestamp(Second, None)", values: INSTANTS, others: INSTANT },
    Case { key: "Timestamp(Millisecond, None)", values: INSTANTS, others: INSTANT },
    Case { key: "Timestamp(Microsecond, None)", values: INSTANTS, others: INSTANT },
    Case { key: "Timestamp(Nanosecond, None)", values: INSTANTS, others: INSTANT },
    Case { key: "Timestamp(Microsecond, Some(\"UTC\"))", values: ZONED, others: INSTANT },
    Case { key: "Timestamp(Millisecond, Some(\"Europe/Vienna\"))", values: ZONED, others: INSTANT },
];

async fn make(f: &Fixture, name: &str, keys: &[(&str, &str)], primary_key: &[&str]) {
    let mut fields: Vec<Field> =
        keys.iter().map(|(name, key)| Field::new(*name, key.parse::<DataType>().unwrap(), false)).collect();
    fields.push(Field::new("n", DataType::Int64, true));
    let primary_key = primary_key.iter().map(|name| (*name).to_owned()).collect();
    let options = TableOptions { primary_key, ..TableOptions::default() };
    f.database.create_table(&name.parse().unwrap(), &Arc::new(Schema::new(fields)), options).await.unwrap();
}

/// Texts and integers are cast by way of text; for binary keys, text is its own bytes.
fn cast(value: &str, key: &str) -> String {
    format!("arrow_cast('{value}', '{}')", key.replace('\'', "''"))
}

/// Returns the result: the ordered rows, or that there was an error.
async fn answers(f: &Fixture, condition: &str) -> [Result<Vec<String>, String>; 2] {
    let mut answers = Vec::new();
    for table in ["keyed", "plain"] {
        let query = format!("SELECT n FROM {table} WHERE {condition}");
        let answer = match cayenne_datafusion::sql(&f.ctx, &query).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        let mut rows = answer.map(|batches| numbers_of(&batches)).map_err(|_| "an error".to_owned());
        if let Ok(rows) = &mut rows {
            rows.sort();
        }
        answers.push(rows);
    }
    answers.try_into().unwrap()
}

fn numbers_of(batches: &[arrow_array::RecordBatch]) -> Vec<String> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    let column = |batch: &arrow_array::RecordBatch| {
        batch.column(0).as_primitive::<Int64Type>().values().iter().map(i64::to_string).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

async fn agree(f: &Fixture, what: &str, condition: &str) {
    let [looked_up, scanned] = answers(f, condition).await;
    assert_eq!(looked_up, scanned, "{what}: WHERE {condition}");
}

async fn check(cases: &[Case]) {
    for case in cases {
        let f = fixture().await;
        make(&f, "keyed", &[("k", case.key)], &["k"]).await;
        make(&f, "plain", &[("k", case.key)], &[]).await;
        for table in ["keyed", "plain"] {
            for (n, value) in case.values.iter().enumerate() {
                f.run(&format!("INSERT INTO {table} VALUES ({}, {n})", cast(value, case.key))).await;
            }
        }
        let own: Vec<String> = case.values.iter().map(|value| cast(value, case.key)).collect();
        let plan = f.plan(&format!("EXPLAIN SELECT * FROM keyed WHERE k = {}", own[1])).await;
        assert!(plan.contains("CayenneLookup"), "{}: {plan}", case.key);
        let literals: Vec<&str> = own.iter().map(String::as_str).chain(case.others.iter().copied()).collect();
        for (at, literal) in literals.iter().enumerate() {
            let other = literals[(at * 7 + 3) % literals.len()];
            let others = [
                format!("{literal} = k AND n >= 0"),
                format!("k IN ({literal}, {other})"),
                format!("k = {literal} OR k = {other}"),
            ];
            agree(&f, case.key, &format!("k = {literal}")).await;
            agree(&f, case.key, &others[at % others.len()]).await;
        }
        for condition in ["k = k", "NOT k = n", "k", "NOT k", "k AND n = 0"] {
            agree(&f, case.key, condition).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_are_found_as_a_scan_finds_them() {
    check(WHOLE_NUMBERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_and_floats_are_found_as_a_scan_finds_them() {
    check(FRACTIONS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_bytes_and_booleans_are_found_as_a_scan_finds_them() {
    check(TEXT_AND_BYTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_days_and_instants_are_found_as_a_scan_finds_them() {
    check(TIMES_AND_DAYS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_types_are_found_as_a_scan_finds_them() {
    let f = fixture().await;
    let keys = [("a", "Decimal128(10, 2)"), ("b", "Timestamp(Microsecond, None)"), ("c", "Utf8View")];
    make(&f, "keyed", &keys, &["b", "c", "a"]).await;
    make(&f, "plain", &keys, &[]).await;
    let mut n = 0;
    for table in ["keyed", "plain"] {
        for a in ["1", "1.5"] {
            for b in &INSTANTS[..3] {
                for c in ["", "a"] {
                    n += 1;
                    let row = [cast(a, keys[0].1), cast(b, keys[1].1), cast(c, keys[2].1), (n % 12).to_string()];
                    f.run(&format!("INSERT INTO {table} VALUES ({})", row.join(", "))).await;
                }
            }
        }
    }
    for a in ["1", "1.5", "1.005::DECIMAL(5, 3)", "1e0", "NULL"] {
        for b in [INSTANT[0], INSTANT[1], INSTANT[5]] {
            for c in ["''", "'b'", "a"] {
                for condition in [
                    format!("a = {a} AND b = {b} AND c = {c}"),
                    format!("c = {c} AND {a} = a AND b IN ({b})"),
                    format!("a = {a} AND b = {b}"),
                    format!("a = {a} AND a = 1 AND b = {b} AND c = {c}"),
                    format!("b = {b} AND (a = {a} OR a = 1.5) AND c IN ('', {c})"),
                ] {
                    agree(&f, "several", &condition).await;
                }
            }
        }
    }
}
