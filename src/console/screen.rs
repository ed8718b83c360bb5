//! A table that stays at the foot of a terminal while other lines scroll away above it.

use std::io;

use terminal_size::{Height, terminal_size_of};

/// Lines of a terminal that does not tell its height: the usual least.
const HEIGHT_DEFAULT: u16 = 24;

/// Switches off the wrapping of long lines, so that a line of the table is one line of the screen
/// whatever the terminal's width, which then need not be asked for.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const CLEAR_TO_END: &str = "\x1b[J";

/// The terminal's height in lines, at least 1, as it is now: people resize windows.
pub(super) fn height() -> usize {
    let told = terminal_size_of(io::stderr()).map(|(_, Height(lines))| lines);
    told.filter(|lines| *lines > 0).unwrap_or(HEIGHT_DEFAULT).into()
}

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    table: Vec<String>,
}

impl Screen {
    /// The bytes that print `text` above the table and replace the table by `table`, if given.
    /// Empty if nothing changes.
    pub(super) fn draw(&mut self, text: &[u8], table: Option<&[String]>) -> Vec<u8> {
        let table = table.filter(|table| *table != self.table);
        if text.is_empty() && table.is_none() {
            return Vec::new();
        }
        let mut drawn = Vec::new();
        if !self.table.is_empty() {
            drawn.extend(format!("\r\x1b[{}A{CLEAR_TO_END}", self.table.len()).bytes());
        }
        if let Some(table) = table {
            self.table = table.to_vec();
        }
        drawn.extend_from_slice(text);
        if !text.is_empty() && !text.ends_with(b"\n") {
            drawn.push(b'\n');
        }
        if !self.table.is_empty() {
            drawn.extend(NO_WRAP.bytes());
            for line in &self.table {
                drawn.extend(line.bytes());
                drawn.push(b'\n');
            }
            drawn.extend(WRAP.bytes());
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_scroll_above_the_table() {
        let mut screen = Screen::default();
        let mut check = |text: &str, table: Option<&[&str]>, expected: &str| {
            let table =
                table.map(|lines| lines.iter().map(ToString::to_string).collect::<Vec<String>>());
            let drawn = screen.draw(text.as_bytes(), table.as_deref());
            assert_eq!(String::from_utf8(drawn).unwrap(), expected);
        };
        check("hello\n", None, "hello\n");
        check("", Some(&["A", "B"]), "\x1b[?7lA\nB\n\x1b[?7h");
        check("", Some(&["A", "B"]), "");
        check("", None, "");
        check("cut", None, "\r\x1b[2A\x1b[Jcut\n\x1b[?7lA\nB\n\x1b[?7h");
        check("", Some(&["C"]), "\r\x1b[2A\x1b[J\x1b[?7lC\n\x1b[?7h");
        check("x\n", Some(&[]), "\r\x1b[1A\x1b[Jx\n");
        check("y\n", None, "y\n");
    }
}
