//! The update set in force, and publishing the next one.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use fwdrill_depot::{Depot, PublishOptions, keys, publish};
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use tracing::info;

use super::Console;
use super::page::{self, bytes, csrf, time};
use super::sessions::SignedIn;
use super::sign_in::not_own_form;

#[derive(Deserialize)]
pub(super) struct Publish {
    csrf: String,
    #[serde(default)]
    version: String,
}

pub(super) async fn page(State(console): State<Arc<Console>>, session: SignedIn) -> Markup {
    render(&console, &session, None).await
}

pub(super) async fn publish_form(
    State(console): State<Arc<Console>>,
    session: SignedIn,
    Form(form): Form<Publish>,
) -> Response {
    if !session.is_own_form(&form.csrf) {
        return not_own_form();
    }
    let version = Some(form.version.trim().to_owned()).filter(|version| !version.is_empty());
    match publish_next(&console, version).await {
        Ok(_) => Redirect::to("/updates").into_response(),
        Err(trouble) => {
            let page = render(&console, &session, Some(&trouble)).await;
            (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
        }
    }
}

/// Makes, signs and puts into force the next set, as `fwdrill publish` does; returns its serial, or says why there is none.
pub(super) async fn publish_next(console: &Console, version: Option<String>) -> Result<u64, String> {
    let (depot, state) = (console.shelf.directory().to_owned(), console.state.clone());
    let made = tokio::task::spawn_blocking(move || -> Result<u64, String> {
        let key = keys::load_or_create(&state).map_err(|error| crate::chain(&error))?;
        let depot = Depot::create(&depot, key.public()).map_err(|error| crate::chain(&error))?;
        let options = PublishOptions {
            version,
            ..PublishOptions::at(Timestamp::now())
        };
        let set = publish(&depot, &key, &options).map_err(|error| crate::chain(&error))?;
        Ok(set.serial())
    });
    let serial = made.await.map_err(|error| crate::chain(&error))??;
    info!(serial, "published from the console");
    Ok(serial)
}

async fn render(console: &Console, session: &SignedIn, trouble: Option<&str>) -> Markup {
    let set = console.shelf.current().await;
    let content = html! {
        h1 { "Updates" }
        h2 { "In force" }
        @match &set {
            None => p { "There is no update set yet." },
            Some(set) => {
                @let manifest = set.manifest();
                dl.facts {
                    div { dt { "Version" } dd { (manifest.version()) } }
                    div { dt { "Serial" } dd #serial { (manifest.serial()) } }
                    div { dt { "Published" } dd { (time(manifest.published())) } }
                    div { dt { "Good until" } dd { (time(manifest.expires())) } }
                    div { dt { "Files" } dd { (manifest.files().len()) ", " (bytes(manifest.total_size())) } }
                }
            }
        }
        h2 { "Publish the next set" }
        @if let Some(trouble) = trouble { p.trouble role="alert" { "Nothing was published: " (trouble) } }
        form method="post" action="/updates" {
            (csrf(session))
            label for="version" { "Version" }
            input #version name="version" maxlength="64" placeholder="22.0.DATE.SERIAL" aria-describedby="version-help" autocomplete="off";
            p #version-help .faint { "For people; without one it is made from the date. Clients go by the serial, which is the next one." }
            button type="submit" { "Publish" }
        }
    };
    page::inside("Updates", "/updates", session, &content)
}
