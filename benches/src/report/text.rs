//! The summary on stdout: the most important results.

use crate::noise::Noise;
use crate::report::Report;
use crate::report::table::{Row, Section, Table, show};

const LABEL_WIDTH: usize = 34;
const VALUE_WIDTH: usize = 14;

/// Prints how steady the machine is.
pub(crate) fn print_noise(when: &str, noise: &Noise) {
    let load = noise.load_average.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
    println!(
        "noise floor {when} the run: {:.1} ms median, {:.1} to {:.1} ms, spread {:.0} %; load average {load}",
        noise.median_ms,
        noise.min_ms,
        noise.max_ms,
        noise.spread() * 100.0,
    );
}

/// Prints the selected sections, the goals, the skipped engines and all problems.
pub(crate) fn print(report: &Report, tables: &[Table]) {
    for (workload, table) in report.workloads.iter().zip(tables) {
        let options = &report.options;
        println!(
            "\n{}: scale factor {}, {} threads, {} rounds, medians; ratios are cayenne to the others",
            workload.name, options.sf, options.threads, options.rounds,
        );
        for section in table.sections.iter().filter(|section| section.in_text) {
            println!("\n{}", text(section, &report.engines));
        }
    }
    println!("\ngoals");
    for goal in report.workloads.iter().flat_map(|workload| &workload.goals) {
        println!("  {goal}");
    }
    for skipped in &report.skipped {
        println!("SKIPPED {}: {}", skipped.engine, skipped.reason);
    }
    for problem in &report.problems {
        println!("PROBLEM {problem}");
    }
}

fn text(section: &Section, engines: &[String]) -> String {
    let shown = shown(section, engines);
    let mut lines = vec![head(&section.title, engines, &shown)];
    lines.extend(section.rows.iter().map(|row| line(row, &shown)));
    lines.join("\n")
}

/// Returns the indexes of the engines that have a number in the section, always including the first engine.
fn shown(section: &Section, engines: &[String]) -> Vec<usize> {
    let has_number = |index: usize| section.rows.iter().any(|row| row.values.get(index).copied().flatten().is_some());
    (0..engines.len()).filter(|index| *index == 0 || has_number(*index)).collect()
}

fn head(title: &str, engines: &[String], shown: &[usize]) -> String {
    let named: Vec<_> = shown.iter().filter_map(|index| engines.get(*index)).collect();
    let ratios = named.iter().skip(1).map(|engine| format!("/ {engine}"));
    columns(title, named.iter().map(|engine| (*engine).clone()).chain(ratios))
}

fn line(row: &Row, shown: &[usize]) -> String {
    let value = |median: Option<f64>| median.map_or_else(|| "–".to_owned(), |median| show(row.metric, median));
    let known = shown.iter().map(|index| row.values.get(*index).copied().flatten());
    let medians = known.map(|known| value(known.map(|known| known.median)));
    let ratios = shown.iter().skip(1).map(|index| ratio(row.ratio(*index)));
    columns(&row.label, medians.chain(ratios))
}

fn columns(label: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{label:<LABEL_WIDTH$}");
    for cell in cells {
        let room = VALUE_WIDTH.saturating_sub(cell.chars().count());
        line.extend(std::iter::repeat_n(' ', room));
        line.push_str(&cell);
    }
    line
}

/// Formats a ratio with two decimals, or returns a dash.
pub(crate) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Metric;
    use crate::report::table::{Unit, Value};

    #[test]
    fn section_lines_up_values_and_ratios_of_engines_that_have_any() {
        let value = |median| Some(Value { median, min: median, max: median });
        let row = Row {
            label: "q01".to_owned(),
            metric: Metric::WallMs,
            values: vec![value(50.0), value(100.0), None, None],
        };
        let other = Row { label: "q02".to_owned(), metric: Metric::WallMs, values: vec![None, None, value(5.0), None] };
        let section = Section::of_rows("Warm", Unit::Shared, vec![row, other]);
        let engines = ["cayenne", "parquet", "duckdb", "sqlite"].map(str::to_owned);
        let text = text(&section, &engines);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["Warm", "cayenne", "parquet", "duckdb", "/", "parquet", "/", "duckdb"]);
        assert_eq!(words[1], ["q01", "50", "ms", "100", "ms", "–", "0.50", "–"]);
        assert_eq!(words[2], ["q02", "–", "–", "5.00", "ms", "–", "–"]);
    }
}
