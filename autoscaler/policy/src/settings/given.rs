//! What was given for the keys of a table.

use std::collections::BTreeMap;

use super::Fault;
use super::grammar::Value;
use super::keys::{Key, Standing, Table};

/// Key and value as written.
pub(super) type Written<'a> = (&'a str, &'a str);

/// The values that counted, each read by its grammar, and every fault so far.
pub(super) struct Given<'a> {
    table: Table,
    values: BTreeMap<&'static str, (Written<'a>, Value)>,
    faults: Vec<Fault>,
}

impl<'a> Given<'a> {
    /// Reads what `find` finds for each key of `table`.
    pub(super) fn read(table: Table, find: impl Fn(&Key) -> Option<Written<'a>>) -> Self {
        let mut given = Self { table, values: BTreeMap::new(), faults: Vec::new() };
        for key in table.keys {
            let Some((name, text)) = find(key) else {
                continue;
            };
            match key.grammar.read(text) {
                Ok(value) => {
                    given.values.insert(key.name, ((name, text), value));
                }
                Err(rule) => given.object((name, text), rule),
            }
        }
        given
    }

    /// The value of a key whose grammar has integers; none if it was not given or not in order.
    pub(super) fn integer(&self, key: &Key) -> Option<u32> {
        match self.value(key) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The same for numbers.
    pub(super) fn number(&self, key: &Key) -> Option<f64> {
        match self.value(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The same for durations, in microseconds, rounded up: a duration above zero stays so.
    pub(super) fn duration_us(&self, key: &Key) -> Option<u64> {
        match self.value(key) {
            Some(Value::Duration(ns)) => Some(ns.unsigned_abs().div_ceil(1_000)),
            _ => None,
        }
    }

    /// The same for durations in whole seconds; one of more than a century is one of a century.
    pub(super) fn duration_s(&self, key: &Key) -> Option<u32> {
        let us = self.duration_us(key)?;
        Some(u32::try_from(us / 1_000_000).unwrap_or(u32::MAX))
    }

    /// The same for words.
    pub(super) fn word(&self, key: &Key) -> Option<&'static str> {
        match self.value(key) {
            Some(Value::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The same for texts.
    pub(super) fn text(&self, key: &Key) -> Option<&str> {
        match self.value(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The same for host names.
    pub(super) fn hosts(&self, key: &Key) -> &[String] {
        match self.value(key) {
            Some(Value::Hosts(hosts)) => hosts,
            _ => &[],
        }
    }

    /// One of two things by a switch that was given.
    pub(super) fn switch<T>(&self, key: &Key, on: T, off: T) -> Option<T> {
        match self.value(key) {
            Some(Value::Switch(true)) => Some(on),
            Some(Value::Switch(false)) => Some(off),
            _ => None,
        }
    }

    /// Adds that the value given for `key` breaks a rule. Whether one was.
    pub(super) fn fault(&mut self, key: &Key, rule: String) -> bool {
        let written = self.values.get(key.name).map(|(written, _)| *written);
        if let Some(written) = written {
            self.object(written, rule);
        }
        written.is_some()
    }

    /// Objects to those of `names` that are not in the table; returns those in it that have no
    /// effect, sorted, each once.
    pub(super) fn survey(&mut self, names: impl Iterator<Item = Written<'a>>) -> Vec<String> {
        let names: BTreeMap<&str, &str> = names.collect();
        let mut not_yet = Vec::new();
        for (name, text) in names {
            match self.table.known(name) {
                Ok(key) if key.standing == Standing::NotYet => not_yet.push(key.name.to_owned()),
                Ok(_) => {}
                Err(rule) => self.object((name, text), rule),
            }
        }
        not_yet.sort();
        not_yet.dedup();
        not_yet
    }

    /// `settled` if there is no fault.
    ///
    /// # Errors
    /// All there are.
    pub(super) fn conclude<T>(self, settled: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() { Ok(settled) } else { Err(self.faults) }
    }

    fn value(&self, key: &Key) -> Option<&Value> {
        self.values.get(key.name).map(|(_, value)| value)
    }

    fn object(&mut self, (name, text): Written<'a>, rule: String) {
        let noun = self.table.noun;
        self.faults.push(Fault { noun, key: name.to_owned(), value: text.to_owned(), rule });
    }
}
