//! USER and PASS, AUTH, PBSZ and PROT (RFC 959, RFC 4217).

use std::io;
use std::sync::Arc;

use fwdrill_protocol::estate::Tls;
use rustls::ServerConfig;
use tracing::info;

use super::reply::Reply;
use super::session::{Next, Session};
use crate::ftp::path::VirtualPath;
use crate::ftp::site::Site;
use crate::ftp::tree::Tree;

/// Who speaks, and how privately.
#[derive(Default)]
pub(super) struct Login {
    /// The name that waits for its password.
    name: Option<String>,
    guest: Option<Arc<Tree>>,
    tls: bool,
    buffer_size: bool,
    private_data: bool,
}

impl Login {
    /// The tree of who has logged in.
    pub(super) fn guest(&self) -> Option<&Arc<Tree>> {
        self.guest.as_ref()
    }

    /// Whether the control connection is under TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls
    }

    /// Nobody has logged in.
    pub(super) fn forget(&mut self) {
        (self.name, self.guest) = (None, None);
    }

    /// What a data connection needs, as PROT says.
    pub(super) fn data_tls(&self, site: &Site) -> Option<Arc<ServerConfig>> {
        site.data_tls_config.clone().filter(|_| self.tls && self.private_data)
    }

    /// Refuses a data connection in clear where the estate wants none (RFC 4217 section 10).
    pub(super) fn check_protection(&self, tls: Tls) -> Result<(), Reply> {
        match tls {
            Tls::Required if !self.private_data => Err(Reply::new(521, "Data is to be private here: PROT P")),
            _ => Ok(()),
        }
    }

    pub(super) fn user(&mut self, name: &str, tls: Tls) -> Reply {
        self.forget();
        if tls == Tls::Required && !self.tls {
            return Reply::new(530, "TLS is required here: AUTH TLS");
        }
        self.name = Some(name.trim().to_owned());
        Reply::new(331, "The password, please")
    }

    pub(super) fn pbsz(&mut self) -> Reply {
        if !self.tls {
            return Reply::new(503, "AUTH TLS must come first");
        }
        self.buffer_size = true;
        Reply::new(200, "PBSZ=0")
    }

    pub(super) fn prot(&mut self, level: char, tls: Tls) -> Reply {
        match level {
            _ if !self.buffer_size => Reply::new(503, "PBSZ must come first"),
            'P' => {
                self.private_data = true;
                Reply::new(200, "Data is private")
            }
            'C' if tls == Tls::Required => Reply::new(534, "Data is to be private here"),
            'C' => {
                self.private_data = false;
                Reply::new(200, "Data is in clear")
            }
            'S' | 'E' => Reply::new(536, "Levels are C and P"),
            _ => Reply::new(504, "Levels are C and P"),
        }
    }
}

impl Session {
    pub(super) async fn pass(&mut self, password: &str) -> io::Result<()> {
        let reply = match self.login.name.take() {
            None => Reply::new(503, "USER must come first"),
            Some(name) => match self.site.admit(&name, password, &self.witness).await {
                None => Reply::new(530, "Wrong name or password"),
                Some((visitor, tree)) => {
                    // All else stays as it was set (RFC 959 section 4.1.1).
                    self.settings.directory = VirtualPath::root();
                    self.login.guest = Some(Arc::new(tree));
                    Reply::new(230, format!("Welcome, {visitor}"))
                }
            },
        };
        self.control.reply(&reply).await
    }

    /// AUTH and the handshake. All state is forgotten (RFC 4217 section 11), and so is what was sent behind AUTH in clear.
    pub(super) async fn auth(&mut self, mechanism: &str) -> io::Result<Next> {
        let config = match (&self.site.tls_config, mechanism) {
            (None, _) => Err(Reply::new(502, "There is no TLS here")),
            (Some(_), "TLS" | "TLS-C") if self.login.is_secure() => Err(Reply::new(503, "It is under TLS already")),
            (Some(config), "TLS" | "TLS-C") => Ok(config.clone()),
            (Some(_), _) => Err(Reply::new(504, "The mechanism is TLS")),
        };
        let config = match config {
            Ok(config) => config,
            Err(reply) => {
                self.control.reply(&reply).await?;
                return Ok(Next::GoOn);
            }
        };
        self.control.reply(&Reply::new(234, "Shake hands")).await?;
        if let Err(error) = self.control.secure(config, self.site.limits.handshake).await {
            info!(%error, "the TLS handshake failed");
            return Ok(Next::End);
        }
        self.login = Login {
            tls: true,
            ..Login::default()
        };
        self.reset();
        Ok(Next::GoOn)
    }
}
