//! Classes of statements that Cayenne answers wrongly or refuses, because DataFusion 55.2 does, and that are left out.
//!
//! Each is described in `docs/upstream.md`, and becomes `true` with the correction.

/// `(a, b) NOT IN (SELECT …)`: rows with NULL in one place and another value in another; rows of aggregates in `HAVING`.
pub(super) const ROW_VALUES: bool = false;

/// A condition beside the equality of a full join, in sessions with sort-merge joins: NULL is taken for true there.
pub(super) const CONDITIONS_OF_SORT_MERGE_JOINS: bool = true;

/// `USING`: the key of right and full joins is that of the left side, and subqueries that name the row around them lose
/// rows.
pub(super) const USING: bool = true;

/// Conditions without a column, such as `EXISTS (…)` of a query that names nothing around it: they are pushed below
/// aggregations that have a row of nothing.
pub(super) const CONDITIONS_WITHOUT_COLUMNS: bool = true;
