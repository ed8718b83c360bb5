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
pub(super) enum Kind {
    /// Only grows; its samples' names end in `_total`.
    Counter,
    /// What is there now.
    Gauge,
    /// Counts up to bounds.
    Histogram,
}

/// Microseconds, written as seconds: exact, which a float's decimals are not.
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Writes a label and its value, with a comma if one stands there already.
pub(super) fn label(labels: &mut String, name: &str, value: &str) {
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
pub(super) struct Text {
    format: Format,
    out: String,
    /// The name of the samples of the family that grows.
    name: String,
}

impl Text {
    /// An empty one with room for that many bytes.
    pub(super) fn new(format: Format, bytes: usize) -> Self {
        Self { format, out: String::with_capacity(bytes), name: String::new() }
    }

    /// Begins a family. `name` is without the ending of its samples; `help` holds nothing that must
    /// be escaped.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
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
    pub(super) fn sample(
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
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}
