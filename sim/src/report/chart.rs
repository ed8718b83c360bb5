//! One function's way through a run as SVG: its load, and under each policy, one below the other
//! and all on one axis of time, ready and desired pods, panic, and what was held.

mod axis;
mod path;

use std::fmt::Write;

use super::markup::escaped;
use crate::scenario::Time;
use crate::world::{Course, Series};
use path::{area, extents, spans, steps};

pub(super) use axis::Axis;
pub(super) use path::number;

/// The colours and lines of charts, for a page and for a file of its own.
pub(super) const STYLE: &str = include_str!("chart/chart.css");

/// Colours of policies; more policies begin anew.
pub(super) const COLOURS: usize = 8;

/// The width, in units of its own; whoever shows it scales it.
pub(super) const WIDTH: f64 = 960.0;

/// Where the plots begin and end.
pub(super) const LEFT: f64 = 56.0;
pub(super) const RIGHT: f64 = 946.0;

const LEGEND: f64 = 24.0;
const HEAD: f64 = 20.0;
const LOAD: f64 = 56.0;
const PODS: f64 = 84.0;
const HELD: f64 = 30.0;
const GAP: f64 = 8.0;
const FOOT: f64 = 26.0;

/// Under one policy.
pub(super) struct Way<'a> {
    pub(super) policy: &'a str,
    /// The policy's place in the scenario.
    pub(super) place: usize,
    pub(super) series: &'a Series,
}

/// A chart.
pub(super) struct Chart<'a> {
    /// Tells its elements apart from those of other charts in one document.
    pub(super) id: String,
    pub(super) function: &'a str,
    pub(super) end: Time,
    pub(super) warmup: Time,
    /// At least one.
    pub(super) ways: Vec<Way<'a>>,
}

