//! Bar charts as inline SVG: one group per row, one bar per engine, and a thin line from the smallest to the largest
//! sample.

use crate::measure::Metric;
use crate::report::table::{Row, Section, Unit, Value, show};

const WIDTH: f64 = 900.0;
const LABEL_WIDTH: f64 = 210.0;
const VALUE_WIDTH: f64 = 90.0;
const BAR_HEIGHT: f64 = 12.0;
const BAR_STEP: f64 = 15.0;
const GROUP_GAP: f64 = 11.0;

/// Draws a section. Colours come from the style of the page, through the classes `e0`, `e1`, … in the order of the
/// engines.
pub(super) fn draw(section: &Section, engines: &[String]) -> String {
    let shared = section.rows.iter().map(largest).fold(0.0, f64::max);
    let mut body = String::new();
    let mut top = 2.0;
    for row in &section.rows {
        let scale = if section.unit == Unit::Shared { shared } else { largest(row) };
        body.push_str(&group(row, engines, top, scale));
        top += height(row) + GROUP_GAP;
    }
    let title = escape(&section.title);
    format!(r#"<svg class="chart" viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{title}">{body}</svg>"#)
}

fn group(row: &Row, engines: &[String], top: f64, scale: f64) -> String {
    let (x, y) = (LABEL_WIDTH - 12.0, top + height(row) / 2.0 + 4.0);
    let mut group =
        format!(r#"<text class="label" text-anchor="end" x="{x}" y="{y:.1}">{}</text>"#, escape(&row.label));
    for (index, (value, engine)) in row.values.iter().zip(engines).enumerate() {
        let y = top + position(index) * BAR_STEP;
        let drawn = match value {
            Some(value) => bar(&Bar { index, y, scale, metric: row.metric, value: *value }, engine),
            None => format!(r#"<text class="none" x="{LABEL_WIDTH}" y="{:.1}">–</text>"#, y + 10.0),
        };
        group.push_str(&drawn);
    }
    group
}

/// One bar: its engine, its position, and the value that corresponds to the full width.
struct Bar {
    index: usize,
    y: f64,
    scale: f64,
    metric: Metric,
    value: Value,
}

impl Bar {
    fn length(&self, amount: f64) -> f64 {
        if self.scale > 0.0 { amount / self.scale * (WIDTH - LABEL_WIDTH - VALUE_WIDTH) } else { 0.0 }
    }
}

fn bar(bar: &Bar, engine: &str) -> String {
    let Bar { index, y, metric, value, .. } = *bar;
    let width = bar.length(value.median).max(1.0);
    let (low, high) = (LABEL_WIDTH + bar.length(value.min), LABEL_WIDTH + bar.length(value.max));
    let (middle, base, after) = (y + BAR_HEIGHT / 2.0, y + BAR_HEIGHT - 2.0, high.max(LABEL_WIDTH + width) + 6.0);
    let [median, min, max] = [value.median, value.min, value.max].map(|amount| show(metric, amount));
    let engine = escape(engine);
    let note = format!("<title>{engine}: {median} ({min} to {max})</title>");
    let place = format!(r#"x="{LABEL_WIDTH}" y="{y:.1}" width="{width:.1}" height="{BAR_HEIGHT}""#);
    let rect = format!(r#"<rect class="e{index}" {place} rx="2"/>"#);
    let line = format!(r#"<line class="spread" x1="{low:.1}" x2="{high:.1}" y1="{middle:.1}" y2="{middle:.1}"/>"#);
    let text = format!(r#"<text class="value" x="{after:.1}" y="{base:.1}">{median}</text>"#);
    format!("<g>{note}{rect}{line}{text}</g>")
}

fn largest(row: &Row) -> f64 {
    row.values.iter().flatten().map(|value| value.max).fold(0.0, f64::max)
}

fn height(row: &Row) -> f64 {
    position(row.values.len()) * BAR_STEP
}

#[expect(clippy::cast_precision_loss, reason = "a chart has a few bars")]
fn position(index: usize) -> f64 {
    index as f64
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(unit: Unit) -> Section {
        let value = |median: f64| Some(Value { median, min: median * 0.9, max: median });
        let row =
            |label: &str, a, b| Row { label: label.to_owned(), metric: Metric::WallMs, values: vec![value(a), b] };
        Section::of_rows("Warm <&>", unit, vec![row("q01", 100.0, value(50.0)), row("q02", 10.0, None)])
    }

    fn widths(svg: &str) -> Vec<f64> {
        let after = svg.split("height=\"12\"").filter_map(|part| part.rsplit_once("width=\""));
        after.map(|(_, rest)| rest.trim_end_matches(['"', ' ']).parse().unwrap()).collect()
    }

    #[test]
    fn shared_scale_compares_rows_and_own_scale_does_not() {
        let engines = ["cayenne".to_owned(), "duckdb".to_owned()];
        assert_eq!(widths(&draw(&section(Unit::Shared), &engines)), [600.0, 300.0, 60.0]);
        assert_eq!(widths(&draw(&section(Unit::PerRow), &engines)), [600.0, 300.0, 600.0]);
    }

    #[test]
    fn titles_are_escaped() {
        let svg = draw(&section(Unit::Shared), &["cayenne".to_owned(), "duckdb".to_owned()]);
        assert!(svg.contains("Warm &lt;&amp;&gt;") && !svg.contains("Warm <"));
    }
}
