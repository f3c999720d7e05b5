//! The functions that a session has: those of DataFusion's own shell, and ours.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use cayenne_datafusion::recommended_config;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};

use crate::fixture::fixture;

/// The functions of a DataFusion 55.2 session with all default features, including the table functions.
const OF_DATAFUSION: &str = include_str!("functions.txt");
/// Number of functions without any feature. A list that is too short must not go unnoticed.
const FUNCTIONS_MIN: usize = 300;

fn functions(state: &SessionState) -> BTreeSet<String> {
    let scalar = state.scalar_functions().keys();
    let aggregate = state.aggregate_functions().keys();
    let window = state.window_functions().keys();
    scalar.chain(aggregate).chain(window).chain(state.table_functions().keys()).cloned().collect()
}

#[test]
fn a_session_has_every_function_of_datafusions_shell() {
    let listed: BTreeSet<_> = OF_DATAFUSION.lines().map(str::to_owned).collect();
    assert!(listed.len() >= FUNCTIONS_MIN, "only {} functions are listed", listed.len());
    let config = recommended_config(NonZeroUsize::MIN);
    let plain = functions(&SessionStateBuilder::new().with_config(config).with_default_features().build());
    assert_eq!(plain, listed, "a feature of DataFusion was switched on or off");
}

#[tokio::test]
async fn installing_cayenne_takes_no_function_away() {
    let fixture = fixture().await;
    let ours = functions(&fixture.ctx.state());
    let missing: Vec<_> = OF_DATAFUSION.lines().filter(|name| !ours.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    fixture.database.close().await.unwrap();
}
