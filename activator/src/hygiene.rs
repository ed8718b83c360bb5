//! What must not pass through a proxy: ambiguous requests are refused, hop-by-hop headers end here,
//! and the headers that say where a request came from are ours to set.
//!
//! hyper has refused by now what does not parse: conflicting lengths, bad chunks, bare CR, spaces
//! before colons. The rest of RFC 9112's rules are kept here.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri, Version, request};

use crate::problem::Problem;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that concern one connection only. `Trailer` and `TE: trailers` stay: without them
/// trailers would be lost on the next one.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// What a request asks its connection to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// An answer.
    Answer,
    /// A WebSocket.
    WebSocket,
}

/// Refuses what must not be passed on, and makes the head say one thing only: on return its URI is
/// in origin form (or `*`) and its Host, if any, is the authority the client meant.
pub(crate) fn check(head: &mut request::Parts) -> Result<Intent, Problem> {
    if head.method == Method::CONNECT {
        return Err(Problem::MethodNotAllowed);
    }
    check_transfer_coding(&head.headers)?;
    let host = single_host(&head.headers, head.version)?;
    let meant = match head.uri.authority() {
        Some(_) if head.uri.scheme().is_none() => {
            return Err(Problem::BadRequest("the request target is neither a path nor a URI"));
        }
        Some(authority) => Some(check_authority(authority.clone())?),
        None => host,
    };
    if let Some(authority) = meant {
        let value = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Problem::BadRequest("the Host header is not a host"))?;
        head.headers.insert(HOST, value);
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Problem::BadRequest("the target * is for OPTIONS alone"));
    }
    if head.uri.scheme().is_some() {
        let root = || PathAndQuery::from_static("/");
        head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or_else(root));
    }
    Ok(intent(head))
}

/// The host a checked request names; empty if it names none, as HTTP/1.0 may.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Makes a checked request fit for its pod.
pub(crate) fn prepare_request(head: &mut request::Parts, client: IpAddr, intent: Intent) {
    let is_chunked = head.headers.contains_key(TRANSFER_ENCODING);
    let takes_trailers = names(&head.headers, &TE).any(|coding| coding == "trailers");
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(TE);
    if is_chunked {
        // Else hyper would send a GET without the body that it has.
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if takes_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // The server side answers it itself, once the pod reads the body.
    head.headers.remove(EXPECT);
    // A client's word on where it comes from is worth nothing.
    head.headers.remove(FORWARDED);
    let client = HeaderValue::from_str(&client.to_canonical().to_string());
    head.headers.insert(X_FORWARDED_FOR, client.expect("an address is a header value"));
    head.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match head.headers.get(HOST).cloned() {
        Some(host) => head.headers.insert(X_FORWARDED_HOST, host),
        None => head.headers.remove(X_FORWARDED_HOST),
    };
    if intent == Intent::WebSocket {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    head.version = Version::HTTP_11;
}

/// Makes a pod's answer fit for the client; a switch to WebSocket keeps the headers that say so.
pub(crate) fn prepare_response(headers: &mut HeaderMap, intent: Intent) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // It is not how long the body is (RFC 9112, 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    if intent == Intent::WebSocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        // A coding before `chunked` would be passed on without its name.
        _ => Err(Problem::TransferCoding),
    }
}

fn single_host(headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(None),
        (None, _) => Err(Problem::BadRequest("HTTP/1.1 needs a Host header")),
        (Some(_), Some(_)) => Err(Problem::BadRequest("two Host headers")),
        (Some(host), None) => {
            let authority = Authority::try_from(host.as_bytes())
                .map_err(|_| Problem::BadRequest("the Host header is not a host"))?;
            check_authority(authority).map(Some)
        }
    }
}

fn check_authority(authority: Authority) -> Result<Authority, Problem> {
    if authority.as_str().contains('@') {
        return Err(Problem::BadRequest("the host carries user information"));
    }
    if authority.host().is_empty() {
        return Err(Problem::BadRequest("the host is empty"));
    }
    Ok(authority)
}

fn intent(head: &request::Parts) -> Intent {
    let upgrades = names(&head.headers, &CONNECTION).any(|option| option == "upgrade");
    let mut protocols = names(&head.headers, &UPGRADE);
    let websocket = protocols.any(|protocol| protocol == "websocket");
    if upgrades && websocket && head.method == Method::GET && head.version == Version::HTTP_11 {
        Intent::WebSocket
    } else {
        Intent::Answer
    }
}

