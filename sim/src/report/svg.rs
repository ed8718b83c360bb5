//! The charts alone, as one image.

use super::chart::{Chart, STYLE, WIDTH, Way, put};
use super::heading;
use super::markup::escaped;
use crate::courses::Courses;
use crate::judge::Outcome;
use crate::world::NOT_MODELLED;

/// Of each function's name above its chart, and around all.
const HEAD: f64 = 34.0;

pub(super) fn write(outcome: &Outcome<'_>, courses: Option<&Courses>) -> String {
    let charts = charts(outcome, courses);
    let drawn = charts.iter().map(|chart| Drawn {
        name: chart.function.to_owned(),
        height: chart.height(),
        draw: Box::new(|place| chart.draw(place)),
    });
    image(heading::title(outcome.plan), drawn)
}

/// A chart of an image.
pub(super) struct Drawn<'a> {
    pub(super) name: String,
    pub(super) height: f64,
    /// The chart's element, with these attributes.
    pub(super) draw: Box<dyn Fn(&str) -> String + 'a>,
}

/// An image of charts, one below the other.
pub(super) fn image<'a>(title: &str, charts: impl Iterator<Item = Drawn<'a>>) -> String {
    let mut inside = String::new();
    let mut top = HEAD;
    for Drawn { name, height, draw } in charts {
        let name = escaped(&name);
        put(
            &mut inside,
            format_args!("<text class=\"name\" x=\"12\" y=\"{:.0}\">{name}</text>\n", top + 20.0),
        );
        top += HEAD;
        let place = format!("y=\"{top:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\"");
        inside += &draw(&place);
        top += height;
    }
    let title = escaped(title);
    let not_modelled = escaped(&NOT_MODELLED.join("; "));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"{WIDTH}\" \
         height=\"{top:.0}\" viewBox=\"0 0 {WIDTH} {top:.0}\" role=\"img\" \
         aria-labelledby=\"title\">\n<title id=\"title\">{title}</title>\n\
         <desc>Not modelled: {not_modelled}.</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"12\" y=\"24\">{title}</text>\n{inside}</svg>\n"
    )
}

/// The charts of those functions that have a way through the run.
pub(super) fn charts<'a>(outcome: &Outcome<'a>, courses: Option<&'a Courses>) -> Vec<Chart<'a>> {
    let plan = outcome.plan;
    let functions = courses.iter().flat_map(|courses| &courses.functions).enumerate();
    let chart = |(number, function): (usize, &usize)| {
        let policies = courses.iter().flat_map(|courses| &courses.policies).enumerate();
        let ways = policies.filter_map(|(place, all)| {
            let series = all.iter().find(|series| series.function == *function)?;
            let policy = plan.scenario.policies[place].name.as_str();
            (!series.arrived.is_empty()).then_some(Way { policy, place, series })
        });
        let ways: Vec<_> = ways.collect();
        (!ways.is_empty()).then(|| Chart {
            id: format!("chart-{number}"),
            function: plan.functions[*function].name.as_str(),
            end: plan.scenario.end(),
            warmup: plan.scenario.warmup,
            ways,
        })
    };
    functions.filter_map(chart).collect()
}
