//! The second engine: libunftp 0.24, the control group. A server that nobody here wrote, on the same site.
//!
//! One libunftp server per connection, over our accept loop, passive pool, tree and users. What embedding cannot cure is
//! listed in docs/ARCHITECTURE.md; that is why it is not the default.

mod control;
mod guest;
mod log;
mod passive;
mod session;
mod site_drill;
mod storage;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use ::libunftp::options::{PassiveHost, SiteMd5};
use ::libunftp::{Server, ServerBuilder};
use async_trait::async_trait;
use fwdrill_protocol::estate::Tls;
use tracing::warn;

use super::site::Site;
use super::{ControlConnection, Engine};
use guest::{Doorkeeper, Guest};
use passive::PoolBinder;
use session::Session;
use site_drill::SiteDrill;
use storage::Storage;

const GREETING: &str = "fwdrill update server (libunftp)";

/// Lives control connections by libunftp.
#[derive(Debug)]
pub struct Libunftp {
    site: Arc<Site>,
}

impl Libunftp {
    /// An engine for this site.
    pub fn new(site: Arc<Site>) -> Self {
        Libunftp { site }
    }
}

#[async_trait]
impl Engine for Libunftp {
    async fn live(&self, connection: ControlConnection) {
        let ControlConnection {
            stream,
            stopping,
            witness,
            ..
        } = connection;
        let prepared = Session::new(self.site.clone(), witness, &stream).map(Arc::new);
        let session = match prepared {
            Ok(session) => session,
            Err(error) => return warn!(%error, "cannot begin a session"),
        };
        // libunftp spawns tasks of its own, which dropping this future does not reach.
        let _cut = CutOnDrop(&session);
        let server = match server(&session) {
            Ok(server) => server,
            Err(error) => return warn!(%error, "cannot begin a session"),
        };
        let serving = server.service(stream);
        tokio::pin!(serving);
        let stop = async {
            stopping.cancelled().await;
            session.transfers_done().await;
        };
        tokio::select! {
            _ = &mut serving => {}
            () = stop => {
                // The only way to end it. What service() returns says nothing.
                session.control.hang_up();
                let _ = serving.await;
            }
        }
        session.transfers_done().await;
    }
}

struct CutOnDrop<'a>(&'a Session);

impl Drop for CutOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cut();
    }
}

fn server(session: &Arc<Session>) -> Result<Server<Storage, Guest>, ::libunftp::ServerError> {
    let site = &session.site;
    let doorkeeper = Arc::new(Doorkeeper::new(session.clone()));
    let for_storage = session.clone();
    let storage = Box::new(move || Storage::new(for_storage.clone()));
    let mut builder = ServerBuilder::<Storage, Guest>::with_user_detail_provider(storage, doorkeeper.clone())
        .authenticator(doorkeeper)
        .greeting(GREETING)
        .logger(log::logger(session.span.clone()))
        .idle_session_timeout(site.limits.idle.as_secs())
        .sitemd5(SiteMd5::None)
        .site_command("DRILL", SiteDrill)
        .binder(PoolBinder::new(session.clone()));
    let witness = &session.witness;
    // Without an address PASV ends the session, a fault of libunftp; EPSV works.
    if let Ok(address) = site.advertised.address_for(witness.peer().ip(), witness.local().ip()) {
        builder = builder.passive_host(PassiveHost::Ip(address));
    }
    if let Some(config) = &site.tls_config {
        builder = builder.ftps_manual::<PathBuf>(config.clone());
    }
    let required = site.tls == Tls::Required;
    builder.ftps_required(required, required).build()
}