impl Chart<'_> {
    pub(super) fn height(&self) -> f64 {
        LEGEND + LOAD + self.ways.len() as f64 * (GAP + HEAD + PODS + self.held_height()) + FOOT
    }

    fn held_height(&self) -> f64 {
        if self.most(|series| &series.held) > 0.0 { HELD + 4.0 } else { 0.0 }
    }

    fn most(&self, of: impl Fn(&Series) -> &Course) -> f64 {
        let bins = self.ways.iter().flat_map(|way| &of(way.series).bins);
        f64::from(bins.map(|bin| bin.most).max().unwrap_or(0))
    }

    /// The `svg` element; `attributes` are its own.
    pub(super) fn draw(&self, attributes: &str) -> String {
        let (id, height) = (&self.id, self.height());
        let mut out = opened(id, attributes, height, [self.function, &self.described()]);
        put(
            &mut out,
            format_args!(
                "<defs><pattern id=\"{id}-panic\" width=\"6\" height=\"6\" \
                 patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
                 <rect class=\"panic-ground\" width=\"6\" height=\"6\"/>\
                 <rect class=\"panic-line\" width=\"1.5\" height=\"6\"/></pattern></defs>\n"
            ),
        );
        self.legend(&mut out);
        let time = Axis::new(self.bins(), LEFT, RIGHT);
        let mut top = LEGEND;
        self.load(&mut out, &time, top);
        top += LOAD;
        let pods = self.most(|it| &it.ready).max(self.most(|it| &it.desired)).max(1.0);
        let held = self.most(|it| &it.held);
        for way in &self.ways {
            top += GAP;
            let name = escaped(way.policy);
            let colour = way.place % COLOURS;
            put(
                &mut out,
                format_args!(
                    "<g class=\"way p{colour}\"><rect class=\"swatch\" x=\"{}\" y=\"{}\" \
                     width=\"10\" height=\"10\" rx=\"2\"/><text class=\"name\" x=\"{}\" \
                     y=\"{}\">{name}</text>\n",
                    number(LEFT),
                    number(top + 5.0),
                    number(LEFT + 16.0),
                    number(top + 14.0),
                ),
            );
            top += HEAD;
            self.pods(&mut out, way, &time, &Axis::new(pods, top + PODS, top + 4.0));
            top += PODS;
            if held > 0.0 {
                let up = Axis::new(held, top + 4.0 + HELD, top + 6.0);
                frame(&mut out, &up, "held");
                let most = way.series.held.bins.iter().map(|bin| f64::from(bin.most));
                path(&mut out, "held", &area(most, &time, &up));
                top += 4.0 + HELD;
            }
            out += "</g>\n";
        }
        self.times(&mut out, &time, top);
        out += "</svg>\n";
        out
    }

    /// Bins from beginning to end, of which the last may be a part.
    pub(super) fn bins(&self) -> f64 {
        self.end.0 as f64 / self.ways[0].series.bin_ns as f64
    }

    fn described(&self) -> String {
        let ways = self.ways.iter().map(|way| {
            let most = |course: &Course| course.bins.iter().map(|bin| bin.most).max().unwrap_or(0);
            let series = way.series;
            let panics = spans(&series.panic).len();
            format!(
                "{}: at most {} ready, {} desired, {} held, {panics} spells of panic",
                way.policy,
                most(&series.ready),
                most(&series.desired),
                most(&series.held),
            )
        });
        format!("From 0s to {}. {}.", self.end, ways.collect::<Vec<_>>().join(". "))
    }

    fn legend(&self, out: &mut String) {
        let id = &self.id;
        let mut x = LEFT;
        let shown = [
            ("requests/s", "<rect class=\"load\" width=\"14\" height=\"9\" y=\"-9\"/>".to_owned()),
            (
                "ready",
                "<g class=\"p0\"><rect class=\"ready\" width=\"14\" height=\"9\" y=\"-9\"/>\
                 <path class=\"ready-line\" d=\"M0 -9H14\"/></g>"
                    .to_owned(),
            ),
            ("desired", "<path class=\"desired\" d=\"M0 -4H14\"/>".to_owned()),
            ("held", "<rect class=\"held\" width=\"14\" height=\"9\" y=\"-9\"/>".to_owned()),
            (
                "panic",
                format!("<rect fill=\"url(#{id}-panic)\" width=\"14\" height=\"9\" y=\"-9\"/>"),
            ),
            ("warm-up", "<rect class=\"warmup\" width=\"14\" height=\"9\" y=\"-9\"/>".to_owned()),
        ];
        for (word, mark) in shown {
            put(
                out,
                format_args!(
                    "<g transform=\"translate({} 14)\">{mark}<text class=\"tick\" x=\"19\" y=\"0\">\
                 {word}</text></g>",
                    number(x),
                ),
            );
            x += 38.0 + 7.0 * word.len() as f64;
        }
        out.push('\n');
    }

    /// Requests a second, which are the same under every policy.
    fn load(&self, out: &mut String, time: &Axis, top: f64) {
        let series = self.ways[0].series;
        let bin_s = series.bin_ns as f64 / 1e9;
        let rates: Vec<_> = series.arrived.iter().map(|number| *number as f64 / bin_s).collect();
        let most = rates.iter().copied().fold(0.0, f64::max);
        let up = Axis::new(if most > 0.0 { most } else { 1.0 }, top + LOAD, top + 6.0);
        frame(out, &up, "req/s");
        path(out, "load", &area(rates.into_iter(), time, &up));
        out.push('\n');
    }

    fn pods(&self, out: &mut String, way: &Way<'_>, time: &Axis, up: &Axis) {
        let (id, series) = (&self.id, way.series);
        for (from, until) in spans(&series.panic) {
            let (from, until) = (time.at(from as f64), time.at(until as f64));
            put(
                out,
                format_args!(
                    "<rect fill=\"url(#{id}-panic)\" x=\"{}\" y=\"{}\" width=\"{}\" \
                     height=\"{}\"/>",
                    number(from),
                    number(up.far()),
                    number((until - from).max(1.0)),
                    number(up.near() - up.far()),
                ),
            );
        }
        frame(out, up, "pods");
        let last = |course: &Course| -> Vec<_> {
            course.bins.iter().map(|bin| f64::from(bin.last)).collect()
        };
        path(out, "ready", &area(last(&series.ready).into_iter(), time, up));
        path(out, "extent", &extents(&series.ready, time, up));
        path(out, "ready-line", &steps(last(&series.ready).into_iter(), time, up));
        path(out, "extent desired-extent", &extents(&series.desired, time, up));
        path(out, "desired", &steps(last(&series.desired).into_iter(), time, up));
        out.push('\n');
    }

    /// The time below, the warm-up behind, and the line that marks a moment.
    fn times(&self, out: &mut String, time: &Axis, bottom: f64) {
        let bin_ns = self.ways[0].series.bin_ns;
        let at = |ns: u64| time.at(ns as f64 / bin_ns as f64);
        for tick in axis::ticks(self.end) {
            let x = number(at(tick.0));
            put(
                out,
                format_args!(
                    "<path class=\"grid\" d=\"M{x} {}V{}\"/><text class=\"tick middle\" x=\"{x}\" \
                 y=\"{}\">{tick}</text>",
                    number(LEGEND),
                    number(bottom + 4.0),
                    number(bottom + 18.0),
                ),
            );
        }
        if self.warmup > Time::ZERO {
            put(
                out,
                format_args!(
                    "<rect class=\"warmup\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                    number(LEFT),
                    number(LEGEND),
                    number(at(self.warmup.0) - LEFT),
                    number(bottom - LEGEND),
                ),
            );
        }
        put(
            out,
            format_args!(
                "\n<path class=\"moment\" d=\"M0 {}V{}\" visibility=\"hidden\"/>\n",
                number(LEGEND),
                number(bottom),
            ),
        );
    }
}

/// The beginning of a chart's element, with its title and its description. `id` tells it apart from
/// other charts in one document.
pub(super) fn opened(
    id: &str,
    attributes: &str,
    height: f64,
    [title, described]: [&str; 2],
) -> String {
    format!(
        "<svg class=\"chart\" {attributes} viewBox=\"0 0 {} {}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        number(WIDTH),
        number(height),
        escaped(title),
        escaped(described),
    )
}

/// The axis of what is drawn upward, with its least, its most, and what it is.
fn frame(out: &mut String, up: &Axis, what: &str) {
    let (left, right) = (number(LEFT), number(RIGHT));
    let (near, far, x) = (number(up.near()), number(up.far()), number(LEFT - 6.0));
    put(
        out,
        format_args!(
            "<path class=\"grid\" d=\"M{left} {far}H{right}\"/><path class=\"base\" \
         d=\"M{left} {near}H{right}\"/><text class=\"tick end\" x=\"{x}\" y=\"{}\">{}</text>\
         <text class=\"tick end dim\" x=\"{x}\" y=\"{}\">{what}</text>",
            number(up.far() + 4.0),
            axis::label(up.most()),
            number((up.near() + up.far()) / 2.0 + 5.0),
        ),
    );
}

fn path(out: &mut String, class: &str, d: &str) {
    if !d.is_empty() {
        put(out, format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
    }
}

/// Adds to a text.
pub(super) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}
