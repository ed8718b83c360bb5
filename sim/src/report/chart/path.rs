//! Lines and areas over bins, as data of an SVG path; a bin like the one before takes no room.

use super::axis::Axis;
use crate::world::Course;

/// A coordinate: a tenth of a unit is less than anybody sees.
pub(in crate::report) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A line that stands as high as each bin.
pub(super) fn steps(figures: impl Iterator<Item = f64>, time: &Axis, up: &Axis) -> String {
    let mut path = String::new();
    let mut height = String::new();
    for (bin, figure) in figures.enumerate() {
        let now = number(up.at(figure));
        if bin == 0 {
            path = format!("M{} {now}", number(time.at(0.0)));
        } else if now != height {
            path += &format!("H{}V{now}", number(time.at(bin as f64)));
        }
        height = now;
    }
    if !path.is_empty() {
        path += &format!("H{}", number(time.far()));
    }
    path
}

/// What is below that line; nothing if it is 0 throughout.
pub(super) fn area(figures: impl Iterator<Item = f64>, time: &Axis, up: &Axis) -> String {
    let mut figures = figures.peekable();
    let mut some = false;
    let figures = std::iter::from_fn(|| figures.next().inspect(|it| some |= *it > 0.0));
    let path = steps(figures, time, up);
    match some {
        true => format!("{path}V{}H{}Z", number(up.near()), number(time.at(0.0))),
        false => String::new(),
    }
}

/// From the least to the most of each bin in which a figure changed.
pub(super) fn extents(course: &Course, time: &Axis, up: &Axis) -> String {
    let mut path = String::new();
    for (bin, extent) in course.bins.iter().enumerate() {
        if extent.least < extent.most {
            let (from, until) = (time.at(bin as f64), time.at((bin + 1) as f64));
            let (low, high) = (up.at(extent.least.into()), up.at(extent.most.into()));
            path += &format!(
                "M{} {}V{}H{}V{}Z",
                number(from),
                number(low),
                number(high),
                number(until),
                number(low),
            );
        }
    }
    path
}

/// Bins from the first up to the second in which a figure was above 0 at any time.
pub(super) fn spans(course: &Course) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (bin, _) in course.bins.iter().enumerate().filter(|(_, extent)| extent.most > 0) {
        match spans.last_mut() {
            Some((_, until)) if *until == bin => *until += 1,
            _ => spans.push((bin, bin + 1)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bins_are_one_step() {
        let (time, up) = (Axis::new(4.0, 0.0, 40.0), Axis::new(2.0, 10.0, 0.0));
        let steps = |figures: [f64; 4]| steps(figures.into_iter(), &time, &up);
        assert_eq!(steps([1.0, 1.0, 2.0, 0.0]), "M0 5H20V0H30V10H40");
        assert_eq!(steps([0.0; 4]), "M0 10H40");
        let area = |figures: [f64; 4]| area(figures.into_iter(), &time, &up);
        assert_eq!(area([0.0; 4]), "");
        assert_eq!(area([0.0, 1.0, 1.0, 1.0]), "M0 10H10V5H40V10H0Z");
    }
}
