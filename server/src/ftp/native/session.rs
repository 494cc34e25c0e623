//! One session: greeting, one command after the other, end.

use std::io;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::codec::Line;
use super::command::{Command, Type};
use super::control::{Control, log_line};
use super::listing::Wanted;
use super::login::Login;
use super::passive::Prepared;
use super::reply::Reply;
use crate::evidence::EvidenceDesk;
use crate::ftp::ControlConnection;
use crate::ftp::path::VirtualPath;
use crate::ftp::site::Site;
use crate::ftp::witness::Witness;

const GREETING: &str = "fwdrill update server";

pub(super) struct Session {
    pub(super) site: Arc<Site>,
    pub(super) evidence: Option<EvidenceDesk>,
    pub(super) witness: Arc<Witness>,
    pub(super) control: Control,
    /// Where the next transfer's data connection comes from.
    pub(super) prepared: Prepared,
    pub(super) login: Login,
    pub(super) settings: Settings,
    pub(super) stopping: CancellationToken,
    /// When the session ends if nobody has logged in.
    login_until: Instant,
}

/// What commands set for those that follow.
pub(super) struct Settings {
    pub(super) directory: VirtualPath,
    pub(super) form: Type,
    /// REST, for exactly the next transfer.
    pub(super) restart: u64,
    /// `EPSV ALL` was said: no PASV, PORT or EPRT any more.
    pub(super) extended_only: bool,
    /// RNFR, for the very next command.
    pub(super) rename_from: Option<VirtualPath>,
    /// The facts of MLST and MLSD.
    pub(super) facts: Wanted,
}

/// RFC 959 section 5.1, RFC 3659 section 7.9.
impl Default for Settings {
    fn default() -> Self {
        Settings {
            directory: VirtualPath::root(),
            form: Type::Ascii,
            restart: 0,
            extended_only: false,
            rename_from: None,
            facts: [true; 4],
        }
    }
}

/// Whether there is a next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    End,
}

/// What ends the wait for a command.
enum Heard {
    Line(Line),
    Nothing,
    Idle,
    Stopping,
}

impl Session {
    pub(super) fn new(site: Arc<Site>, evidence: Option<EvidenceDesk>, connection: ControlConnection) -> Self {
        let limits = &site.limits;
        Session {
            control: Control::new(connection.stream, limits),
            prepared: Prepared::None,
            login: Login::default(),
            settings: Settings::default(),
            login_until: Instant::now() + limits.login,
            site,
            evidence,
            witness: connection.witness,
            stopping: connection.stopping,
        }
    }

    /// Lives the session to its end.
    pub(super) async fn live(mut self) {
        if let Err(error) = self.converse().await {
            debug!(%error, "the control connection broke");
        }
        // The data connection and its port are nobody's any more while the last reply is on its way.
        self.prepared = Prepared::None;
        self.control.close().await;
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.control.reply(&Reply::new(220, GREETING)).await?;
        loop {
            let line = match self.hear().await? {
                Heard::Line(line) => line,
                Heard::Nothing => return Ok(()),
                Heard::Idle => {
                    return self
                        .control
                        .reply(&Reply::new(421, "Nothing was said for too long"))
                        .await;
                }
                Heard::Stopping => return self.control.reply(&Reply::new(421, "The server stops")).await,
            };
            log_line(&line);
            if self.answer(line).await? == Next::End {
                return Ok(());
            }
        }
    }

