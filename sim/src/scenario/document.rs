//! A TOML document with the place of everything in it, and with all that is wrong with it.
//!
//! A reader asks a [`Section`] for the keys it knows; what was never asked for is an unknown key.
//! Whatever cannot be used is noted, and reading goes on, so that one look names every fault.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use dormouse_policy::settings::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::lines::shown;

/// Faults noted of one document: beyond these nobody reads on.
const FAULTS_MAX: usize = 100;

/// What cannot hold: where it stands and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{place}: {rule}")]
pub struct Fault {
    /// The file, as it was named; or the flag.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong, as a sentence that begins with what it is about.
    pub rule: String,
}

/// A place in a file, from 1; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// Everything that is wrong, one to a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { line: 0, .. } => Ok(()),
            Self { line, column: 0 } => write!(f, ":{line}"),
            Self { line, column } => write!(f, ":{line}:{column}"),
        }
    }
}

impl Fault {
    /// One that is about a whole file or flag.
    pub(crate) fn whole(file: &str, rule: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), place: Place::default(), rule: rule.to_string() }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// A document being read.
pub(crate) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, faults: RefCell::new(Vec::new()) }
    }

    /// The document's table; the error is where the text is not TOML, each place.
    pub(crate) fn parse(&self) -> Result<Spanned<DeTable<'a>>, Faults> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.note(at, error.message().replace('\n', "; "));
        }
        if errors.is_empty() { Ok(table) } else { Err(self.faults()) }
    }

    /// `value` if nothing was wrong.
    pub(crate) fn conclude<T>(self, value: T) -> Result<T, Faults> {
        let faults = self.faults();
        if faults.0.is_empty() { Ok(value) } else { Err(faults) }
    }

    pub(crate) fn section<'d>(&'d self, table: &'d Spanned<DeTable<'a>>) -> Section<'d> {
        Section::new(self, String::new(), 0, table.get_ref())
    }

    fn faults(&self) -> Faults {
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
        Faults(faults)
    }

    fn note(&self, at: usize, rule: impl fmt::Display) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            let (file, place) = (self.file.to_owned(), self.place(at));
            let fault = Fault { file, place, rule: rule.to_string() };
            // What is nested is complained of at every depth.
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }

    fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Place {
            line: before.matches('\n').count() as u64 + 1,
            column: line.chars().count() as u64 + 1,
        }
    }
}

/// A value and its key.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    document: &'d Document<'d>,
    key: String,
    span: Range<usize>,
    value: &'d DeValue<'d>,
}

impl<'d> Node<'d> {
    /// Notes that this value breaks a rule, worded to follow its key.
    pub(crate) fn fault(&self, rule: impl fmt::Display) {
        self.document.note(self.span.start, format_args!("{}: {rule}", self.key));
    }

    /// Where it stands, for faults that are found later.
    pub(crate) fn place(&self) -> Place {
        self.document.place(self.span.start)
    }

