//! Cost and waiting as two charts of one scale: every candidate where it was chosen, and the
//! frontier again where it was judged.

use super::shown;
use crate::metric::Metric;
use crate::report::chart::{Axis, number, opened, put};
use crate::report::markup::escaped;
use crate::sweep::{Candidate, Figures, Half, Sweep};

const HEIGHT: f64 = 360.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 310.0;

/// Where each of the two begins and ends.
const SIDES: [(f64, f64); 2] = [(76.0, 466.0), (546.0, 936.0)];

/// The charts, as one.
pub(super) struct Plot<'a> {
    sweep: &'a Sweep,
    /// The frontier and the baseline, in the order of the table.
    shown: Vec<&'a Candidate>,
    best: Option<usize>,
    most: Figures,
}

/// One of the two.
struct Side<'a> {
    half: &'a Half,
    what: &'static str,
    across: Axis,
    up: Axis,
}

impl<'a> Plot<'a> {
    pub(super) fn new(sweep: &'a Sweep) -> Self {
        let chosen = sweep.all().map(Candidate::mean);
        let all: Vec<_> = chosen.chain(sweep.all().filter_map(judged)).collect();
        let most = |of: fn(&Figures) -> f64| {
            let finite = all.iter().map(of).filter(|figure| figure.is_finite());
            // Of nothing at all the axis ends at one.
            Some(finite.fold(0.0, f64::max)).filter(|most| *most > 0.0).unwrap_or(1.0)
        };
        Self {
            sweep,
            shown: shown(sweep),
            best: sweep.choice().best.map(|best| best.number),
            most: Figures { cost: most(|it| it.cost), waiting: most(|it| it.waiting) },
        }
    }

    pub(super) fn height() -> f64 {
        HEIGHT
    }

    /// The `svg` element; `attributes` are its own.
    pub(super) fn draw(&self, attributes: &str) -> String {
        let of = &self.sweep.of;
        let title = format!("{} against {}", of.goal.waiting, of.goal.cost);
        let described = format!(
            "Left every candidate on the half it was chosen on, right the frontier on the half it \
             was judged by. {}",
            self.shown
                .iter()
                .map(|it| format!("{}.", self.told(it, it.mean())))
                .collect::<String>(),
        );
        let mut out = opened("frontier", attributes, HEIGHT, [&title, &described]);
        let [chosen, judging] = [(&of.chosen_on, "chosen on"), (&of.judged_on, "judged by")];
        let [left, right] =
            [(SIDES[0], chosen), (SIDES[1], judging)].map(|(side, (half, what))| {
                let ((from, until), up) = (side, Axis::new(self.most.waiting, BOTTOM, TOP));
                Side { half, what, across: Axis::new(self.most.cost, from, until), up }
            });
        self.ground(&mut out, &left);
        for candidate in &self.sweep.candidates {
            self.point(&mut out, &left, (candidate, candidate.mean()), "candidate");
        }
        self.frontier(&mut out, &left, |candidate| Some(candidate.mean()));
        self.ground(&mut out, &right);
        self.frontier(&mut out, &right, judged);
        out + "</svg>\n"
    }

