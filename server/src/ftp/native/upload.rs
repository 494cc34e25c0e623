//! The bytes of an upload.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ascii::FromWire;
use super::command::Type;
use super::failure::Failure;
use crate::dropbox::{Upload, UploadError};
use crate::stream::{Stream, in_time};

/// How much is written at once. While one piece is written the next one is read.
const PIECE: usize = 256 * 1024;

/// Receives the whole file, which is not in its place yet; `received` counts the bytes.
///
/// Files block, so they are written on threads made for that; none is held while the client is waited for. If this fails,
/// nothing of the upload is left when it returns.
pub(super) async fn receive(
    upload: Upload,
    form: Type,
    stream: &mut Stream,
    stall: Duration,
    received: &AtomicU64,
    stop: &CancellationToken,
) -> Result<Upload, Failure> {
    let mut ascii = (form == Type::Ascii).then(FromWire::default);
    let mut writing = Writing::Idle(Box::new(upload));
    let mut spare = Vec::new();
    let outcome = loop {
        let mut piece = std::mem::take(&mut spare);
        piece.clear();
        piece.reserve(PIECE);
        let filled = stop
            .run_until_cancelled(fill(stream, &mut piece, stall, received))
            .await;
        let ended = match filled.unwrap_or(Err(Failure::Aborted)) {
            Ok(ended) => ended,
            Err(failure) => break Err(failure),
        };
        if let Some(ascii) = &mut ascii {
            piece = ascii.convert(&piece);
        }
        if ended {
            piece.extend(ascii.take().map_or(b"".as_slice(), FromWire::end));
        }
        let upload;
        (upload, spare) = writing.done().await?;
        writing = Writing::start(upload, piece);
        if ended {
            break Ok(());
        }
    };
    // Waited for in any case, so that what is to be removed has been removed.
    let upload = writing.done().await.map(|(upload, _)| upload);
    if outcome.is_ok() {
        // close_notify in answer to the client's.
        let _ = in_time(stall, stream.shutdown()).await;
    }
    match (outcome, upload) {
        (Ok(()), upload) => upload.map(|upload| *upload),
        (Err(failure), upload) => {
            // Removes a file.
            let _ = tokio::task::spawn_blocking(move || drop(upload)).await;
            Err(failure)
        }
    }
}

/// Reads until the piece is full or the data connection ends; says whether it ended.
async fn fill(
    stream: &mut Stream,
    piece: &mut Vec<u8>,
    stall: Duration,
    received: &AtomicU64,
) -> Result<bool, Failure> {
    while piece.len() < PIECE {
        let read = in_time(stall, stream.read_buf(piece)).await.map_err(Failure::of_data)?;
        if read == 0 {
            return Ok(true);
        }
        received.fetch_add(read as u64, Ordering::Relaxed);
    }
    Ok(false)
}

/// The upload, here or on the thread that writes to it.
enum Writing {
    Idle(Box<Upload>),
    Busy(JoinHandle<Result<Written, UploadError>>),
}

/// The upload, and the piece that was written.
type Written = (Box<Upload>, Vec<u8>);

impl Writing {
    fn start(mut upload: Box<Upload>, piece: Vec<u8>) -> Self {
        if piece.is_empty() {
            return Writing::Idle(upload);
        }
        Writing::Busy(tokio::task::spawn_blocking(move || {
            upload.write(&piece)?;
            Ok((upload, piece))
        }))
    }

    /// Waits for the thread. The piece makes room for another one.
    async fn done(self) -> Result<Written, Failure> {
        match self {
            Writing::Idle(upload) => Ok((upload, Vec::new())),
            Writing::Busy(writing) => {
                let written = writing.await.map_err(|error| Failure::Local(io::Error::other(error)))?;
                written.map_err(Failure::Upload)
            }
        }
    }
}