    pub(crate) fn text(&self) -> Option<&'d str> {
        self.expect("a text in quotes", self.value.as_str())
    }

    /// What `read` makes of the text.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text()?;
        read(text).map_err(|rule| self.fault(format_args!("{:?}: {rule}", shown(text)))).ok()
    }

    pub(crate) fn whole_number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.value.as_integer().and_then(|number| {
            let digits = number.as_str().replace('_', "");
            u64::from_str_radix(&digits, number.radix()).ok()
        });
        let number = number.filter(|number| range.contains(number));
        let (from, to) = range.into_inner();
        self.expect(&format!("a whole number from {from} to {to}"), number)
    }

    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let written = match self.value {
            DeValue::Integer(number) => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        };
        let number = written.and_then(|text| text.replace('_', "").parse().ok());
        // NaN is in no range.
        let number = number.filter(|number| range.contains(number));
        let (from, to) = range.into_inner();
        self.expect(&format!("a number from {from} to {to}"), number)
    }

    /// A date and time, in quotes or not.
    pub(crate) fn date_time(&self) -> Option<toml::value::Datetime> {
        let date_time = match self.value {
            DeValue::String(text) => text.parse().ok(),
            value => value.as_datetime().copied(),
        };
        self.expect("a date and time such as 2026-03-03T08:00:00Z", date_time)
    }

    /// The elements of an array; a value that is none is one by itself.
    pub(crate) fn elements(&self) -> Vec<Self> {
        let Some(array) = self.value.as_array() else {
            return vec![self.clone()];
        };
        let element = |(index, element): (usize, &'d Spanned<DeValue<'d>>)| Self {
            document: self.document,
            key: format!("{}[{index}]", self.key),
            span: element.span(),
            value: element.get_ref(),
        };
        array.iter().enumerate().map(element).collect()
    }

    /// A text, or a number or a switch as it is written.
    pub(crate) fn written(&self) -> Option<String> {
        match self.value {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                self.document.text.get(self.span.clone()).map(|text| text.trim().to_owned())
            }
            _ => self.text().map(str::to_owned),
        }
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(crate) fn section(&self) -> Option<Section<'d>> {
        let table = self.expect("a table", self.value.as_table())?;
        Some(Section::new(self.document, self.key.clone(), self.span.start, table))
    }

    fn expect<T>(&self, wanted: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            let written = self.document.text.get(self.span.clone()).unwrap_or_default();
            match self.value {
                DeValue::Table(_) | DeValue::Array(_) => {
                    self.fault(format_args!("must be {wanted}, not a {}", self.value.type_str()));
                }
                _ => self.fault(format_args!("{}: must be {wanted}", shown(written.trim()))),
            }
        }
        found
    }
}

/// A table, and which of its keys were asked for.
pub(crate) struct Section<'d> {
    document: &'d Document<'d>,
    key: String,
    start: usize,
    table: &'d DeTable<'d>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Section<'d> {
    fn new(document: &'d Document<'d>, key: String, start: usize, table: &'d DeTable<'d>) -> Self {
        Self { document, key, start, table, asked: RefCell::default() }
    }

    /// Notes that the table as a whole breaks a rule.
    pub(crate) fn fault(&self, rule: impl fmt::Display) {
        match self.key.as_str() {
            "" => self.document.note(self.start, rule),
            key => self.document.note(self.start, format_args!("{key}: {rule}")),
        }
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        self.document.place(self.start)
    }

    /// The value of a key that may be there.
    pub(crate) fn get(&self, name: &'static str) -> Option<Node<'d>> {
        self.asked.borrow_mut().push(name);
        self.nodes().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, name: &'static str) -> Option<Node<'d>> {
        let node = self.get(name);
        if node.is_none() {
            self.fault(format_args!("{name} is missing"));
        }
        node
    }

    /// Whether a key is there.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.asked.borrow_mut().push(name);
        self.table.contains_key(name)
    }

    /// Every key and value, as written from top to bottom: keys that people chose.
    pub(crate) fn entries(&self) -> Vec<(String, Node<'d>)> {
        let mut entries: Vec<_> = self.nodes().collect();
        entries.sort_by_key(|(_, node)| node.span.start);
        entries
    }

    /// Objects to every key that was not asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.borrow();
        for (name, _) in self.table {
            if !asked.contains(&name.get_ref().as_ref()) {
                let rule = match nearest(name.get_ref(), asked.iter().copied()) {
                    Some(near) => format!("there is no such key; did you mean {near}?"),
                    None => format!("there is no such key; there are {}", asked.join(", ")),
                };
                let key = join(&self.key, name.get_ref());
                self.document.note(name.span().start, format_args!("{key}: {rule}"));
            }
        }
    }

    fn nodes(&self) -> impl Iterator<Item = (String, Node<'d>)> {
        self.table.iter().map(|(name, value)| {
            let key = name.get_ref();
            let node = Node {
                document: self.document,
                key: join(&self.key, key),
                // A table written as a header has its place there; a value its own.
                span: match value.get_ref() {
                    DeValue::Table(_) => name.span(),
                    _ => value.span(),
                },
                value: value.get_ref(),
            };
            (key.to_string(), node)
        })
    }
}

fn join(path: &str, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let key = match key.bytes().all(is_bare) {
        true => shown(key).into_owned(),
        false => format!("{:?}", shown(key)),
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
