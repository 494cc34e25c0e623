//! Transfers: RETR, STOR, APPE and the listings. Each ends in exactly one final reply, whatever becomes of the data
//! connection, of the client's patience or of ours.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::active;
use super::command::Type;
use super::control::{Control, Urgent};
use super::download::{self, Download};
use super::failure::Failure;
use super::passive::{Data, Prepared};
use super::reply::Reply;
use super::session::Session;
use super::upload;
use crate::dropbox::Upload;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Body, Content};
use crate::ftp::witness::Witness;
use crate::stream::Stream;

/// What is to move.
pub(super) enum Job {
    /// The text of a listing.
    Listing(Bytes),
    /// A file of the tree.
    Download(VirtualPath, Download),
    /// A file into the drop box.
    Upload(VirtualPath, Box<Upload>, Type),
}

impl Session {
    /// Lives a transfer from the command to its final reply.
    pub(super) async fn transfer(&mut self, job: Job) -> io::Result<()> {
        let Some(data) = self.data_connection().await? else {
            return discard(job).await;
        };
        self.control.reply(&job.opening()).await?;
        let note = job.note(&self.witness, &data);
        let (stop, moved) = (CancellationToken::new(), note.moved.clone());
        let (limits, secure) = (self.site.limits, self.login.data_tls(&self.site));
        let (control, stopped) = (&mut self.control, &stop);
        let is_upload = matches!(job, Job::Upload(..));
        let work = async {
            let mut stream = match secure {
                None => Stream::Plain(data.stream),
                Some(config) => {
                    let handshake = Stream::secure(data.stream, config, limits.handshake);
                    let secured = stopped.run_until_cancelled(handshake).await;
                    secured.ok_or(Failure::Aborted)?.map_err(Failure::Handshake)?
                }
            };
            let content = match job {
                Job::Listing(text) => Download::memory(text),
                Job::Download(_, download) => download,
                Job::Upload(_, upload, form) => {
                    let received = upload::receive(*upload, form, &mut stream, limits.stall, &moved, stopped).await;
                    return received.map(Some);
                }
            };
            let sending = download::send(content, &mut stream, limits.stall, &moved);
            let sent = stopped.run_until_cancelled(sending).await;
            sent.unwrap_or(Err(Failure::Aborted)).map(|()| None)
        };
        let (outcome, aborted) = beside(control, work, &stop, &note.moved, is_upload).await?;
        let outcome = match outcome {
            Ok(Some(upload)) => finish(upload, &self.control).await,
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        note.end(&outcome);
        self.control.reply(&final_reply(&outcome)).await?;
        if aborted {
            self.control.reply(&Reply::new(226, "Aborted")).await?;
        }
        Ok(())
    }

    /// The data connection that PASV, EPSV, PORT or EPRT has prepared. `None` if there is none, which has been answered then.
    async fn data_connection(&mut self) -> io::Result<Option<Data>> {
        let (control, prepared, witness) = (&mut self.control, &mut self.prepared, &*self.witness);
        if matches!(prepared, Prepared::Listening(_) | Prepared::Active(_)) {
            // A server that stops waits for transfers, but not for one that has not begun.
            let stop = self.stopping.child_token();
            let limit = self.site.limits.data_connect;
            let ready = async {
                match prepared {
                    Prepared::Active(to) => *prepared = active::connect(*to, limit, witness).await,
                    other => other.settle(witness).await,
                }
            };
            let settled = stop.run_until_cancelled(ready);
            let (settled, aborted) = beside(control, settled, &stop, &AtomicU64::new(0), true).await?;
            if settled.is_none() {
                self.prepared = Prepared::None;
                let reply = Reply::new(426, "Transfer broken off: aborted");
                self.control.reply(&reply).await?;
                if aborted {
                    self.control.reply(&Reply::new(226, "Aborted")).await?;
                }
                return Ok(None);
            }
        }
        match std::mem::take(&mut self.prepared) {
            Prepared::Connected(data) => Ok(Some(data)),
            Prepared::None | Prepared::Listening(_) | Prepared::Active(_) => {
                let reply = Reply::new(425, "There is no data connection; use PASV or EPSV and connect");
                self.control.reply(&reply).await?;
                Ok(None)
            }
        }
    }
}

/// Does `work` with an eye on the control connection: ABOR cancels `stop`, and so does the client's end if `ends_with_client`;
/// STAT is answered. Whether it was ABOR is said beside the outcome.
async fn beside<T>(
    control: &mut Control,
    work: impl Future<Output = T>,
    stop: &CancellationToken,
    moved: &AtomicU64,
    ends_with_client: bool,
) -> io::Result<(T, bool)> {
    let mut work = pin!(work);
    let mut aborted = false;
    loop {
        let urgent = tokio::select! {
            biased;
            done = &mut work => return Ok((done, aborted)),
            urgent = control.urgent(), if !stop.is_cancelled() => urgent,
        };
        match urgent {
            Urgent::Abort => {
                aborted = true;
                stop.cancel();
            }
            Urgent::End if ends_with_client => stop.cancel(),
            // A client that says all it has to say at once and waits may do so.
            Urgent::End => {}
            Urgent::Status => {
                let text = format!("{} bytes have moved so far", moved.load(Ordering::Relaxed));
                control.reply(&Reply::new(211, text)).await?;
            }
        }
    }
}

impl Job {
    /// The preliminary reply.
    fn opening(&self) -> Reply {
        match self {
            Job::Listing(_) => Reply::new(150, "Here comes the directory"),
            Job::Download(path, download) => {
                let length = download.content.size - download.start;
                Reply::new(150, format!("Here comes {path} ({length} bytes)"))
            }
            Job::Upload(path, ..) => Reply::new(150, format!("Ready for {path}")),
        }
    }

