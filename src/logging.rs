//! The log: to stderr, as text or JSON, by level or by a filter per part.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::{LogArgs, LogFormat, UsageError};

/// A log that is ready to start.
#[derive(Debug)]
pub(crate) struct Log {
    filter: EnvFilter,
    format: LogFormat,
}

impl Log {
    /// # Errors
    /// The level is no filter.
    pub(crate) fn new(args: &LogArgs) -> Result<Self, UsageError> {
        // A word alone would be taken for a part's name, and silence all others.
        let mut words =
            args.log.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
        let level = words.try_for_each(|word| word.parse::<LevelFilter>().map(drop));
        let filter = level
            .map_err(|error| error.to_string())
            .and_then(|()| EnvFilter::try_new(filter(&args.log)).map_err(|it| it.to_string()));
        let filter = filter.map_err(|error| {
            UsageError(vec![format!(
                "--log {:?} must be error, warn, info, debug or trace, or a filter per part as in \
                 warn,dormouse_autoscaler=debug: {error}",
                args.log
            )])
        })?;
        Ok(Self { filter, format: args.log_format })
    }

    /// Logs to `writer` for the rest of the process.
    pub(crate) fn start<W>(self, writer: W)
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        // A line that cannot be written is lost. Saying so on stderr, which most likely is what
        // cannot be written to, would end the process.
        let builder = tracing_subscriber::fmt()
            .with_env_filter(self.filter)
            .with_writer(writer)
            .log_internal_errors(false);
        match self.format {
            LogFormat::Text => builder.with_ansi(colours()).init(),
            LogFormat::Json => builder.json().flatten_event(true).init(),
        }
    }
}

/// What was typed. The client of the API server says of each call that fails that it does, and not
/// why, beside those who call: that is for who asks for it.
fn filter(typed: &str) -> String {
    const CLIENT: &str = "kube_client";
    match typed.contains(CLIENT) {
        true => typed.to_owned(),
        false => format!("{typed},{CLIENT}=off"),
    }
}

/// Colours only where a person looks on, and not against their wish (<https://no-color.org>).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_the_api_server_is_silent_unless_asked_for() {
        assert_eq!(filter("info"), "info,kube_client=off");
        assert_eq!(filter("warn,kube_client=debug"), "warn,kube_client=debug");
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        let log = |typed: &str| {
            Log::new(&LogArgs { log: typed.to_owned(), log_format: LogFormat::Text }).is_ok()
        };
        for typed in ["warn", "INFO", "off", "warn,dormouse_autoscaler=debug", "hyper=trace"] {
            assert!(log(typed), "{typed}");
        }
        for typed in ["wran", "loud", "warn,loud", "dormouse=loud"] {
            assert!(!log(typed), "{typed}");
        }
    }
}
