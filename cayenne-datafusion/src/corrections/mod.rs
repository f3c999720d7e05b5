//! Rules that correct queries which DataFusion 55 answers wrongly or rejects. They apply to every session that has
//! Cayenne installed.
//!
//! Each module describes a problem and its correction; `docs/upstream.md` has a query for each. The rules do not change
//! plans that are already correct: each looks at such a plan once or twice. Nothing here depends on Cayenne's tables.

mod ambiguous_names;
mod apply;
mod around;
mod casts;
mod conditions_in_place;
mod decimal_literals;
mod dependencies;
mod distinct_limits;
mod domain;
mod grouping_keys;
mod guard;
mod guarding_cases;
mod join_conditions;
mod list_elements;
mod list_merges;
mod marks;
mod membership;
mod node;
mod null_equality;
mod outer_types;
mod set_operations;
mod simple;
mod sort_merge_joins;
mod sorted_parts;
mod statistics;
mod subqueries;
mod total_filters;
mod values;

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use ambiguous_names::NamesApart;
use around::Around;
use casts::Casts;
use conditions_in_place::ConditionsInPlace;
use decimal_literals::DecimalLiterals;
use dependencies::SelectedKeys;
use distinct_limits::DistinctLimits;
use grouping_keys::GroupingKeys;
use guarding_cases::GuardingCases;
use outer_types::OuterTypes;
use set_operations::SetOperations;
use sort_merge_joins::ConditionsOfAnyRow;
use sorted_parts::SortedParts;
use statistics::OwnStatistics;
use subqueries::Subqueries;
use values::ValuesAsQueries;

/// Installs the rules. Ours run before DataFusion's, and replace those that are wrong.
pub(crate) fn install(builder: &mut SessionStateBuilder) {
    list_elements::install(builder);
    // Before types are coerced.
    let rules = &mut builder.analyzer().get_or_insert_default().rules;
    rules.insert(0, Arc::new(DecimalLiterals));
    rules.insert(0, Arc::new(SetOperations));
    rules.insert(0, Arc::new(ValuesAsQueries));
    let coercion = rules.iter().position(|rule| rule.name() == "type_coercion");
    rules.insert(coercion.map_or(rules.len(), |at| at + 1), Arc::new(OuterTypes));
    let rules = &mut builder.optimizer().get_or_insert_with(Optimizer::new).rules;
    let mut keys = None;
    for rule in rules.iter_mut() {
        match rule.name() {
            "simplify_expressions" => *rule = Around::rule(rule, list_merges::run),
            "push_down_filter" => *rule = Around::rule(rule, total_filters::run),
            "eliminate_duplicated_expr" => *rule = Around::rule(rule, dependencies::keep_sort_keys),
            "eliminate_join" => *rule = Around::rule(rule, dependencies::keep_joins),
            "replace_distinct_aggregate" => *rule = Around::rule(rule, dependencies::keep_distinct),
            "eliminate_cross_join" => *rule = Around::rule(rule, null_equality::order_joins),
            "extract_equijoin_predicate" => {
                *rule = Around::rule(rule, null_equality::make_keys);
                keys = Some(Arc::clone(rule));
            }
            _ => {}
        }
    }
    rules.insert(0, Arc::new(SelectedKeys));
    rules.insert(0, Arc::new(Subqueries));
    rules.insert(1, Arc::new(Casts));
    rules.insert(2, Arc::new(GuardingCases));
    // Reordering joins turns keys into conditions, so the rule that makes keys runs once more.
    rules.extend(keys);
    // Last, because no filter can be pushed through it.
    rules.push(Arc::new(GroupingKeys));
    let rules = &mut builder.physical_optimizers().get_or_insert_with(PhysicalOptimizer::new).rules;
    for rule in rules.iter_mut() {
        let inner = Arc::clone(rule);
        match inner.name() {
            name if name.starts_with("FilterPushdown") => *rule = Arc::new(NamesApart::around(inner)),
            "aggregate_statistics" => *rule = Arc::new(OwnStatistics::around(inner)),
            "ProjectionPushdown" => *rule = Arc::new(ConditionsInPlace::around(inner)),
            _ => {}
        }
    }
    rules.push(Arc::new(ConditionsOfAnyRow));
    rules.push(Arc::new(DistinctLimits));
    rules.push(Arc::new(SortedParts));
}
