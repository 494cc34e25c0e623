//! The bytes of a download or upload, in large pieces, with an eye on the clock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::info;
use unftp_core::storage::{Error, ErrorKind, Result};

use super::session::Session;
use super::storage::storage_error;
use crate::dropbox::{Placement, Upload, UploadError};
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Body, Content, Tree, TreeError};

/// How much is read or written at once.
const PIECE: usize = 512 * 1024;

/// Sends the file at `path` from `start` on.
pub(super) async fn download<W: AsyncWrite + Unpin + Send + ?Sized>(
    session: &Session,
    tree: &Tree,
    path: &VirtualPath,
    start: u64,
    output: &mut W,
) -> Result<u64> {
    let _counted = session.transfer();
    let content = tree.open(path).map_err(storage_error)?;
    if start > content.size {
        return Err(Error::new(
            ErrorKind::PermanentFileNotAvailable,
            "restart beyond the end",
        ));
    }
    let mut sent = 0;
    let sending = send(content, start, output, session.site.limits.stall, &mut sent);
    let result = session.unless_cut(sending).await.unwrap_or_else(|| Err(cut().into()));
    note(session, "download", path, sent, result.as_ref().err());
    result.map(|()| sent)
}

/// Receives the file at `path`. It is in its place when this returns, or nowhere.
pub(super) async fn upload<R: AsyncRead + Unpin + Send>(
    session: &Session,
    tree: &Tree,
    path: &VirtualPath,
    input: R,
) -> Result<u64> {
    let _counted = session.transfer();
    let begun = tree.upload(path, Placement::Replace).map_err(storage_error)?;
    let mut received = 0;
    let receiving = receive(session, begun, input, &mut received);
    let result = session.unless_cut(receiving).await.unwrap_or_else(|| Err(cut().into()));
    note(session, "upload", path, received, result.as_ref().err());
    result.map(|()| received)
}

async fn send<W: AsyncWrite + Unpin + Send + ?Sized>(
    content: Content,
    start: u64,
    output: &mut W,
    stall: Duration,
    sent: &mut u64,
) -> Result<()> {
    let mut file = match content.body {
        Body::Memory(bytes) => return write(output, bytes.slice(start as usize..), stall, sent).await,
        Body::File(file) => file,
    };
    let mut at = start;
    while at < content.size {
        let piece;
        (file, piece) = blocking(move || read_piece(file, at, content.size)).await??;
        at += piece.len() as u64;
        write(output, piece, stall, sent).await?;
    }
    Ok(())
}

fn read_piece(file: File, at: u64, size: u64) -> io::Result<(File, Bytes)> {
    let length = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
    let mut piece = vec![0; length];
    let read = file.read_at(&mut piece, at)?;
    if read == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file was cut meanwhile",
        ));
    }
    piece.truncate(read);
    Ok((file, piece.into()))
}

async fn write<W: AsyncWrite + Unpin + ?Sized>(
    output: &mut W,
    mut bytes: Bytes,
    stall: Duration,
    sent: &mut u64,
) -> Result<()> {
    while !bytes.is_empty() {
        let written = in_time(stall, output.write(&bytes)).await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        bytes.advance(written);
        *sent += written as u64;
    }
    Ok(in_time(stall, output.flush()).await?)
}

async fn receive<R: AsyncRead + Unpin>(
    session: &Session,
    mut upload: Upload,
    mut input: R,
    received: &mut u64,
) -> Result<()> {
    let stall = session.site.limits.stall;
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        buffer.clear();
        if in_time(stall, input.read_buf(&mut buffer)).await? == 0 {
            break;
        }
        *received += buffer.len() as u64;
        (upload, buffer) = blocking(move || upload.write(&buffer).map(|()| (upload, buffer)))
            .await?
            .map_err(refused)?;
    }
    if session.control.client_is_gone() {
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client is gone").into());
    }
    blocking(move || upload.finish()).await?.map_err(refused)?;
    Ok(())
}

fn refused(error: UploadError) -> Error {
    storage_error(TreeError::Upload(error))
}

fn note(session: &Session, what: &str, path: &VirtualPath, bytes: u64, error: Option<&Error>) {
    let (local, peer) = (session.data_address(), session.witness.peer());
    session
        .witness
        .transferred(local, peer, path.to_string(), bytes, error.is_none());
    match error {
        None => info!(%path, bytes, "{what} complete"),
        Some(error) => info!(%path, bytes, error = error as &dyn std::error::Error, "{what} broken off"),
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let stalled = |_| io::Error::new(io::ErrorKind::ConnectionAborted, "the data connection stalled");
    tokio::time::timeout(limit, work).await.map_err(stalled)?
}

/// Files block; not on a thread that others wait for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the server is stopping")
}
