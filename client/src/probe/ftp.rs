//! The FTP dialogue: greeting, login, then EPSV and PASV in one session, each completed by a real transfer.

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Manifest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Site;
use super::connect::{connect, connect_as_far_as};
use super::content::{Content, SMALL_SEGMENT, file_to_try};
use super::socket::Reach;
use crate::connection::ConnectionError;
use crate::ftp::{Control, Data, FtpError, Passive, Retrieval};
use crate::observation::content::SetSeen;
use crate::observation::{ExpectedContent, FtpTalk, PassiveCommand, PassiveTalk, Transfer, Trouble};

/// Has the whole dialogue over a control connection that stands.
pub(super) async fn talk(site: &Site<'_>, stream: TcpStream) -> FtpTalk {
    let mut talk = FtpTalk::default();
    let mut control = match Control::over(stream, &site.limits).await {
        Ok(control) => control,
        Err(error) => {
            // A 421 is a greeting too.
            talk.greeting = error.reply().cloned();
            talk.trouble = Some(trouble(&error));
            return talk;
        }
    };
    talk.greeting = control.transcript().first().map(|exchange| exchange.reply.clone());
    match converse(site, &mut control, &mut talk).await {
        Ok(()) => {
            talk.transcript = transcript(&control);
            // How a server takes leave decides nothing.
            let _ = control.quit().await;
        }
        Err(error) => {
            talk.trouble = Some(trouble(&error));
            talk.transcript = transcript(&control);
        }
    }
    talk
}

async fn converse(site: &Site<'_>, control: &mut Control, talk: &mut FtpTalk) -> Result<(), FtpError> {
    talk.logged_in_as = Some(login(site, control).await?);
    control.binary().await?;
    let mut manifest = None;
    for command in [PassiveCommand::Epsv, PassiveCommand::Pasv] {
        // A 227 has no room for an IPv6 address (RFC 2428 section 1).
        if command == PassiveCommand::Pasv && control.peer().is_ipv6() {
            continue;
        }
        let mut passive = PassiveTalk {
            command,
            reply: None,
            told: None,
            data: None,
            at_control_address: None,
            segment: segment_after(talk.passive.last()),
            transfer: None,
            trouble: None,
        };
        let result = attempt(site, control, &mut passive, &mut manifest).await;
        // A lost control connection ends the dialogue; anything else only this mode.
        let lost = result
            .as_ref()
            .err()
            .is_some_and(|error| matches!(error, FtpError::Control { .. } | FtpError::NotFtp { .. }));
        passive.trouble = passive.trouble.take().or(result.as_ref().err().map(trouble));
        if let (None, Some(manifest), Some(transfer)) = (&talk.set, &manifest, &passive.transfer) {
            talk.set = Some(SetSeen::of(manifest, transfer.sha256));
        }
        talk.passive.push(passive);
        if lost {
            return result;
        }
    }
    Ok(())
}

/// As the user asked; else as the drill, and anonymously where the server does not know drills.
pub(super) async fn login(site: &Site<'_>, control: &mut Control) -> Result<String, FtpError> {
    if let Some((user, password)) = &site.plan.login {
        return control.login(user, password).await.map(|_| user.clone());
    }
    match control.login(DRILL_USER, &site.plan.drill.to_string()).await {
        Ok(_) => Ok(DRILL_USER.to_owned()),
        Err(FtpError::Unexpected { .. }) => control
            .login("anonymous", "fwdrill@example.net")
            .await
            .map(|_| "anonymous".to_owned()),
        Err(error) => Err(error),
    }
}

/// One passive mode: the command, the data connection, a transfer over it.
async fn attempt(
    site: &Site<'_>,
    control: &mut Control,
    passive: &mut PassiveTalk,
    manifest: &mut Option<Manifest>,
) -> Result<(), FtpError> {
    let asked = match passive.command {
        PassiveCommand::Epsv => control
            .epsv()
            .await
            .map(|(reply, port)| (reply, SocketAddr::new(control.peer().ip(), port))),
        PassiveCommand::Pasv => control
            .pasv()
            .await
            .map(|(reply, address)| (reply, SocketAddr::V4(address))),
    };
    let told = match asked {
        Ok((reply, told)) => {
            passive.reply = Some(reply);
            told
        }
        Err(error) => {
            passive.reply = error.reply().cloned();
            return Err(error);
        }
    };
    passive.told = Some(told);
    let reach = Reach {
        segment: passive.segment,
        ..Reach::default()
    };
    let (data, stream) = connect_as_far_as(told, site.limits.data_connect, reach).await;
    passive.data = Some(data);
    let Some(stream) = stream else {
        if told.ip() != control.peer().ip() {
            let there = SocketAddr::new(control.peer().ip(), told.port());
            passive.at_control_address = Some(connect(there, site.limits.data_connect).await.0);
        }
        return Ok(());
    };
    let mode = match passive.command {
        PassiveCommand::Epsv => Passive::Epsv,
        PassiveCommand::Pasv => Passive::Pasv,
    };
    let (transfer, stopped) = transfer(site, control, mode, stream, told, manifest).await;
    passive.transfer = transfer;
    stopped
}

