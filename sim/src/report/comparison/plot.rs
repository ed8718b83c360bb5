//! Differences from the baseline as a chart: a row for each figure, with its interval and the
//! margin inside which it counts as the same.

use super::{Compared, row_line};
use crate::compare::{Row, Verdict};
use crate::metric::Unit;
use crate::report::chart::{Axis, number, opened, put};
use crate::report::markup::escaped;

/// Where differences are drawn; names stand before, figures behind.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 640.0;

const HEAD: f64 = 26.0;
const ROW: f64 = 24.0;
const FOOT: f64 = 10.0;

/// The farthest difference drawn, as a share of the baseline's: what is beyond lies at the border,
/// for one figure that is ten times the baseline's would leave all others in one place.
const REACH_MAX: f64 = 1.0;

/// The chart of one policy.
pub(super) struct Plot<'a> {
    compared: &'a Compared<'a>,
    policy: &'a str,
    rows: Vec<&'a Row>,
}

impl<'a> Plot<'a> {
    pub(super) fn new(compared: &'a Compared<'a>, policy: &'a str) -> Self {
        Self { compared, policy, rows: compared.rows(policy) }
    }

    pub(super) fn height(&self) -> f64 {
        HEAD + self.rows.len() as f64 * ROW + FOOT
    }

    /// The `svg` element; `attributes` are its own.
    pub(super) fn draw(&self, attributes: &str) -> String {
        let baseline = &self.compared.comparison.baseline;
        let title = format!("{} beside {baseline}", self.policy);
        let described = format!(
            "Differences as shares of what {baseline} has, with intervals. {}.",
            self.rows.iter().map(|row| row_line(row)).collect::<Vec<_>>().join(". "),
        );
        let id = format!("plot-{}", self.place());
        let mut out = opened(&id, attributes, self.height(), [&title, &described]);
        let reach = self.reach();
        let axis = Axis::new(2.0 * reach, LEFT, RIGHT);
        let across = |share: f64| number(axis.at(share + reach));
        self.ground(&mut out, reach, &across);
        for (place, row) in self.rows.iter().enumerate() {
            draw_row(&mut out, row, HEAD + (place as f64 + 0.5) * ROW, &across);
        }
        out + "</svg>\n"
    }

    /// Its place among the policies that are compared with the first.
    fn place(&self) -> usize {
        let others = self.compared.comparison.others();
        others.iter().position(|other| *other == self.policy).unwrap_or(0)
    }

    /// How far to either side the axis goes.
    fn reach(&self) -> f64 {
        let shares = self.rows.iter().flat_map(|row| shares(row)).map(f64::abs);
        let farthest = shares.filter(|share| share.is_finite()).fold(0.0, f64::max);
        farthest.max(2.0 * self.compared.comparison.margin).clamp(0.01, REACH_MAX)
    }

    /// The axis, and the margin around no difference.
    fn ground(&self, out: &mut String, reach: f64, across: &impl Fn(f64) -> String) {
        let margin = self.compared.comparison.margin.min(reach);
        let bottom = number(self.height() - FOOT);
        let (from, until) = (across(-margin), across(margin));
        put(
            out,
            format_args!(
                "<path class=\"warmup\" d=\"M{from} {HEAD}H{until}V{bottom}H{from}Z\"/>\n"
            ),
        );
        for share in [-reach, 0.0, reach] {
            let class = if share.abs() > 0.0 { "grid" } else { "moment" };
            let x = across(share);
            let shown = super::signed(Unit::Share, share);
            put(
                out,
                format_args!(
                    "<path class=\"{class}\" d=\"M{x} {HEAD}V{bottom}\"/>\
                     <text class=\"tick middle\" x=\"{x}\" y=\"16\">{shown}</text>\n"
                ),
            );
        }
    }
}

/// A difference and the ends of its interval, as shares of the baseline's figure.
fn shares(row: &Row) -> Vec<f64> {
    let ends = row.interval.iter().flat_map(|interval| [interval.low, interval.high]);
    row.difference().into_iter().chain(ends).filter_map(|it| row.share(it)).collect()
}

fn draw_row(out: &mut String, row: &Row, middle: f64, across: &impl Fn(f64) -> String) {
    let [name, .., told, verdict] = Compared::cells(row);
    let class = match row.verdict {
        Verdict::Better => "good",
        Verdict::Worse => "bad",
        Verdict::Same | Verdict::Undecided => "open",
    };
    let (y, below) = (number(middle), number(middle + 4.0));
    put(
        out,
        format_args!(
            "<g class=\"{class}\"><title>{}</title><text class=\"tick\" x=\"12\" \
             y=\"{below}\">{}</text>",
            escaped(&row_line(row)),
            escaped(&name),
        ),
    );
    let shares = shares(row);
    if let [_, low, high] = shares[..] {
        let (low, high) = (across(low), across(high));
        put(out, format_args!("<path class=\"range\" d=\"M{low} {y}H{high}\"/>"));
    }
    if let Some(share) = shares.first() {
        let x = across(*share);
        put(out, format_args!("<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"));
    }
    put(
        out,
        format_args!(
            "<text class=\"tick\" x=\"{}\" y=\"{below}\">{}: {}</text></g>\n",
            number(RIGHT + 14.0),
            escaped(&verdict),
            escaped(&told),
        ),
    );
}
