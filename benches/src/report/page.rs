//! `report.html`: one file without external resources, with a light and a dark style.

use minijinja::{Environment, Value, context};

use crate::Result;
use crate::noise::Noise;
use crate::report::table::{Row, Section, Table, show};
use crate::report::{Report, WorkloadReport, chart, text};

const TEMPLATE: &str = include_str!("../../templates/report.html");

/// Renders the page. `tables` has one entry per workload of the report.
pub(super) fn render(report: &Report, tables: &[Table]) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_template("report.html", TEMPLATE)?;
    let workloads = report.workloads.iter().zip(tables);
    let workloads: Vec<Value> =
        workloads.map(|(workload, table)| of_workload(workload, table, &report.engines)).collect();
    let versions = report
        .versions
        .iter()
        .map(|version| context! { name => version.name.as_str(), version => version.version.as_str() });
    let skipped = report
        .skipped
        .iter()
        .map(|skipped| context! { engine => skipped.engine.as_str(), reason => skipped.reason.as_str() });
    let page = context! {
        started => report.started.as_str(),
        command => report.command.as_str(),
        engines => report.engines.clone(),
        conditions => conditions(report),
        workloads => workloads,
        versions => versions.collect::<Vec<Value>>(),
        skipped => skipped.collect::<Vec<Value>>(),
        problems => report.problems.clone(),
        noise => vec![of_noise("before", &report.noise_before), of_noise("after", &report.noise_after)],
    };
    Ok(environment.get_template("report.html")?.render(page)?)
}

fn conditions(report: &Report) -> Vec<Value> {
    let options = &report.options;
    let memory =
        report.machine.memory_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let pairs = [
        ("Scale factor", options.sf.to_string()),
        ("Rows of the workloads of keyed tables", options.sized("all", "a tenth", "a few").to_owned()),
        ("Threads per engine", options.threads.to_string()),
        ("Rounds: warm, cold, load", format!("{}, {}, {}", options.rounds, options.cold_rounds, options.load_rounds)),
        ("Processor", report.machine.processor.clone()),
        ("Cores", report.machine.cores.to_string()),
        ("Memory", memory),
        ("System", report.machine.system.clone()),
    ];
    pairs.into_iter().map(|(name, value)| context! { name => name, value => value }).collect()
}

fn of_workload(workload: &WorkloadReport, table: &Table, engines: &[String]) -> Value {
    let goals = workload.goals.iter().map(|goal| {
        context! {
            name => goal.name.as_str(),
            limit => goal.limit_text(),
            value => goal.value_text(),
            verdict => goal.verdict(),
        }
    });
    context! {
        name => workload.name.as_str(),
        description => workload.description.as_str(),
        goals => goals.collect::<Vec<Value>>(),
        sections => table.sections.iter().map(|section| of_section(section, engines)).collect::<Vec<Value>>(),
    }
}

fn of_section(section: &Section, engines: &[String]) -> Value {
    context! {
        title => section.title.as_str(),
        chart => Value::from_safe_string(chart::draw(section, engines)),
        rows => section.rows.iter().map(of_row).collect::<Vec<Value>>(),
    }
}

fn of_row(row: &Row) -> Value {
    let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| show(row.metric, value));
    let cells = row.values.iter().map(|known| {
        let spread = known.map(|known| format!("{} – {}", show(row.metric, known.min), show(row.metric, known.max)));
        context! {
            median => text(known.map(|known| known.median)),
            spread => spread.unwrap_or_default(),
        }
    });
    let ratios = (1..row.values.len()).map(|index| text::ratio(row.ratio(index)));
    context! {
        label => row.label.as_str(),
        cells => cells.collect::<Vec<Value>>(),
        ratios => ratios.collect::<Vec<String>>(),
    }
}

fn of_noise(when: &str, noise: &Noise) -> Value {
    context! {
        when => when,
        median => format!("{:.1} ms", noise.median_ms),
        range => format!("{:.1} – {:.1} ms", noise.min_ms, noise.max_ms),
        spread => format!("{:.0} %", noise.spread() * 100.0),
        load => noise.load_average.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}")),
    }
}

#[cfg(test)]
mod tests;
