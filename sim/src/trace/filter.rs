//! Which rows of a trace count.

/// What a trace of counts tells of each row.
pub const COUNTS_COLUMNS: &[&str] = &["owner", "app", "function", "trigger"];

/// What a trace with an index tells of each function.
pub const INDEXED_COLUMNS: &[&str] = &["function", "source"];

/// Conditions that a row must meet, all of them: `trigger = http and owner != 1a2b`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    column: &'static str,
    relation: Relation,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is,
    IsNot,
}

impl Filter {
    /// Reads conditions on these columns.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str, columns: &[&'static str]) -> Result<Self, String> {
        let condition = |text: &str| {
            let (column, relation, value) = match text.split_once("!=") {
                Some((column, value)) => (column, Relation::IsNot, value),
                None => {
                    let (column, value) = text.split_once('=').ok_or(
                        "must be column = value or column != value, joined by and".to_owned(),
                    )?;
                    (column, Relation::Is, value)
                }
            };
            let column = column.trim();
            let column = columns.iter().find(|own| **own == column).ok_or_else(|| {
                format!("there is no column {column:?}; there are {}", columns.join(", "))
            })?;
            Ok(Condition { column, relation, value: value.trim().to_owned() })
        };
        text.split(" and ").map(condition).collect::<Result<_, String>>().map(Self)
    }

    /// Whether what `value` tells of each column meets them.
    pub fn takes<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|condition| {
            (value(condition.column) == condition.value) == (condition.relation == Relation::Is)
        })
    }
}
