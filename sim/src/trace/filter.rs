//! Which rows of a trace count.

use super::azure::Row;

const COLUMNS: [&str; 4] = ["owner", "app", "function", "trigger"];

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
    /// Reads conditions.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
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
            let column = COLUMNS.into_iter().find(|own| *own == column).ok_or_else(|| {
                format!("there is no column {column:?}; there are {}", COLUMNS.join(", "))
            })?;
            Ok(Condition { column, relation, value: value.trim().to_owned() })
        };
        text.split(" and ").map(condition).collect::<Result<_, String>>().map(Self)
    }

    /// Whether a row meets them.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        self.0.iter().all(|condition| {
            let value = match condition.column {
                "owner" => &row.owner,
                "app" => &row.app,
                "function" => &row.function,
                _ => &row.trigger,
            };
            (*value == condition.value) == (condition.relation == Relation::Is)
        })
    }
}