    fn note(&self, witness: &Arc<Witness>, data: &Data) -> Note {
        let path = match self {
            Job::Listing(_) => None,
            Job::Download(path, _) => Some((path.clone(), "download")),
            Job::Upload(path, ..) => Some((path.clone(), "upload")),
        };
        let moved = Arc::<AtomicU64>::default();
        if let Some((path, _)) = &path {
            witness.transferring(data.local, data.peer, path.to_string(), moved.clone());
        }
        Note {
            witness: witness.clone(),
            ends: (data.local, data.peer),
            path,
            moved,
            complete: false,
        }
    }
}

impl Download {
    fn memory(text: Bytes) -> Self {
        Download {
            content: Content {
                size: text.len() as u64,
                body: Body::Memory(text),
            },
            start: 0,
            form: Type::Image,
        }
    }
}

/// What the journal is told of a transfer, when it ends or is cut. Nothing of a listing.
struct Note {
    witness: Arc<Witness>,
    ends: (std::net::SocketAddr, std::net::SocketAddr),
    path: Option<(VirtualPath, &'static str)>,
    moved: Arc<AtomicU64>,
    complete: bool,
}

impl Note {
    fn end(mut self, outcome: &Result<(), Failure>) {
        self.complete = outcome.is_ok();
        let Some((path, what)) = &self.path else { return };
        let bytes = self.moved.load(Ordering::Relaxed);
        match outcome {
            Ok(()) => info!(%path, bytes, "{what} complete"),
            Err(error) => warn!(%path, bytes, error = error as &dyn std::error::Error, "{what} broken off"),
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some((path, _)) = self.path.take() {
            let ((local, peer), bytes) = (self.ends, self.moved.load(Ordering::Relaxed));
            self.witness
                .transferred(local, peer, path.to_string(), bytes, self.complete);
        }
    }
}

fn final_reply(outcome: &Result<(), Failure>) -> Reply {
    match outcome {
        Ok(()) => Reply::new(226, "Transfer complete"),
        Err(failure) => failure.reply(),
    }
}

/// Puts a file in its place, unless its client is gone: then nobody knows whether it is whole.
async fn finish(upload: Upload, control: &Control) -> Result<(), Failure> {
    let whole = !control.client_is_gone();
    let finish = move || if whole { upload.finish().map(Some) } else { Ok(None) };
    let finished = tokio::task::spawn_blocking(finish).await;
    let finished = finished.map_err(|error| Failure::Local(io::Error::other(error)))?;
    match finished.map_err(Failure::Upload)? {
        Some(_length) => Ok(()),
        None => Err(Failure::Aborted),
    }
}

/// An upload that was begun and cannot go on leaves a file to be removed.
async fn discard(job: Job) -> io::Result<()> {
    if matches!(job, Job::Upload(..)) {
        tokio::task::spawn_blocking(move || drop(job))
            .await
            .map_err(io::Error::other)?;
    }
    Ok(())
}
