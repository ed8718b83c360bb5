//! What a client is told when its function does not answer: one closed enum, each case with its
//! status, its problem type (RFC 9457) and, where another try makes sense, Retry-After.

use bytes::Bytes;
use dormouse_metrics::counts::Refusal;
use dormouse_policy::admission::Measure;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;

use crate::body::Answer;

/// The stem of every problem type; the rest is stable and listed by a test.
const TYPE_STEM: &str = "https://dormouse.dev/problems/";

/// Why a request is answered by the activator itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The request breaks a rule of HTTP that must not be passed on.
    BadRequest(&'static str),
    /// CONNECT.
    MethodNotAllowed,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// No function has this host.
    UnknownHost,
    /// No autoscaler has said yet which functions there are.
    NoTable,
    /// The function was deleted, or ceased to be served, while the request waited.
    FunctionGone,
    /// The function's queue is full.
    QueueFull {
        /// In what.
        measure: Measure,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The queues of all functions together are full.
    ActivatorFull {
        /// In what.
        measure: Measure,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// No pod could take the request in time.
    QueueTimeout,
    /// The function cannot start.
    CannotStart {
        /// Why, in Kubernetes' words.
        code: String,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The whole time of the request ran out before an answer began.
    RequestTimeout,
    /// The request may have been delivered, and no answer came.
    UpstreamAmbiguous,
}

impl Problem {
    /// The status code.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::NoTable
            | Self::FunctionGone
            | Self::QueueFull { .. }
            | Self::ActivatorFull { .. }
            | Self::CannotStart { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::QueueTimeout | Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamAmbiguous => StatusCode::BAD_GATEWAY,
        }
    }

    /// The last part of the problem type.
    pub(crate) fn slug(&self) -> &str {
        match self {
            Self::BadRequest(_) => "bad-request",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::TransferCoding => "transfer-coding",
            Self::UnknownHost => "unknown-host",
            Self::NoTable => "no-table",
            Self::FunctionGone => "function-gone",
            Self::QueueFull { measure: Measure::Requests, .. } => "queue-full",
            Self::QueueFull { measure: Measure::Bytes, .. } => "queue-bytes-full",
            Self::ActivatorFull { measure: Measure::Requests, .. } => "activator-full",
            Self::ActivatorFull { measure: Measure::Bytes, .. } => "activator-bytes-full",
            Self::QueueTimeout => "queue-timeout",
            Self::CannotStart { code, .. } => code,
            Self::RequestTimeout => "request-timeout",
            Self::UpstreamAmbiguous => "upstream-ambiguous",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::BadRequest(rule) => rule,
            Self::MethodNotAllowed => "CONNECT is not served here",
            Self::TransferCoding => "the only transfer coding served is chunked",
            Self::UnknownHost => "no function has this host",
            Self::NoTable => "no autoscaler says which functions there are",
            Self::FunctionGone => "the function is gone or served no longer since the request came",
            Self::QueueFull { measure: Measure::Requests, .. } => "the function's queue is full",
            Self::QueueFull { measure: Measure::Bytes, .. } => {
                "the function's held requests keep all the memory they may"
            }
            Self::ActivatorFull { measure: Measure::Requests, .. } => {
                "the queues of all functions together are full"
            }
            Self::ActivatorFull { measure: Measure::Bytes, .. } => {
                "the held requests of all functions together keep all the memory they may"
            }
            Self::QueueTimeout => "no pod could take the request within the queue timeout",
            Self::CannotStart { .. } => "the function cannot start",
            Self::RequestTimeout => "no answer within the request timeout",
            Self::UpstreamAmbiguous => {
                "the connection broke after the request may have been delivered; it was not re-sent"
            }
        }
    }

    /// The cause it is counted under, for a request whose function is known.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::BadRequest(_) | Self::MethodNotAllowed | Self::TransferCoding => {
                Refusal::BadRequest
            }
            Self::QueueFull { .. } | Self::ActivatorFull { .. } => Refusal::QueueFull,
            Self::QueueTimeout => Refusal::QueueTimeout,
            Self::CannotStart { .. } | Self::FunctionGone | Self::UnknownHost | Self::NoTable => {
                Refusal::CannotStart
            }
            Self::RequestTimeout => Refusal::RequestTimeout,
            Self::UpstreamAmbiguous => Refusal::Ambiguous,
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::QueueFull { retry_after_s, .. }
            | Self::ActivatorFull { retry_after_s, .. }
            | Self::CannotStart { retry_after_s, .. } => Some(*retry_after_s),
            // Another activator, or this one's next table, may know better at once.
            Self::FunctionGone | Self::NoTable => Some(1),
            _ => None,
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Answer> {
        let status = self.status();
        let body = json!({
            "type": format!("{TYPE_STEM}{}", self.slug()),
            "title": self.title(),
            "status": status.as_u16(),
        });
        let mut response = Response::new(Answer::text(Bytes::from(format!("{body}\n"))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            // What follows on such a connection cannot be trusted to begin where it seems to.
            Self::BadRequest(_) | Self::TransferCoding => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::MethodNotAllowed => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
                headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
            }
            _ => {}
        }
        response
    }
}

/// Every method but CONNECT is the function's affair; these are the registered ones.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

#[cfg(test)]
mod tests {
    use super::*;

    /// The list that clients and dashboards may rely on.
    #[test]
    fn every_problem_has_its_status_type_and_retry_after() {
        let crash_loop = || Problem::CannotStart { code: "crash-loop".into(), retry_after_s: 7 };
        let queue = |measure| Problem::QueueFull { measure, retry_after_s: 3 };
        let activator = |measure| Problem::ActivatorFull { measure, retry_after_s: 2 };
        for (problem, status, slug, retry_after) in [
            (Problem::BadRequest("two Host headers"), 400, "bad-request", None),
            (Problem::MethodNotAllowed, 405, "method-not-allowed", None),
            (Problem::TransferCoding, 501, "transfer-coding", None),
            (Problem::UnknownHost, 404, "unknown-host", None),
            (Problem::NoTable, 503, "no-table", Some("1")),
            (Problem::FunctionGone, 503, "function-gone", Some("1")),
            (queue(Measure::Requests), 503, "queue-full", Some("3")),
            (queue(Measure::Bytes), 503, "queue-bytes-full", Some("3")),
            (activator(Measure::Requests), 503, "activator-full", Some("2")),
            (activator(Measure::Bytes), 503, "activator-bytes-full", Some("2")),
            (Problem::QueueTimeout, 504, "queue-timeout", None),
            (crash_loop(), 503, "crash-loop", Some("7")),
            (Problem::RequestTimeout, 504, "request-timeout", None),
            (Problem::UpstreamAmbiguous, 502, "upstream-ambiguous", None),
        ] {
            let response = problem.response();
            assert_eq!(response.status().as_u16(), status, "{problem:?}");
            assert_eq!(problem.slug(), slug);
            let header = response.headers().get(RETRY_AFTER);
            assert_eq!(header.map(|value| value.to_str().unwrap()), retry_after, "{problem:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }
}
