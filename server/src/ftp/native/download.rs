//! The bytes of a download.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustix::fs::sendfile;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::ascii::ToWire;
use super::command::Type;
use super::failure::Failure;
use crate::ftp::tree::{Body, Content};
use crate::stream::{Stream, in_time};

/// How much sendfile(2) is asked for at once.
const PIECE: usize = 1 << 20;
/// How much is read at once where sendfile(2) cannot be used.
const READ_PIECE: usize = 256 * 1024;

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) content: Content,
    pub(super) start: u64,
    pub(super) form: Type,
}

/// Sends it and ends the data connection; `sent` counts what the kernel has taken.
pub(super) async fn send(
    download: Download,
    stream: &mut Stream,
    stall: Duration,
    sent: &AtomicU64,
) -> Result<(), Failure> {
    let Download { content, start, form } = download;
    let mut ascii = (form == Type::Ascii).then(ToWire::default);
    match (content.body, &mut *stream) {
        (Body::Memory(bytes), stream) => {
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
            write(stream, converted(bytes.slice(start..), &mut ascii), stall, sent).await?;
        }
        (Body::File(file), Stream::Plain(stream)) if ascii.is_none() => {
            send_file(stream, &file, start..content.size, stall, sent).await?;
        }
        (Body::File(file), stream) => {
            let (file, mut at) = (Arc::new(file), start);
            while at < content.size {
                let piece = read(file.clone(), at, content.size).await?;
                at += piece.len() as u64;
                write(stream, converted(piece, &mut ascii), stall, sent).await?;
            }
        }
    }
    // Under TLS, close_notify: without it the client could not tell the end from a cut.
    in_time(stall, stream.shutdown()).await.map_err(Failure::of_data)
}

/// The kernel moves the bytes itself; no copy of them is made here.
async fn send_file(
    stream: &TcpStream,
    file: &File,
    range: std::ops::Range<u64>,
    stall: Duration,
    sent: &AtomicU64,
) -> Result<(), Failure> {
    let mut at = range.start;
    while at < range.end {
        let count = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
        let moving = stream.async_io(Interest::WRITABLE, || {
            sendfile(stream, file, Some(&mut at), count).map_err(io::Error::from)
        });
        match in_time(stall, moving).await.map_err(Failure::of_data)? {
            0 => return Err(Failure::Local(cut_short())),
            moved => sent.fetch_add(moved as u64, Ordering::Relaxed),
        };
    }
    Ok(())
}

async fn write(stream: &mut Stream, mut bytes: Bytes, stall: Duration, sent: &AtomicU64) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match in_time(stall, stream.write(&bytes)).await.map_err(Failure::of_data)? {
            0 => return Err(Failure::Data(io::ErrorKind::WriteZero.into())),
            written => {
                bytes.advance(written);
                sent.fetch_add(written as u64, Ordering::Relaxed);
            }
        }
    }
    in_time(stall, stream.flush()).await.map_err(Failure::of_data)
}

async fn read(file: Arc<File>, at: u64, size: u64) -> Result<Bytes, Failure> {
    let read = move || {
        let length = usize::try_from(size - at).unwrap_or(READ_PIECE).min(READ_PIECE);
        let mut piece = vec![0; length];
        let read = file.read_at(&mut piece, at)?;
        piece.truncate(read);
        if read == 0 { Err(cut_short()) } else { Ok(piece.into()) }
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other);
    read.flatten().map_err(Failure::Local)
}

fn converted(bytes: Bytes, ascii: &mut Option<ToWire>) -> Bytes {
    match ascii {
        Some(ascii) => ascii.convert(&bytes).into(),
        None => bytes,
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut meanwhile")
}
