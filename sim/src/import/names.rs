//! Which function a request is of, by what the source calls it.

use std::collections::HashMap;
use std::str::FromStr;

use dormouse_policy::fingerprint::fnv1a;

use crate::lines::Fault;
use crate::trace::indexed::{FUNCTIONS_MAX, SOURCE_BYTES_MAX, is_name};

/// Of a text that is no name this much stays; a hash follows.
const STEM_BYTES_MAX: usize = 40;

/// Which function some requests are of: `PATTERN=NAME`, where `*` stands for any text; without a
/// name they are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pattern: String,
    name: Option<String>,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, name) = text.rsplit_once('=').ok_or("must be PATTERN=NAME")?;
        match name {
            "" => Ok(Self { pattern: pattern.to_owned(), name: None }),
            name if is_name(name) => {
                Ok(Self { pattern: pattern.to_owned(), name: Some(name.to_owned()) })
            }
            name => Err(format!(
                "{name:?}: must be of a-z, 0-9 and -, at most 63, not with - at an end"
            )),
        }
    }
}

impl Rule {
    fn takes(&self, text: &str) -> bool {
        let mut parts = self.pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// The functions found so far.
pub(super) struct Names {
    rules: Vec<Rule>,
    /// By what they are called in the source, or by the name that a rule gives.
    known: HashMap<String, u32>,
    by_name: HashMap<String, u32>,
    /// Name and what they are called in the source.
    table: Vec<(String, String)>,
}

impl Names {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self { rules, known: HashMap::new(), by_name: HashMap::new(), table: Vec::new() }
    }

    /// The place of the function that something is of; none if a rule leaves it out.
    pub(super) fn place(&mut self, source: &str) -> Result<Option<u32>, Fault> {
        let wrong = |rule: String| Fault::Field { field: "function".to_owned(), rule };
        let called = match self.rules.is_empty() {
            true => source,
            false => match self.rules.iter().find(|rule| rule.takes(source)) {
                Some(Rule { name: Some(name), .. }) => name,
                Some(Rule { name: None, .. }) => return Ok(None),
                None => {
                    let rule = "no --function takes it; '*=NAME' takes all that is left, and '*=' \
                                leaves it out";
                    return Err(wrong(format!("{source:?}: {rule}")));
                }
            },
        };
        if let Some(place) = self.known.get(called) {
            return Ok(Some(*place));
        }
        if called.is_empty() || called.len() > SOURCE_BYTES_MAX {
            return Err(wrong(format!("must have 1 to {SOURCE_BYTES_MAX} bytes")));
        }
        if self.table.len() == FUNCTIONS_MAX {
            let rule = "a trace has no more; --function puts many under one name";
            return Err(wrong(format!("{source:?}: is one of over {FUNCTIONS_MAX}; {rule}")));
        }
        let place = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        let name = name(called);
        if let Some(other) = self.by_name.insert(name.clone(), place) {
            let (_, other) = &self.table[other as usize];
            return Err(wrong(format!("{called:?}: would be called {name} as {other:?} is")));
        }
        self.table.push((name, called.to_owned()));
        self.known.insert(called.to_owned(), place);
        Ok(Some(place))
    }

    /// Name and source of each function, by its place.
    pub(super) fn into_table(self) -> Vec<(String, String)> {
        self.table
    }
}

/// The name of what the source calls so: the same if it may be one, else what is left of it in
/// lower case, and a hash, so that two do not become one.
fn name(source: &str) -> String {
    if is_name(source) {
        return source.to_owned();
    }
    let mut stem = String::new();
    for letter in source.chars().map(|letter| letter.to_ascii_lowercase()) {
        match letter {
            'a'..='z' | '0'..='9' => stem.push(letter),
            _ if !stem.is_empty() && !stem.ends_with('-') => stem.push('-'),
            _ => {}
        }
        if stem.len() == STEM_BYTES_MAX {
            break;
        }
    }
    let stem = stem.trim_end_matches('-');
    let hash = fnv1a(source);
    match stem {
        "" => format!("f-{hash:016x}"),
        stem => format!("{stem}-{hash:016x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(rule: &str, text: &str) -> bool {
        rule.parse::<Rule>().unwrap().takes(text)
    }

    #[test]
    fn patterns_take_what_their_stars_stand_for() {
        for (rule, text) in
            [("/api/*=a", "/api/"), ("*=a", ""), ("*/x/*.js=a", "/x/x/y.js"), ("/a=a", "/a")]
        {
            assert!(takes(rule, text), "{rule} {text}");
        }
        for (rule, text) in
            [("/api/*=a", "/ap"), ("/a=a", "/ab"), ("*/x/*.js=a", "/x/y.ts"), ("a*a=a", "a")]
        {
            assert!(!takes(rule, text), "{rule} {text}");
        }
        assert!("/a".parse::<Rule>().is_err());
        assert!("/a=B".parse::<Rule>().unwrap_err().contains("\"B\": must be of a-z"));
    }

    #[test]
    fn what_is_no_name_becomes_one_of_its_own() {
        for (source, stem) in [
            ("shop", "shop"),
            ("Shop", "shop-"),
            ("/api/Users?x", "api-users-x-"),
            ("-a", "a-"),
            ("\u{fc}ber", "ber-"),
            ("/", "f-"),
        ] {
            let named = name(source);
            assert!(named.starts_with(stem) && is_name(&named), "{source}: {named}");
        }
        assert!(is_name(&name(&"x/".repeat(400))));
        assert_ne!(name("/a"), name("a/"));
    }

    #[test]
    fn rules_name_or_leave_out_and_what_none_takes_is_a_fault() {
        let rules = ["/api/*=api", "/health="].map(|rule| rule.parse().unwrap());
        let mut names = Names::new(rules.to_vec());
        assert_eq!(names.place("/api/1").unwrap(), Some(0));
        assert_eq!(names.place("/api/2").unwrap(), Some(0));
        assert_eq!(names.place("/health").unwrap(), None);
        let fault = names.place("/other").unwrap_err().to_string();
        assert!(fault.starts_with("function: \"/other\": no --function takes it"), "{fault}");
        assert_eq!(names.into_table(), [("api".to_owned(), "api".to_owned())]);
    }
}
