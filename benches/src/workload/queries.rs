//! The 22 queries of TPC-H with the validation parameters of the specification.

/// One query, and whether its text fixes the order of all rows of its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) id: &'static str,
    text: &'static str,
    pub(super) ordered: bool,
}

impl Query {
    /// Returns the text for one scale factor. Only Q11 contains a fraction that shrinks as the data grows.
    pub(super) fn sql(self, sf: f64) -> String {
        self.text.replace("0.0001000000", &format!("{:.10}", 0.0001 / sf))
    }
}

macro_rules! query {
    ($id:literal, ordered: $ordered:literal) => {
        Query { id: $id, text: include_str!(concat!("../../queries/tpch/", $id, ".sql")), ordered: $ordered }
    };
}

/// A scan of `lineitem` with a filter. It is the first query of the `open` workload.
pub(super) const Q06: Query = query!("q06", ordered: true);

/// All queries in order. A query without `ORDER BY` that returns one row counts as ordered.
pub(super) const ALL: [Query; 22] = [
    query!("q01", ordered: true),
    query!("q02", ordered: true),
    query!("q03", ordered: false),
    query!("q04", ordered: true),
    query!("q05", ordered: false),
    Q06,
    query!("q07", ordered: true),
    query!("q08", ordered: true),
    query!("q09", ordered: true),
    query!("q10", ordered: false),
    query!("q11", ordered: false),
    query!("q12", ordered: true),
    query!("q13", ordered: true),
    query!("q14", ordered: true),
    query!("q15", ordered: true),
    query!("q16", ordered: true),
    query!("q17", ordered: true),
    query!("q18", ordered: false),
    query!("q19", ordered: true),
    query!("q20", ordered: true),
    query!("q21", ordered: true),
    query!("q22", ordered: true),
];

/// Returns the names of all queries.
pub(super) fn ids() -> Vec<&'static str> {
    ALL.iter().map(|query| query.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_eleventh_depends_on_the_scale_factor() {
        let differing: Vec<_> =
            ALL.iter().filter(|query| query.sql(1.0) != query.sql(10.0)).map(|query| query.id).collect();
        assert_eq!(differing, ["q11"]);
        let eleventh = ALL.iter().find(|query| query.id == "q11").unwrap();
        assert!(eleventh.sql(0.01).contains("0.0100000000"));
        assert_eq!(eleventh.sql(1.0), eleventh.text);
    }
}