    async fn hear(&mut self) -> io::Result<Heard> {
        let mut until = Instant::now() + self.site.limits.idle;
        if self.login.guest().is_none() {
            until = until.min(self.login_until);
        }
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(Heard::Stopping),
                line = self.control.line() => return Ok(line?.map_or(Heard::Nothing, Heard::Line)),
                // A client that connects early frees its port for others; one that never does must give it up.
                () = self.prepared.settle(&self.witness) => {}
                () = sleep_until(until) => return Ok(Heard::Idle),
            }
        }
    }

    async fn answer(&mut self, line: Line) -> io::Result<Next> {
        let line = match line {
            Line::Text(line) => line,
            Line::TooLong => {
                let text = format!("A command line has {} bytes at most", self.site.limits.line_bytes);
                self.control.reply(&Reply::new(500, text)).await?;
                return Ok(Next::GoOn);
            }
        };
        match line.parse::<Command>() {
            Ok(command) if command.is_for_anybody() || self.login.guest().is_some() => {
                // Boxed, so that what a command needs is no part of a session that waits.
                Box::pin(self.obey(command)).await
            }
            // Said before what is wrong with the command, which is nobody's business who has not logged in.
            Err(reply) if !matches!(reply.code(), 500 | 502) && self.login.guest().is_none() => {
                self.must_log_in().await
            }
            Ok(_) => self.must_log_in().await,
            Err(reply) => {
                self.control.reply(&reply).await?;
                Ok(Next::GoOn)
            }
        }
    }

    async fn must_log_in(&mut self) -> io::Result<Next> {
        self.control
            .reply(&Reply::new(530, "Log in with USER and PASS first"))
            .await?;
        Ok(Next::GoOn)
    }

    async fn obey(&mut self, command: Command) -> io::Result<Next> {
        let rename_from = self.settings.rename_from.take();
        match command {
            Command::Quit => {
                self.control.reply(&Reply::new(221, "Goodbye")).await?;
                return Ok(Next::End);
            }
            Command::Auth(mechanism) => return self.auth(&mechanism).await,
            Command::Pass(password) => self.pass(&password).await?,
            Command::Rein => {
                self.login.forget();
                self.reset();
                self.control.reply(&Reply::new(220, GREETING)).await?;
            }
            Command::Pasv => self.pasv().await?,
            Command::Epsv(which) => self.epsv(which).await?,
            Command::Active(to) => self.active(to).await?,
            Command::List(path) => self.list(&path).await?,
            Command::Nlst(path) => self.nlst(&path).await?,
            Command::Mlsd(path) => self.mlsd(&path).await?,
            Command::Retr(path) => self.retr(&path).await?,
            Command::Stor(path) => self.stor(&path, crate::dropbox::Placement::Replace).await?,
            Command::Appe(path) => self.stor(&path, crate::dropbox::Placement::Append).await?,
            Command::Mkd(path) => self.mkd(&path).await?,
            Command::Dele(path) => self.dele(&path).await?,
            Command::Rmd(path) => self.rmd(&path).await?,
            Command::Rnfr(path) => self.rnfr(&path).await?,
            Command::Rnto(path) => self.rnto(&path, rename_from).await?,
            Command::Stat(Some(path)) => self.stat(&path).await?,
            Command::SiteSightings => self.sightings().await?,
            quick => {
                let reply = self.answer_at_once(quick);
                self.control.reply(&reply).await?;
            }
        }
        Ok(Next::GoOn)
    }

    /// Everything but TLS as at the beginning.
    pub(super) fn reset(&mut self) {
        self.prepared = Prepared::None;
        self.settings = Settings::default();
        self.login_until = Instant::now() + self.site.limits.login;
    }

    /// The commands that wait for nothing.
    fn answer_at_once(&mut self, command: Command) -> Reply {
        match command {
            Command::User(name) => self.login.user(&name, self.site.tls),
            Command::Pbsz => self.login.pbsz(),
            Command::Prot(level) => self.login.prot(level, self.site.tls),
            Command::Ccc => Reply::new(534, "The control connection stays as it is"),
            Command::Cwd(path) => self.cwd(&path),
            Command::Cdup => self.cwd(".."),
            Command::Pwd => self.pwd(),
            Command::Size(path) => self.size(&path),
            Command::Mdtm(path) => self.mdtm(&path),
            Command::Mlst(path) => self.mlst(&path),
            Command::Stat(_) => self.status(),
            Command::OptsMlst(facts) => self.opts_mlst(&facts),
            Command::Type(form) => {
                self.settings.form = form;
                Reply::new(200, format!("The type is {form:?}"))
            }
            Command::Rest(start) => {
                self.settings.restart = start;
                Reply::new(350, format!("The next transfer starts at {start}"))
            }
            Command::SiteDrill(drill) => {
                self.witness.belongs_to(drill);
                Reply::new(200, "This session belongs to the drill")
            }
            Command::Abor => {
                self.prepared = Prepared::None;
                Reply::new(226, "Nothing is under way")
            }
            other => super::fixed::reply(&other, self.site.tls, self.site.active),
        }
    }
}
