//! Response bodies: pieces of memory and of files, sent in order, with what really left counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::transfer::Transfer;

/// How much of a file is read at once. One such piece waits in memory for each slow client.
const PIECE: u64 = 256 * 1024;

/// A response body of a known length.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pieces: VecDeque<Piece>,
    remaining: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    transfer: Option<Arc<Transfer>>,
}

#[derive(Debug)]
enum Piece {
    /// Framing, which is not counted as transferred.
    Frame(Bytes),
    Memory(Bytes),
    File(Arc<File>, Range<u64>),
}

impl Body {
    pub(crate) fn of_text(text: impl Into<Bytes>) -> Self {
        let mut body = Body::default();
        body.push_frame(text);
        body
    }

    /// Counts what leaves of files and memory to `transfer`.
    pub(super) fn counted(transfer: Option<Transfer>) -> Self {
        Body {
            transfer: transfer.map(Arc::new),
            ..Body::default()
        }
    }

    pub(super) fn push_frame(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.remaining += bytes.len() as u64;
        self.pieces.push_back(Piece::Frame(bytes));
    }

    pub(super) fn push_memory(&mut self, bytes: Bytes) {
        self.remaining += bytes.len() as u64;
        self.pieces.push_back(Piece::Memory(bytes));
    }

    pub(super) fn push_file(&mut self, file: Arc<File>, range: Range<u64>) {
        self.remaining += range.end - range.start;
        self.pieces.push_back(Piece::File(file, range));
    }

    /// How many bytes are still to be sent.
    pub(super) fn len(&self) -> u64 {
        self.remaining
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Chunk>>> {
        if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            let bytes = match read {
                Ok(Ok(bytes)) => bytes,
                // The connection is cut: the client sees fewer bytes than it was promised.
                Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            };
            return Poll::Ready(Some(Ok(self.chunk(bytes, true))));
        }
        match self.pieces.pop_front() {
            None => Poll::Ready(None),
            Some(Piece::Frame(bytes)) => Poll::Ready(Some(Ok(self.chunk(bytes, false)))),
            Some(Piece::Memory(bytes)) => Poll::Ready(Some(Ok(self.chunk(bytes, true)))),
            Some(Piece::File(file, range)) => {
                let end = range.end.min(range.start.saturating_add(PIECE));
                if end < range.end {
                    self.pieces.push_front(Piece::File(file.clone(), end..range.end));
                }
                let now = range.start..end;
                self.reading = Some(tokio::task::spawn_blocking(move || read(&file, now)));
                self.poll_piece(cx)
            }
        }
    }

    fn chunk(&mut self, bytes: Bytes, counts: bool) -> Chunk {
        self.remaining -= bytes.len() as u64;
        Chunk {
            bytes,
            transfer: self.transfer.clone().filter(|_| counts),
        }
    }
}

fn read(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

impl hyper::body::Body for Body {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Chunk>>>> {
        let chunk = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Bytes on their way to the socket: hyper advances them by what the kernel took.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Bytes,
    transfer: Option<Arc<Transfer>>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(transfer) = &self.transfer {
            transfer.moved(count as u64);
        }
    }
}
