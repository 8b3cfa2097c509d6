//! A figure of what was measured, as SVG: commands in a second on the left, how long callers waited on the right, both
//! over the number of callers. Bars reach from the worst to the best round; what was measured with a node down is pale.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Fault, Summary};

/// How large the figure is, in pixels.
const SIZE: (u32, u32) = (960, 400);
const FONT: &str = "sans-serif";
/// One a protocol; told apart also by those who see no colours, and in print.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 90, 160), RGBColor(200, 80, 0), RGBColor(0, 130, 90), RGBColor(130, 60, 130)];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What one panel shows of a summary: the value, with the lowest and the highest of the rounds.
type Shown = fn(&Summary) -> (f64, f64, f64);

/// Whether a panel explains its lines. One does for both: where throughput grows with the callers, its lower right
/// corner is free.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Legend {
    Shown,
    SameAsBefore,
}

/// Draws summaries under a title.
///
/// # Errors
/// If there is nothing to draw.
pub fn svg(title: &str, summaries: &[Summary]) -> Result<String, String> {
    if summaries.iter().all(|summary| summary.commands == 0) {
        return Err("no command was answered, so there is nothing to draw".to_owned());
    }
    let mut text = String::new();
    draw(&mut text, title, summaries).map_err(|error| format!("cannot draw: {error}"))?;
    Ok(text)
}

fn draw(text: &mut String, title: &str, summaries: &[Summary]) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, (FONT, 18))?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    panel(&left, "commands in a second", summaries, Legend::Shown, |summary| {
        let spread = summary.per_second;
        (spread.median, spread.min, spread.max)
    })?;
    panel(&right, "median latency, ms", summaries, Legend::SameAsBefore, |summary| {
        let p50 = summary.latency_ms.p50;
        (p50, p50, p50)
    })?;
    root.present()?;
    Ok(())
}

/// Both axes are logarithmic: twice as much is equally far everywhere.
fn panel(area: &Panel<'_>, what: &str, summaries: &[Summary], legend: Legend, shown: Shown) -> Drawn {
    let summaries: Vec<&Summary> = summaries.iter().filter(|summary| summary.commands > 0).collect();
    let mut callers: Vec<f64> = summaries.iter().map(|summary| summary.concurrency as f64).collect();
    callers.sort_by(f64::total_cmp);
    callers.dedup();
    let ends = summaries.iter().flat_map(|summary| {
        let (_, low, high) = shown(summary);
        [low, high]
    });
    let (x, y) = (span(callers.iter().copied()), span(ends));
    let mut chart =
        ChartBuilder::on(area).margin(12).x_label_area_size(36).y_label_area_size(60).build_cartesian_2d(
            // What was measured is named, and nothing in between.
            (x.0..x.1).log_scale().with_key_points(callers),
            (y.0..y.1).log_scale().with_key_points(ticks(y.0, y.1)),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("callers at a time")
        .y_desc(what)
        .label_style((FONT, 12))
        .x_label_formatter(&|callers| format!("{callers:.0}"))
        .y_label_formatter(&|value| plain(*value))
        .draw()?;
    for (name, fault) in lines(&summaries) {
        let colour = colour(&summaries, &name, fault);
        let line = summaries.iter().filter(|one| one.protocol == name && one.fault == fault);
        let points = line.map(|one| (one.concurrency as f64, shown(one)));
        let label = if fault == Fault::None { name.clone() } else { format!("{name}, one node down") };
        chart
            .draw_series(LineSeries::new(points.clone().map(|(x, (y, ..))| (x, y)), colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points.clone().map(|(x, (y, ..))| Circle::new((x, y), 3, colour.filled())))?;
        chart.draw_series(
            points.map(|(x, (_, low, high))| PathElement::new([(x, low), (x, high)], colour.stroke_width(1))),
        )?;
    }
    if legend == Legend::SameAsBefore {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 12))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

/// The lines to draw: each protocol under each fault, in the order of the summaries.
fn lines(summaries: &[&Summary]) -> Vec<(String, Fault)> {
    let mut lines = Vec::new();
    for one in summaries {
        let line = (one.protocol.clone(), one.fault);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// A colour for each protocol; pale under a fault.
fn colour(summaries: &[&Summary], name: &str, fault: Fault) -> RGBAColor {
    let mut names: Vec<&str> = summaries.iter().map(|one| one.protocol.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let place = names.iter().position(|known| *known == name).unwrap_or_default();
    COLOURS[place % COLOURS.len()].mix(if fault == Fault::None { 1.0 } else { 0.45 })
}

/// From somewhat below the least to somewhat above the greatest, so that no point lies on the frame, and a single value
/// has room on both sides.
fn span(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-3);
    let greatest = values.fold(0.0, f64::max).max(least);
    (least / 1.5, greatest * 1.5)
}

/// Round values in a range, as far apart as reads well on a logarithmic axis: 1, 2, 5, 10 and so on, or where those are
/// few, all with one digit.
fn ticks(least: f64, greatest: f64) -> Vec<f64> {
    let decades = least.log10().floor() as i32..=greatest.log10().ceil() as i32;
    let among = |digits: &[f64]| -> Vec<f64> {
        let all =
            decades.clone().flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)));
        all.filter(|tick| (least..=greatest).contains(tick)).collect()
    };
    let round = among(&[1.0, 2.0, 5.0]);
    if round.len() > 2 { round } else { among(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]) }
}

/// A tick, with as many decimals as it needs.
fn plain(tick: f64) -> String {
    let decimals = (-tick.log10().floor()).max(0.0) as usize;
    format!("{tick:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::summarize;
    use crate::bench::summary::tests::measurement;

    #[test]
    fn a_figure_has_a_line_for_each_protocol() {
        let mut down = measurement("b", 1, 40.0, 5.0);
        down.fault = Fault::One;
        let rounds = [measurement("a", 1, 100.0, 1.0), measurement("b", 1, 50.0, 4.0), down];
        let svg = svg("put, 256 bytes", &summarize(&rounds)).unwrap();
        assert!(svg.trim_start().starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for words in ["put, 256 bytes", "commands in a second", "median latency", "b, one node down"] {
            assert!(svg.contains(words), "{words} is missing");
        }
    }

    #[test]
    fn axes_name_round_values_and_the_callers_that_were_measured() {
        let words =
            |least, greatest| ticks(least, greatest).into_iter().map(plain).collect::<Vec<_>>().join(" ");
        assert_eq!(words(0.4, 30.0), "0.5 1 2 5 10 20");
        assert_eq!(words(800.0, 60_000.0), "1000 2000 5000 10000 20000 50000");
        assert_eq!(words(0.02, 0.05), "0.02 0.03 0.04 0.05");
        let of = |callers| {
            let mut one = measurement("a", 1, 100.0, 1.0);
            one.concurrency = callers;
            one
        };
        let svg = svg("put", &summarize(&[of(3), of(48), of(48)])).unwrap();
        let labels: Vec<&str> = svg.lines().map(str::trim).collect();
        for callers in ["3", "48"] {
            assert_eq!(labels.iter().filter(|label| **label == callers).count(), 2, "{callers} in {svg}");
        }
        assert!(!labels.contains(&"10"), "{svg}");
    }

    #[test]
    fn nothing_is_not_drawn() {
        svg("put", &[]).unwrap_err();
        svg("put", &summarize(&[measurement("a", 1, 0.0, 0.0)])).unwrap_err();
    }
}
