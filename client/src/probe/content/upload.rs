//! An upload as clients make it: system information, a log. Small, and deleted again.

use std::net::SocketAddr;

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::super::connect::connect_as_far_as;
use super::super::socket::Reach;
use super::super::{Site, ftp};
use super::SMALL_SEGMENT;
use super::again::mode;
use crate::ftp::{Data, FtpError, Passive};
use crate::observation::content::Upload;
use crate::observation::{FtpTalk, Observations, Trouble};

/// Several full-size packets, and what a log is made of.
const LINE: &str = "fwdrill probe: this line is here to be uploaded\n";
const LINES: usize = 340;

/// Nobody's drop box but our own server's, or of who gave us a login there.
pub(super) async fn explore(site: &Site<'_>, seen: &mut Observations) {
    let Some(talk) = &seen.ftp else { return };
    let ours = talk.logged_in_as.as_deref() == Some(DRILL_USER) || site.plan.login.is_some();
    let to = seen.attempts.get(&Flow::FtpControl).map(|attempt| attempt.to);
    let (true, Some(mode), Some(to)) = (ours, mode(talk), to) else {
        return;
    };
    let mut uploads = vec![attempt(site, (to, talk), mode, None).await];
    // A refusal needs no second word; a connection that broke may have been chance.
    if uploads[0].trouble.is_some() && !uploads[0].is_refused() {
        let (again, small) = tokio::join!(
            attempt(site, (to, talk), mode, None),
            attempt(site, (to, talk), mode, Some(SMALL_SEGMENT))
        );
        uploads.extend([again, small]);
    }
    seen.content.uploads = uploads;
}

async fn attempt(site: &Site<'_>, to: (SocketAddr, &FtpTalk), mode: Passive, most: Option<u16>) -> Upload {
    let suffix = most.map_or_else(String::new, |most| format!("-{most}"));
    let path = format!("/upload/fwdrill-probe/{}{suffix}.log", site.plan.drill);
    let content = LINE.repeat(LINES);
    let stored = store(site, to, mode, most, &path, content.as_bytes()).await;
    Upload {
        size: content.len() as u64,
        most,
        code: match &stored {
            Ok(code) => Some(*code),
            Err(FtpError::Unexpected { command, reply }) if command.starts_with("STOR ") => Some(reply.code),
            Err(_) => None,
        },
        trouble: stored.err().map(|error| {
            let trouble = ftp::trouble(&error);
            match error {
                // Nobody let us in, or there is no data connection: that is not about uploads.
                FtpError::Unexpected { command, .. } if !command.starts_with("STOR ") => Trouble {
                    outcome: Outcome::CheckFailed,
                    ..trouble
                },
                _ => trouble,
            }
        }),
        path,
    }
}

async fn store(
    site: &Site<'_>,
    (to, talk): (SocketAddr, &FtpTalk),
    mode: Passive,
    most: Option<u16>,
    path: &str,
    content: &[u8],
) -> Result<u16, FtpError> {
    let mut control = ftp::session(site, to, talk).await?;
    let told = match mode {
        Passive::Pasv => control.pasv().await?.1.into(),
        Passive::Epsv | Passive::Auto => SocketAddr::new(to.ip(), control.epsv().await?.1),
    };
    let reach = Reach {
        segment: most,
        ..Reach::default()
    };
    let (attempt, stream) = connect_as_far_as(told, site.limits.data_connect, reach).await;
    let data = match stream {
        Some(stream) => Data::over(stream, told, &site.limits),
        None => {
            let text = attempt.error.unwrap_or_else(|| attempt.outcome.name().to_owned());
            return Err(FtpError::Data {
                peer: told,
                during: "connecting".to_owned(),
                source: std::io::Error::other(text).into(),
            });
        }
    };
    let reply = control.store(path, data, content).await?;
    // The drop box is no place for what nobody sent; how the server takes leave decides nothing.
    let _ = control.command(&format!("DELE {path}")).await;
    let _ = control.quit().await;
    Ok(reply.code)
}
