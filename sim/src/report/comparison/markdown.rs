//! For a pull request.

use super::Compared;
use crate::report::markdown::{Align, escaped, table};
use crate::world::NOT_MODELLED;

pub(super) fn write(compared: &Compared<'_>) -> String {
    let (name, length) = compared.title();
    let baseline = &compared.comparison.baseline;
    let mut text = format!("### {}: beside {}\n", escaped(name), escaped(baseline));
    for policy in compared.comparison.others() {
        let columns = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
        text += &format!("\n{}", table(&columns, &compared.table(policy)));
        for told in compared.start_up_lines(policy) {
            text += &format!("\n{}\n", escaped(&told));
        }
    }
    let assertions = compared.assertion_lines();
    if !assertions.is_empty() {
        text.push('\n');
    }
    for told in assertions {
        text += &format!("- {}\n", escaped(&told));
    }
    text += &format!("\n{}; {}\n", escaped(&length), escaped(&compared.stands_on()));
    text += "\n<details><summary>not modelled</summary>\n\n";
    for left_out in NOT_MODELLED {
        text += &format!("- {}\n", escaped(left_out));
    }
    text + "\n</details>\n"
}
