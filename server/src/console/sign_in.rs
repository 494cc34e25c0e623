//! Signing in and out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use tracing::{info, warn};

use super::Console;
use super::guard::{COOKIE_NAME, session};
use super::page::outside;
use super::sessions::SignedIn;
use crate::http::Ends;

#[derive(Deserialize)]
pub(super) struct SignIn {
    password: String,
}

#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) csrf: String,
}

/// The form; who is signed in already goes on.
pub(super) async fn form(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    match session(&headers, &console) {
        Some(_) => Redirect::to("/").into_response(),
        None => outside("Sign in", &fields(None)).into_response(),
    }
}

/// Takes the password. Wrong ones count against the address that they come from, as those of FTP do (`ftp.limits`).
pub(super) async fn sign_in(
    State(console): State<Arc<Console>>,
    Extension(ends): Extension<Ends>,
    Form(given): Form<SignIn>,
) -> Response {
    let peer = ends.peer.ip();
    if console.lockout.is_locked_out(peer, &console.limits) {
        return refused(&console, peer);
    }
    match console.password.is(given.password).await {
        Some(true) => {
            info!(%peer, "signed in to the console");
            let cookie = format!(
                "{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
                console.sessions.open()
            );
            with_cookie(Redirect::to("/").into_response(), &cookie)
        }
        Some(false) => {
            warn!(%peer, "a wrong password for the console");
            console.lockout.failed(peer, &console.limits);
            tokio::time::sleep(console.limits.failure_delay).await;
            let page = outside("Sign in", &fields(Some("That is not the password.")));
            (StatusCode::UNAUTHORIZED, page).into_response()
        }
        None => {
            let page = outside(
                "Sign in",
                &fields(Some("Too many are signing in at once. Try again in a moment.")),
            );
            (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
        }
    }
}

fn refused(console: &Console, peer: IpAddr) -> Response {
    warn!(%peer, "too many wrong passwords for the console");
    let seconds = console.limits.lockout.as_secs();
    let told = format!("Too many wrong passwords from your address. Try again in {seconds} seconds.");
    let mut response = (StatusCode::TOO_MANY_REQUESTS, outside("Sign in", &fields(Some(&told)))).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(super) async fn sign_out(
    State(console): State<Arc<Console>>,
    session: SignedIn,
    Form(form): Form<Token>,
) -> Response {
    if !session.is_own_form(&form.csrf) {
        return not_own_form();
    }
    console.sessions.close(&session);
    let gone = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    with_cookie(Redirect::to("/sign-in").into_response(), &gone)
}

/// The answer to a form without the session's token.
pub(super) fn not_own_form() -> Response {
    (
        StatusCode::FORBIDDEN,
        "this form is not of this session; load the page again\n",
    )
        .into_response()
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn fields(trouble: Option<&str>) -> Markup {
    html! {
        form.sign-in method="post" action="/sign-in" {
            h1 { "fwdrill console" }
            @if let Some(trouble) = trouble {
                p.trouble role="alert" { (trouble) }
            }
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password" required autofocus;
            button type="submit" { "Sign in" }
            p.faint { "It was shown once, when the server was started for the first time." }
        }
    }
}