/// The comma-separated names in all fields called `field`, lower case.
fn names<'a>(headers: &'a HeaderMap, field: &HeaderName) -> impl Iterator<Item = String> + 'a {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // The common request names none: nothing is collected for it.
    if headers.contains_key(CONNECTION) {
        let named: Vec<String> = names(headers, &CONNECTION).collect();
        for name in named {
            // A client may not have the pod lose sight of whom the request is for.
            if name != HOST.as_str() {
                headers.remove(name.as_str());
            }
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let host = ("host", "a");
        let chunked = ("transfer-encoding", "chunked");
        for (method, uri, headers, status) in [
            ("CONNECT", "a:80", vec![host], Some(405)),
            ("GET", "/", vec![], Some(400)),
            ("GET", "/", vec![host, host], Some(400)),
            ("GET", "/", vec![("host", "a b")], Some(400)),
            ("GET", "/", vec![("host", "u:p@a")], Some(400)),
            ("GET", "/", vec![("host", "")], Some(400)),
            ("GET", "a:80", vec![host], Some(400)),
            ("GET", "*", vec![host], Some(400)),
            ("OPTIONS", "*", vec![host], None),
            ("GET", "http://u@a/", vec![host], Some(400)),
            ("POST", "/", vec![host, chunked], None),
            ("POST", "/", vec![host, ("transfer-encoding", "gzip, chunked")], Some(501)),
            ("POST", "/", vec![host, ("transfer-encoding", "identity, chunked")], Some(501)),
            ("POST", "/", vec![host, ("transfer-encoding", "chunked, chunked")], Some(501)),
            ("POST", "/", vec![host, chunked, chunked], Some(501)),
        ] {
            let refused = check(&mut head(method, uri, &headers)).err();
            let refused = refused.map(|problem| problem.status().as_u16());
            assert_eq!(refused, status, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn the_authority_of_an_absolute_target_wins_over_host() {
        let mut head = head("GET", "http://Real:8080/p?q", &[("host", "fake")]);
        assert_eq!(check(&mut head), Ok(Intent::Answer));
        assert_eq!((host(&head.headers), head.uri.to_string().as_str()), ("Real:8080", "/p?q"));
    }

    #[test]
    fn http_1_0_needs_no_host() {
        let mut head = head("GET", "/", &[]);
        head.version = Version::HTTP_10;
        assert_eq!(check(&mut head), Ok(Intent::Answer));
        assert_eq!(host(&head.headers), "");
    }

    #[test]
    fn hop_by_hop_headers_end_here_and_origin_headers_are_ours() {
        let mut head = head(
            "GET",
            "/",
            &[
                ("host", "a"),
                ("connection", "x-auth, host, X-Forwarded-For"),
                ("x-auth", "1"),
                ("keep-alive", "5"),
                ("proxy-connection", "k"),
                ("proxy-authorization", "p"),
                ("te", "gzip, trailers"),
                ("upgrade", "h2c"),
                ("http2-settings", "x"),
                ("expect", "100-continue"),
                ("forwarded", "for=1.1.1.1"),
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-proto", "https"),
                ("traceparent", "t"),
            ],
        );
        let intent = check(&mut head).unwrap();
        assert_eq!(intent, Intent::Answer, "h2c is no upgrade of ours");
        prepare_request(&mut head, "10.0.0.9".parse().unwrap(), intent);
        let mut left: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "connection: te",
                "host: a",
                "te: trailers",
                "traceparent: t",
                "x-forwarded-for: 10.0.0.9",
                "x-forwarded-host: a",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn websocket_is_the_one_upgrade_passed_on() {
        let upgrade =
            [("host", "a"), ("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        let mut request = head("GET", "/", &upgrade);
        let intent = check(&mut request).unwrap();
        assert_eq!(intent, Intent::WebSocket);
        prepare_request(&mut request, "10.0.0.9".parse().unwrap(), intent);
        assert_eq!(request.headers[UPGRADE], "websocket");
        assert_eq!(request.headers[CONNECTION], "upgrade");
        assert_eq!(check(&mut head("POST", "/", &upgrade)), Ok(Intent::Answer));
    }
}
