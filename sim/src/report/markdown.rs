//! Markdown, as code hosts read it.

/// To which side a column goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// A table of that many columns; the first row is its head.
pub(super) fn table(columns: &[Align], rows: &[Vec<String>]) -> String {
    let row = |cells: &mut dyn Iterator<Item = String>| {
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = |align: &Align| match align {
        Align::Left => "---".to_owned(),
        Align::Right => "---:".to_owned(),
    };
    let mut text = String::new();
    for (at, cells) in rows.iter().enumerate() {
        text += &row(&mut cells.iter().map(|cell| escaped(cell)));
        if at == 0 {
            text += &row(&mut columns.iter().map(rule));
        }
    }
    text
}

/// Text that means nothing but itself.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '@' => {
                escaped.extend(['\\', letter]);
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_columns_whatever_stands_in_it() {
        let rows = [["a", "b|c"], ["x_y", "1\n2"]].map(|row| row.map(str::to_owned).to_vec());
        let want = "| a | b\\|c |\n| --- | ---: |\n| x\\_y | 1 2 |\n";
        assert_eq!(table(&[Align::Left, Align::Right], &rows), want);
    }
}
