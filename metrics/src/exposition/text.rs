//! The two text formats, line by line.

use std::fmt::{self, Display, Write};

/// A text format of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a scraper prefers by its `Accept`; Prometheus' own where it has no preference that we
    /// know.
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0);
        for part in accept.split(',') {
            let mut words = part.split(';').map(str::trim);
            let format = match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" => Self::Prometheus,
                _ => continue,
            };
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(1_000, permille);
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its samples' names end in `_total`.
    Counter,
    /// What is there now.
    Gauge,
    /// Counts up to bounds.
    Histogram,
}

/// Microseconds, written as seconds: exact, which a float's decimals are not.
pub struct Seconds(pub u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Writes a label and its value, with a comma if one stands there already.
pub fn label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push('"');
}

/// A text that grows by families and their samples.
pub struct Text {
    format: Format,
    out: String,
    /// The name of the samples of the family that grows.
    name: String,
}

impl Text {
    /// An empty one with room for that many bytes.
    #[must_use]
    pub fn new(format: Format, bytes: usize) -> Self {
        Self { format, out: String::with_capacity(bytes), name: String::new() }
    }

    /// Begins a family. `name` is without the ending of its samples; `help` holds nothing that must
    /// be escaped.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind_name = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name.clear();
        self.name.push_str(name);
        if kind == Kind::Counter {
            self.name.push_str("_total");
        }
        // OpenMetrics names a family without the ending, Prometheus' own format with it.
        let family = match self.format {
            Format::Prometheus => &self.name,
            Format::OpenMetrics => name,
        };
        for part in ["# HELP ", family, " ", help, "\n# TYPE ", family, " ", kind_name, "\n"] {
            self.out.push_str(part);
        }
    }

    /// A sample of the family, its labels as [`label`] wrote them, and one more if there is one.
    ///
    /// # Panics
    /// Never: memory takes all that is written.
    pub fn sample(
        &mut self,
        ending: &str,
        labels: &str,
        more: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let out = &mut self.out;
        out.push_str(&self.name);
        out.push_str(ending);
        if !labels.is_empty() {
            out.push('{');
            out.push_str(labels);
            if let Some((name, value)) = more {
                for part in [",", name, "=\"", value, "\""] {
                    out.push_str(part);
                }
            }
            out.push('}');
        }
        out.push(' ');
        write!(out, "{value}").expect("a string takes all that is written");
        out.push('\n');
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A weight of RFC 9110 §12.4.2, 0 to 1 with up to three digits, in thousandths; 0 for anything
/// else, which is then not wanted.
fn permille(weight: &str) -> u32 {
    let (whole, digits) = weight.split_once('.').unwrap_or((weight, ""));
    match (whole, format!("{digits:0<3}").parse()) {
        ("1", _) => 1_000,
        ("0", Ok(permille)) if digits.len() <= 3 => permille,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html, text/plain", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; version=1.0.0; q=1", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.25", Format::Prometheus),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=nonsense", Format::Prometheus),
            ("application/openmetrics-text;q=0.0001", Format::Prometheus),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }
}
