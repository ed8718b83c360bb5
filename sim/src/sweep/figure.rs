//! A figure in JSON: a number, or `"never"` where it is infinite.

use serde::{Deserialize, Deserializer, Serializer};

const NEVER: &str = "never";

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(String),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
pub(super) fn serialize<S: Serializer>(figure: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match figure.is_finite() {
        true => serializer.serialize_f64(*figure),
        false => serializer.serialize_str(NEVER),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Number(figure) => Ok(figure),
        Written::Word(word) if word == NEVER => Ok(f64::INFINITY),
        Written::Word(word) => {
            Err(serde::de::Error::custom(format_args!("{word:?}: must be a number or {NEVER:?}")))
        }
    }
}