    /// The axes and what is between them.
    fn ground(&self, out: &mut String, side: &Side<'_>) {
        let [left, right, near, far] =
            [side.across.near(), side.across.far(), side.up.near(), side.up.far()].map(number);
        let goal = &self.sweep.of.goal;
        put(
            out,
            format_args!(
                "<path class=\"base\" d=\"M{left} {far}V{near}H{right}\"/>\
                 <path class=\"grid\" d=\"M{left} {far}H{right}V{near}\"/>\
                 <text class=\"name\" x=\"{left}\" y=\"20\">{} {} to {}, seeds {}</text>\n",
                side.what,
                side.half.from,
                side.half.until,
                side.half.seeds(),
            ),
        );
        let (most_waiting, most_cost) =
            (goal.waiting.unit().show(self.most.waiting), goal.cost.unit().show(self.most.cost));
        let before = number(side.across.near() - 6.0);
        for (class, x, y, text) in [
            ("tick end", &before, side.up.far() + 4.0, most_waiting.as_str()),
            ("tick end", &before, side.up.near() + 4.0, "0"),
            ("tick end", &right, BOTTOM + 18.0, &most_cost),
            ("tick", &left, BOTTOM + 18.0, "0"),
        ] {
            put(
                out,
                format_args!(
                    "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>",
                    number(y),
                    escaped(text),
                ),
            );
        }
        put(
            out,
            format_args!(
                "<text class=\"tick middle dim\" x=\"{}\" y=\"{}\">{} →</text>\
                 <text class=\"tick dim\" x=\"{}\" y=\"{}\">↑ {}</text>\n",
                number(f64::midpoint(side.across.near(), side.across.far())),
                number(BOTTOM + 36.0),
                escaped(&goal.cost.to_string()),
                number(side.across.near() + 6.0),
                number(TOP + 12.0),
                escaped(&goal.waiting.to_string()),
            ),
        );
    }

    /// What the table has too, numbered as there, and a line through it.
    fn frontier(
        &self,
        out: &mut String,
        side: &Side<'_>,
        of: impl Fn(&Candidate) -> Option<Figures>,
    ) {
        let places = self.shown.iter().filter(|it| self.is_on_frontier(it));
        let line = places.filter_map(|it| of(it)).map(|figures| {
            let (x, y) = side.place(figures);
            format!("{x} {y}")
        });
        let line: Vec<_> = line.collect();
        if line.len() > 1 {
            let line = line.join("L");
            put(out, format_args!("<path class=\"desired\" d=\"M{line}\"/>\n"));
        }
        for (number, candidate) in (1..).zip(&self.shown) {
            let Some(figures) = of(candidate) else {
                continue;
            };
            if self.best == Some(candidate.number) {
                let (x, y) = side.place(figures);
                let ring = "class=\"range good\" r=\"9\"";
                put(out, format_args!("<circle {ring} cx=\"{x}\" cy=\"{y}\"/>"));
            }
            let class = if candidate.number == 0 { "dot p1" } else { "dot p0" };
            self.point(out, side, (candidate, figures), class);
            let (x, y) = (side.across.at(figures.cost) + 7.0, side.up.at(figures.waiting) - 6.0);
            put(
                out,
                format_args!(
                    "<text class=\"tick\" x=\"{}\" y=\"{}\">{number}</text>\n",
                    crate::report::chart::number(x),
                    crate::report::chart::number(y),
                ),
            );
        }
    }

    fn point(
        &self,
        out: &mut String,
        side: &Side<'_>,
        (candidate, figures): (&Candidate, Figures),
        class: &str,
    ) {
        let (x, y) = side.place(figures);
        put(
            out,
            format_args!(
                "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"4\"><title>{}</title>\
                 </circle>",
                escaped(&self.told(candidate, figures)),
            ),
        );
    }

    /// Of a slice nothing follows, so that none of its candidates is on the frontier.
    fn is_on_frontier(&self, candidate: &Candidate) -> bool {
        self.shown.len() > 1 && self.sweep.frontier().iter().any(|it| it.number == candidate.number)
    }

    fn told(&self, candidate: &Candidate, figures: Figures) -> String {
        let goal = &self.sweep.of.goal;
        let show = |metric: Metric, figure| format!("{metric} {}", metric.unit().show(figure));
        format!(
            "{}: {}, {}",
            candidate.name(&self.sweep.of.baseline),
            show(goal.cost, figures.cost),
            show(goal.waiting, figures.waiting),
        )
    }
}

impl Side<'_> {
    fn place(&self, figures: Figures) -> (String, String) {
        (number(self.across.at(figures.cost)), number(self.up.at(figures.waiting)))
    }
}

fn judged(candidate: &Candidate) -> Option<Figures> {
    candidate.judged.as_ref().map(|judged| Figures::mean(&judged.seeds))
}
