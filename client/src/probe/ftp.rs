//! The FTP dialogue: greeting, login, then EPSV and PASV in one session, each completed by a real transfer; active mode
//! last. All of it under TLS where that is asked for.

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Manifest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{connect, connect_as_far_as};
use super::content::{Content, SMALL_SEGMENT, file_to_try};
use super::socket::Reach;
use super::{Site, active};
use crate::connection::ConnectionError;
use crate::ftp::{Control, Data, FtpError, Passive, Retrieval};
use crate::observation::content::SetSeen;
use crate::observation::privacy::TlsTalk;
use crate::observation::{ExpectedContent, FtpTalk, PassiveCommand, PassiveTalk, Transfer, Trouble};
use crate::tls::Trust;

/// A reply that shares its segment with another one is there at once.
const BEHIND: Duration = Duration::from_millis(200);

/// Whether the dialogue is under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    Clear,
    Tls,
}

/// What a dialogue is to go through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) privacy: Privacy,
    pub(super) modes: &'a [PassiveCommand],
    pub(super) active: bool,
}

/// How long the whole dialogue may take: a dozen answers one after the other, each of which may be late.
const LONGEST: Duration = Duration::from_secs(14);

/// How long a server has to say goodbye.
const LEAVE: Duration = Duration::from_millis(200);

/// Has the whole dialogue over a control connection that stands.
pub(super) async fn talk(site: &Site<'_>, stream: TcpStream, wanted: Wanted<'_>) -> FtpTalk {
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
    if wanted.privacy == Privacy::Tls {
        control = match secured(site, control, &mut talk).await {
            Ok(control) => control,
            Err(error) => {
                talk.trouble = Some(trouble(&error));
                return talk;
            }
        };
    }
    match timeout(LONGEST, converse(site, &mut control, &mut talk, wanted)).await {
        Ok(Ok(())) => {
            talk.transcript = transcript(&control);
            // A server that still tries to connect in active mode hears nothing else.
            if talk.active.as_ref().is_none_or(|active| active.trouble.is_none()) {
                // How a server takes leave decides nothing: nobody waits long for it.
                let _ = timeout(LEAVE, control.quit()).await;
            }
        }
        Ok(Err(error)) => {
            talk.trouble = Some(trouble(&error));
            talk.transcript = transcript(&control);
        }
        Err(_) => {
            talk.transcript = transcript(&control);
            talk.trouble = Some(Trouble {
                during: "the whole dialogue".to_owned(),
                outcome: Outcome::CheckFailed,
                text: format!("not done within {} s", LONGEST.as_secs()),
                wrong_protocol: false,
            });
        }
    }
    talk
}

/// A session for the drill's own errands, ready for transfers; under TLS where the dialogue was.
pub(super) async fn session(site: &Site<'_>, to: SocketAddr, talk: &FtpTalk) -> Result<Control, FtpError> {
    let mut control = Control::connect(to, &site.limits).await?;
    let private = talk.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
    if private {
        control.auth_tls().await?;
        control = control
            .secured(&site.plan.target, Trust::of(&site.plan.estate))
            .await?
            .0;
    }
    login(site, &mut control).await?;
    control.binary().await?;
    if private {
        control.protect_data().await?;
    }
    Ok(control)
}

/// Puts the control connection under TLS.
async fn secured(site: &Site<'_>, mut control: Control, talk: &mut FtpTalk) -> Result<Control, FtpError> {
    let tls = talk.tls.insert(TlsTalk::default());
    let auth = control.auth_tls().await;
    talk.transcript = transcript(&control);
    tls.auth = match &auth {
        Ok(reply) => Some(reply.clone()),
        Err(error) => error.reply().cloned(),
    };
    auth?;
    let (control, certificate) = control.secured(&site.plan.target, Trust::of(&site.plan.estate)).await?;
    tls.certificate = Some(certificate);
    Ok(control)
}

async fn converse(
    site: &Site<'_>,
    control: &mut Control,
    talk: &mut FtpTalk,
    wanted: Wanted<'_>,
) -> Result<(), FtpError> {
    talk.logged_in_as = Some(login(site, control).await?);
    control.binary().await?;
    if talk.tls.is_some() {
        control.protect_data().await?;
    }
    let mut manifest = None;
    for command in wanted.modes.iter().copied() {
        // A 227 has no room for an IPv6 address (RFC 2428 section 1).
        if command == PassiveCommand::Pasv && control.peer().is_ipv6() {
            continue;
        }
        let mut passive = PassiveTalk {
            command,
            reply: None,
            in_front: None,
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
    if wanted.active {
        // Last, since the server may take its time over it.
        talk.active = active::attempt(control).await;
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
    let asked = match asked {
        Err(FtpError::Unexpected { reply, command }) if reply.is_positive() => {
            behind(control, passive, reply, command).await
        }
        asked => asked,
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
    let dialled = if site.plan.on_server_host {
        let renumbering = site.plan.estate.renumbering();
        SocketAddr::new(control.peer().ip(), renumbering.listened(told.port()))
    } else {
        told
    };
    let (data, stream) = connect_as_far_as(dialled, site.limits.data_connect, reach).await;
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

/// The passive reply that came behind another one, which is no answer to the command.
async fn behind(
    control: &mut Control,
    passive: &mut PassiveTalk,
    first: Reply,
    command: String,
) -> Result<(Reply, SocketAddr), FtpError> {
    let second = control.unasked(BEHIND).await;
    let told = second.as_ref().and_then(|reply| match passive.command {
        PassiveCommand::Epsv => Some(SocketAddr::new(control.peer().ip(), reply.extended_passive_port()?)),
        PassiveCommand::Pasv => reply.passive_address().map(SocketAddr::V4),
    });
    match (second, told) {
        (Some(second), Some(told)) => {
            passive.in_front = Some(first);
            Ok((second, told))
        }
        _ => Err(FtpError::Unexpected { command, reply: first }),
    }
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

fn transcript(control: &Control) -> Vec<(String, Reply)> {
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
        FtpError::Tls { .. } => ("shaking hands for TLS".to_owned(), Outcome::Open),
        FtpError::Unexpected { command, .. } => (command.clone(), Outcome::Open),
        FtpError::NotALine(command) => (command.clone(), Outcome::CheckFailed),
        FtpError::Source { path, .. } => (path.clone(), Outcome::CheckFailed),
    };
    let text = match error {
        FtpError::Control { source, .. } | FtpError::Data { source, .. } => source.to_string(),
        FtpError::Tls { source, .. } => source.to_string(),
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
