//! What stands before every page: headers that bind the browser, and who may pass.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use super::Console;
use super::sessions::SignedIn;

/// The name of the session's cookie. `__Host-`: the browser takes it from this very host and under TLS only (RFC 6265bis).
pub(super) const COOKIE_NAME: &str = "__Host-fwdrill";

/// Nothing from elsewhere, no script but the one file, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Puts the security headers on every response, and turns away forms of other sites.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = match is_from_elsewhere(&request) {
        true => (StatusCode::FORBIDDEN, "a form of another site\n").into_response(),
        false => next.run(request).await,
    };
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown is for who is signed in now.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request that changes something was sent by a page of another site, as the browser says (Fetch Metadata, or
/// Origin in browsers without it). Programs send neither.
fn is_from_elsewhere(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let elsewhere = |site: &str| !matches!(site, "same-origin" | "none");
    if let Some(site) = header(&HeaderName::from_static("sec-fetch-site")) {
        return elsewhere(site);
    }
    match (header(&ORIGIN), header(&HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") != Some(host),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Pages: whoever is not signed in is led to the sign-in.
impl FromRequestParts<Arc<Console>> for SignedIn {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Redirect> {
        session(&parts.headers, console).ok_or(Redirect::to("/sign-in"))
    }
}

/// The session that a request's cookie shows.
pub(super) fn session(headers: &HeaderMap, console: &Console) -> Option<SignedIn> {
    let cookies = headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    let token = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
    console.sessions.of(token)
}

/// For programs: the API's token, or a session.
pub(super) async fn for_programs(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    // A browser's session may look; what changes anything from a page is a form with the session's own token.
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let signed_in = looks && session(request.headers(), &console).is_some();
    if signed_in || bears_token(request.headers(), &console.token) {
        return next.run(request).await;
    }
    let mut response = (StatusCode::UNAUTHORIZED, "the token of the state directory is needed\n").into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"fwdrill\"");
    response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
    response
}

/// `Authorization: Bearer TOKEN` (RFC 6750).
fn bears_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    given
        .and_then(|given| given.strip_prefix("Bearer "))
        .is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}
