//! Response bodies: pieces of memory and of files, sent in order, with what really left counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use super::transfer::Transfer;

/// How much of a file is read at once. One such piece waits in memory for each slow client; into a buffer of this size,
/// used again and again, copying is as fast as into a larger one, because it stays in the processor's cache.
const PIECE: usize = 128 * 1024;

/// A response body of a known length.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pieces: VecDeque<Piece>,
    remaining: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    spare: Spare,
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
                let length = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
                match read_at_hand(&file, self.spare.take(), range.start, length) {
                    Ok(bytes) => {
                        self.push_rest(file, range.start + bytes.len() as u64..range.end);
                        Poll::Ready(Some(Ok(self.chunk(bytes, true))))
                    }
                    // It has to come from the disk, which is nothing to wait for here.
                    Err(buffer) => {
                        let at = range.start;
                        self.push_rest(file.clone(), at + length as u64..range.end);
                        self.reading = Some(tokio::task::spawn_blocking(move || read(&file, buffer, at, length)));
                        self.poll_piece(cx)
                    }
                }
            }
        }
    }

    fn push_rest(&mut self, file: Arc<File>, range: Range<u64>) {
        if !range.is_empty() {
            self.pieces.push_front(Piece::File(file, range));
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

/// Reads what the page cache has of it, at least one byte; otherwise gives the buffer back.
fn read_at_hand(file: &File, mut buffer: Buffer, at: u64, length: usize) -> Result<Bytes, Buffer> {
    let mut slices = [IoSliceMut::new(&mut buffer.bytes[..length])];
    match preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) {
        Ok(read) if read > 0 => Ok(buffer.filled(read)),
        // Not there, not possible with this file system, or an error which the other way of reading meets again.
        Ok(_) | Err(_) => Err(buffer),
    }
}

fn read(file: &File, mut buffer: Buffer, at: u64, length: usize) -> io::Result<Bytes> {
    file.read_exact_at(&mut buffer.bytes[..length], at)?;
    Ok(buffer.filled(length))
}

/// The buffer of a body while it is in no use.
#[derive(Debug, Default)]
struct Spare(Arc<Mutex<Option<Vec<u8>>>>);

impl Spare {
    fn take(&self) -> Buffer {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Buffer {
            bytes: spare.unwrap_or_else(|| vec![0; PIECE]),
            filled: 0,
            home: self.0.clone(),
        }
    }
}

/// [`PIECE`] bytes that go back to their body when the last of them has left.
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    home: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Buffer {
    fn filled(mut self, length: usize) -> Bytes {
        self.filled = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        *home = Some(std::mem::take(&mut self.bytes));
    }
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