/// The manifest first, then one of the files it names; from a server that is not ours, a listing.
async fn transfer(
    site: &Site<'_>,
    control: &mut Control,
    mode: Passive,
    stream: TcpStream,
    told: SocketAddr,
    manifest: &mut Option<Manifest>,
) -> (Option<Transfer>, Result<(), FtpError>) {
    let data = Data::over(stream, told, &site.limits);
    let (path, expected) = match manifest.as_ref().and_then(file_to_try) {
        Some((path, expected)) => (format!("/{path}"), Some(expected)),
        None => (format!("/{MANIFEST_FILE}"), None),
    };
    let mut patience = Patience::of(control);
    let begun = match control.retrieve(&path, 0, data).await {
        Ok(retrieval) => return receive(retrieval, path, expected, &mut patience, manifest).await,
        Err(error) => error,
    };
    if begun.reply().is_none_or(|reply| reply.code != 550) {
        return (None, Err(begun));
    }
    // Whether a server keeps the passive port after a 550 is its own affair: ask again, in the same mode.
    let data = match control.passive(mode).await {
        Ok((data, _)) => data,
        Err(error) => return (None, Err(error)),
    };
    match control.list(data).await {
        Ok(listing) => receive(listing, "the listing of /".to_owned(), None, &mut patience, manifest).await,
        Err(error) => (None, Err(error)),
    }
}

async fn receive(
    mut retrieval: Retrieval<'_>,
    path: String,
    expected: Option<ExpectedContent>,
    patience: &mut Patience,
    manifest: &mut Option<Manifest>,
) -> (Option<Transfer>, Result<(), FtpError>) {
    let mut content = Content::default();
    let mut stalled: Option<FtpError> = None;
    let ended = loop {
        let next = match stalled.take() {
            None => retrieval.chunk().await,
            Some(stall) => timeout_at(patience.until, retrieval.chunk())
                .await
                .unwrap_or(Err(stall)),
        };
        match next {
            Ok(Some(bytes)) => content.take(&bytes),
            Ok(None) => break Ok(()),
            Err(error) if patience.has_more(&error) => stalled = Some(error),
            Err(error) => break Err(error),
        }
    };
    let bytes = retrieval.received();
    let ended = match ended {
        Ok(()) => retrieval.finish().await.map(drop),
        // Or its late end would be taken for the reply to the next command.
        Err(error) => match retrieval.abandon().await {
            Err(lost @ FtpError::Control { .. }) => Err(lost),
            _ => Err(error),
        },
    };
    if ended.is_ok() && manifest.is_none() {
        *manifest = content.manifest();
    }
    (
        Some(Transfer {
            path,
            bytes,
            sha256: content.sha256(),
            expected,
            complete: ended.is_ok(),
            paused: patience.used && ended.is_ok(),
        }),
        ended,
    )
}

/// A server behind a link for small packets only may find that out by itself (tcp_mtu_probing), after three to six and a half
/// seconds of silence. In the first transfer of a session it gets that time, in the next ones one that is shorter than usual.
struct Patience {
    until: Instant,
    used: bool,
}

/// From the beginning of a transfer on.
const PATIENCE: Duration = Duration::from_millis(6800);

impl Patience {
    fn of(control: &Control) -> Self {
        let first = control
            .transcript()
            .iter()
            .all(|exchange| !exchange.sent.starts_with("RETR "));
        Patience {
            until: Instant::now() + if first { PATIENCE } else { Duration::ZERO },
            used: false,
        }
    }

    fn has_more(&mut self, error: &FtpError) -> bool {
        let stalled = matches!(
            error,
            FtpError::Data {
                source: ConnectionError::Silent(_) | ConnectionError::Stalled(_),
                ..
            }
        );
        let more = stalled && Instant::now() < self.until;
        self.used |= more;
        more
    }
}

/// Where the server needed so long for the first transfer, the next one need not wait as long again.
fn segment_after(before: Option<&PassiveTalk>) -> Option<u16> {
    let paused = before?.transfer.as_ref()?.paused;
    paused.then_some(SMALL_SEGMENT)
}

fn transcript(control: &Control) -> Vec<(String, fwdrill_protocol::ftp_reply::Reply)> {
    control
        .transcript()
        .iter()
        .map(|exchange| (exchange.sent.clone(), exchange.reply.clone()))
        .collect()
}

pub(super) fn trouble(error: &FtpError) -> Trouble {
    let (during, outcome) = match error {
        FtpError::Control { during, source, .. } | FtpError::Data { during, source, .. } => {
            (during.clone(), source.outcome())
        }
        FtpError::NotFtp { .. } => ("waiting for an FTP reply".to_owned(), Outcome::Open),
        FtpError::Unexpected { command, .. } => (command.clone(), Outcome::Open),
        FtpError::NotALine(command) => (command.clone(), Outcome::CheckFailed),
        FtpError::Source { path, .. } => (path.clone(), Outcome::CheckFailed),
    };
    let text = match error {
        FtpError::Control { source, .. } | FtpError::Data { source, .. } => source.to_string(),
        FtpError::NotFtp { first, .. } => format!("it does not speak FTP, it says {first:?}"),
        FtpError::Unexpected { reply, .. } => format!("the server replies {} {}", reply.code, reply.text()),
        other => other.to_string(),
    };
    Trouble {
        during,
        outcome,
        text,
        wrong_protocol: matches!(error, FtpError::NotFtp { .. }),
    }
}
