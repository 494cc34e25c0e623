//! The web console (10443): HTTPS for people and programs, on the port whose openness drills measure.
//!
//! | file | does |
//! |---|---|
//! | `connection` | one connection: a drill's first line goes to the sentinel, a TLS handshake to the console |
//! | `guard`, `sessions`, `password`, `sign_in` | headers that bind the browser; who may pass |
//! | `page`, `assets` | the frame of pages, style and script; nothing is fetched from anywhere |
//! | `reports` | clients, their versions, their reports, as they told on 2225 |
//! | `updates` | the set in force, and publishing the next |
//! | `tasks` | who checks in on 2222, and the buttons that have them do something |
//! | `api`, `metrics` | the same for programs, with the token of the state directory |
//! | `live`: `matrix`, `map`, `heat`, `transfers` | what happens now, sent as it happens |

mod api;
mod assets;
mod connection;
mod guard;
mod heat;
mod live;
mod map;
mod matrix;
mod metrics;
mod page;
mod password;
mod reports;
mod sessions;
mod sign_in;
mod tasks;
#[cfg(test)]
mod testing;
mod transfers;
mod updates;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use fwdrill_depot::FileError;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::limits::FtpLimits;
use http::StatusCode;
use maud::html;
use rustls::ServerConfig;
use thiserror::Error;

use crate::ftp::lockout::Lockout;
use crate::http::Limits;
use crate::journal::Journal;
use crate::secret_file;
use crate::shelf::Shelf;
use crate::store::Store;
use crate::tasks::TaskDesk;
use crate::tls::{self, TlsError};
use password::Password;
use sessions::Sessions;

pub(crate) use connection::live_connection;

/// The most that a form may be.
const FORM_BYTES: usize = 16 * 1024;

/// What every request to the console is answered from.
pub(crate) struct Console {
    password: Password,
    sessions: Sessions,
    lockout: Lockout,
    /// Wrong passwords count here as they do for FTP.
    limits: FtpLimits,
    /// What programs show instead of a session.
    token: String,
    tls: Arc<ServerConfig>,
    http: Limits,
    estate: Estate,
    state: PathBuf,
    journal: Journal,
    shelf: Shelf,
    store: Option<Store>,
    tasks: Option<TaskDesk>,
}

/// Why there is no console.
#[derive(Debug, Error)]
pub enum ConsoleError {
    /// A file in the state directory cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kept hash is none.
    #[error("failed to read a password's hash from {}: delete it for a new password", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
    },
    /// The password cannot be hashed.
    #[error("failed to hash the console's password: {0}")]
    Hashing(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Console {
    /// The console of this estate, and its password if it was made just now: it is kept nowhere, only its hash is, in
    /// `state`/console.
    pub(crate) fn open(
        estate: &Estate,
        state: &Path,
        http: Limits,
        journal: Journal,
        shelf: Shelf,
        store: Option<Store>,
        tasks: Option<TaskDesk>,
    ) -> Result<(Self, Option<String>), ConsoleError> {
        let directory = state.join("console");
        std::fs::create_dir_all(&directory).map_err(|source| FileError {
            operation: "create",
            path: directory.clone(),
            source,
        })?;
        let (password, made) = Password::load_or_make(&directory)?;
        let console = Console {
            password,
            sessions: Sessions::default(),
            lockout: Lockout::default(),
            limits: estate.ftp.limits,
            token: secret_file::load_or_make(&directory.join("token"), secret_file::random)?,
            tls: Arc::new(tls::server_config(estate, state)?),
            http,
            estate: estate.clone(),
            state: state.to_owned(),
            journal,
            shelf,
            store,
            tasks,
        };
        Ok((console, made))
    }

    /// Every page and what lies behind them.
    fn router(self: &Arc<Self>) -> Router {
        let programs = api::routes()
            .route("/metrics", get(metrics::metrics))
            .route_layer(from_fn_with_state(self.clone(), guard::for_programs));
        Router::new()
            .route("/", get(live::page))
            .route("/live", get(live::events))
            .route("/reports", get(reports::reports))
            .route("/reports/{seq}", get(reports::report))
            .route("/clients", get(reports::clients))
            .route("/tasks", get(tasks::page).post(tasks::give))
            .route("/updates", get(updates::page).post(updates::publish_form))
            .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
            .route("/sign-out", post(sign_in::sign_out))
            .route("/console.css", get(assets::style))
            .route("/console.js", get(assets::script))
            .route("/icon.svg", get(assets::icon))
            .merge(programs)
            .fallback(nothing)
            .layer(DefaultBodyLimit::max(FORM_BYTES))
            .layer(from_fn(guard::harden))
            .with_state(self.clone())
    }
}

async fn nothing() -> impl IntoResponse {
    let content = html! {
        h1 { "There is nothing here" }
        p { a href="/" { "To the console" } }
    };
    (StatusCode::NOT_FOUND, page::outside("Not found", &content))
}
