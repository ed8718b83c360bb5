//! What a sweep came to, for a pull request.

use super::super::markdown::{Align, escaped, table};
use super::{block, finding, halves, rows, title};
use crate::sweep::Sweep;
use crate::world::NOT_MODELLED;

pub(super) fn write(sweep: &Sweep) -> String {
    let choice = sweep.choice();
    let mut text = format!("### {}\n\n", escaped(title(sweep)));
    text += &format!("{}\n\n", escaped(&finding(sweep, &choice)));
    if let Some(block) = block(&choice) {
        text += &format!("```yaml\n{block}```\n\n");
    }
    let rows: Vec<_> =
        rows(sweep).into_iter().map(|(name, cells)| [vec![name], cells].concat()).collect();
    let figures = [Align::Right; 4];
    text += &table(&[&[Align::Left], &figures[..]].concat(), &rows);
    let (count, policy) = (sweep.of.candidates, escaped(&sweep.of.baseline));
    text += &format!("\n{count} candidates beside policy {policy}; {}.\n", escaped(&halves(sweep)));
    format!("{text}\nNot modelled: {}.\n", NOT_MODELLED.join("; "))
}
