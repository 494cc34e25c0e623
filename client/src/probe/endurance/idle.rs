//! Control connections on which nothing is said for a while, as during a long transfer. A firewall that has forgotten them
//! may let one end speak and not the other, so each end has its turn to break the silence.
//!
//! The server is made to speak first without a transfer that takes long: it is asked for one, and the data connection
//! that it waits for is made when the silence is over.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::report::Outcome;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::super::Site;
use super::super::connect::connect;
use super::super::ftp::login;
use crate::connection::ConnectionError;
use crate::ftp::{Control, FtpError};
use crate::observation::endurance::{Idle, IdleTrial, Speaker};
use crate::observation::{Observations, PassiveCommand};

/// How long nothing is said. Most timeouts are longer than anybody waits for a report; what forgets within this is far too
/// short for any transfer.
const SILENCE: Duration = Duration::from_secs(8);

/// How long the other end has to answer afterwards: lost packets are sent again after 0.2, 0.6, 1.4 and 3 s.
const ANSWER: Duration = Duration::from_millis(3600);

/// And when the client has its turn after a server that was not heard.
const THEN: Duration = Duration::from_millis(1800);

/// How many sessions are held.
pub(in super::super) const SESSIONS: usize = 2;

/// How to have a session like one that worked.
#[derive(Debug, Clone)]
pub(in super::super) struct Session {
    control: SocketAddr,
    command: PassiveCommand,
    /// RETR of a file that came before, or LIST.
    transfer: String,
}

impl Session {
    /// `None` where no transfer worked: what is broken anyway tells nothing.
    pub(super) fn like(seen: &Observations) -> Option<Self> {
        let talk = seen.ftp.as_ref()?;
        let worked = talk.passive.iter().find(|passive| passive.worked())?;
        let path = worked.transfer.as_ref().map(|transfer| &transfer.path);
        Some(Session {
            control: seen.attempts.get(&fwdrill_protocol::flow::Flow::FtpControl)?.to,
            command: worked.command,
            transfer: match path.filter(|path| path.starts_with('/')) {
                Some(path) if talk.logged_in_as.as_deref() == Some(DRILL_USER) => format!("RETR {path}"),
                _ => "LIST".to_owned(),
            },
        })
    }
}

/// Both trials at once.
pub(super) async fn hold(site: &Site<'_>, session: &Session) -> Idle {
    let (server, client) = tokio::join!(
        trial(site, session, Speaker::Server),
        trial(site, session, Speaker::Client)
    );
    let trials: Vec<IdleTrial> = [server, client].into_iter().flatten().collect();
    let failed = trials.iter().any(|trial| trial.outcome != Outcome::Open);
    Idle {
        trials,
        still_open: if failed {
            Some(is_open(site, session).await)
        } else {
            None
        },
    }
}

/// `None` where the session could not even be begun.
async fn trial(site: &Site<'_>, session: &Session, first: Speaker) -> Option<IdleTrial> {
    let mut control = Control::connect(session.control, &site.limits).await.ok()?;
    login(site, &mut control).await.ok()?;
    let data = match first {
        Speaker::Client => None,
        Speaker::Server => Some(prepare(site, &mut control, session).await.ok()?),
    };
    let mut trial = IdleTrial {
        first,
        idle_ms: u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX),
        outcome: Outcome::CheckFailed,
        interrupted: None,
        ended_meanwhile: false,
        text: None,
        data: None,
        then: None,
    };
    if !silence(&mut control, &mut trial).await {
        return Some(trial);
    }
    match data {
        None => client_speaks(&mut control, &mut trial).await,
        Some(to) => server_speaks(site, &mut control, to, &mut trial).await,
    }
    if trial.outcome == Outcome::Open {
        // How a server takes leave decides nothing.
        let _ = control.quit().await;
    }
    Some(trial)
}

/// Asks for a transfer whose data connection is yet to come.
async fn prepare(site: &Site<'_>, control: &mut Control, session: &Session) -> Result<SocketAddr, FtpError> {
    control.binary().await?;
    let to = match session.command {
        PassiveCommand::Epsv => SocketAddr::new(control.peer().ip(), control.epsv().await?.1),
        PassiveCommand::Pasv => control.pasv().await?.1.into(),
    };
    site.held.store(to.port(), Ordering::Relaxed);
    control.send(&session.transfer).await?;
    Ok(to)
}

/// Whether it lasted and nobody ended the session meanwhile.
async fn silence(control: &mut Control, trial: &mut IdleTrial) -> bool {
    let until = Instant::now() + SILENCE;
    loop {
        match control.hear(until.saturating_duration_since(Instant::now())).await {
            // Some servers say 150 before the data connection is there.
            Ok(reply) if reply.is_preliminary() => {}
            Ok(reply) => {
                // 421 ends the session; anything else means that this server does not wait for a data connection.
                if reply.code == 421 {
                    trial.outcome = Outcome::Reset;
                    trial.ended_meanwhile = true;
                }
                trial.interrupted = Some(reply);
                return false;
            }
            Err(error) => {
                let over = matches!(
                    error.connection(),
                    Some((_, ConnectionError::Silent(_) | ConnectionError::Stalled(_)))
                );
                if !over {
                    trial.ended_meanwhile = true;
                    note(trial, Err(&error));
                }
                return over;
            }
        }
    }
}

async fn client_speaks(control: &mut Control, trial: &mut IdleTrial) {
    let answered = noop(control, ANSWER).await;
    note(trial, answered.as_ref().map(drop));
}

async fn server_speaks(site: &Site<'_>, control: &mut Control, to: SocketAddr, trial: &mut IdleTrial) {
    let (attempt, stream) = connect(to, site.limits.data_connect).await;
    let Some(stream) = stream else {
        trial.text = Some(format!("the data connection: {}", attempt.outcome.name()));
        return;
    };
    let (heard, data) = tokio::join!(control.hear(ANSWER), read(stream));
    trial.data = Some(data);
    note(trial, heard.as_ref().map(drop));
    match heard {
        Ok(reply) if reply.is_preliminary() => drop(control.hear(ANSWER).await),
        Ok(_) => {}
        Err(_) => {
            trial.then = Some(
                noop(control, THEN)
                    .await
                    .map_or_else(|error| outcome(&error), |()| Outcome::Open),
            )
        }
    }
}

async fn noop(control: &mut Control, limit: Duration) -> Result<(), FtpError> {
    control.send("NOOP").await?;
    control.hear(limit).await.map(drop)
}

/// All that the data connection brings, and whether it ended in order.
async fn read(mut stream: TcpStream) -> (u64, bool) {
    let (mut bytes, mut buffer) = (0, vec![0; 64 * 1024]);
    loop {
        match timeout(ANSWER, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return (bytes, true),
            Ok(Ok(length)) => bytes += length as u64,
            Ok(Err(_)) | Err(_) => return (bytes, false),
        }
    }
}

fn note(trial: &mut IdleTrial, heard: Result<(), &FtpError>) {
    match heard {
        Ok(()) => trial.outcome = Outcome::Open,
        Err(error) => {
            trial.outcome = outcome(error);
            trial.text = Some(match error.connection() {
                Some((_, source)) => source.to_string(),
                None => error.to_string(),
            });
        }
    }
}

fn outcome(error: &FtpError) -> Outcome {
    error
        .connection()
        .map_or(Outcome::CheckFailed, |(_, source)| source.outcome())
}

/// Whether a new connection is greeted.
async fn is_open(site: &Site<'_>, session: &Session) -> bool {
    Control::connect(session.control, &site.limits).await.is_ok()
}
