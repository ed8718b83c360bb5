//! What a sweep came to, for people.

use super::super::text::{columns, line};
use super::{block, finding, halves, is_whole, rows, title, unconcluded};
use crate::sweep::Sweep;
use crate::world::NOT_MODELLED;

pub(super) fn write(sweep: &Sweep) -> String {
    let mut text = String::new();
    let (of, policy) = (sweep.of.candidates, &sweep.of.baseline);
    line(&mut text, format_args!("{}: {of} candidates beside policy {policy}", title(sweep)));
    line(&mut text, format_args!("{}", halves(sweep)));
    if !is_whole(sweep) {
        line(&mut text, format_args!("{}", unconcluded(sweep)));
        return text;
    }
    let choice = sweep.choice();
    text.push('\n');
    columns(&mut text, &rows(sweep));
    line(&mut text, format_args!("\n{}", finding(sweep, &choice)));
    if let Some(block) = block(&choice) {
        line(&mut text, format_args!("\n{}", block.trim_end()));
    }
    text.push_str("\nnot modelled:\n");
    for left_out in NOT_MODELLED {
        line(&mut text, format_args!("  {left_out}"));
    }
    text
}
