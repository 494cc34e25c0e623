//! Servers for tests that do as they are told, also what no server should. Raw sockets on loopback, port 0.

mod ftp;
mod http;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use ftp::{FtpFaults, FtpServer};
pub(crate) use http::{HttpFaults, HttpServer};

/// What a server has: contents by absolute path.
pub(crate) type Tree = Arc<BTreeMap<String, Vec<u8>>>;

/// Makes a tree.
pub(crate) fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Tree {
    let owned = files
        .into_iter()
        .map(|(path, bytes)| (path.to_owned(), bytes.to_owned()));
    Arc::new(owned.collect())
}

/// Bytes that are the same in every run and in no two places.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Accepts connections until the handle is dropped, each in a task of its own that ends with the handle too.
pub(crate) async fn accept<F>(
    mut serve: impl FnMut(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, AbortOnDropHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut sessions = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            sessions.spawn(serve(stream));
        }
    });
    (address, AbortOnDropHandle::new(task))
}

/// A server that says `bytes` to whoever connects, and then closes or waits.
pub(crate) async fn says(bytes: &'static [u8], then_closes: bool) -> (SocketAddr, AbortOnDropHandle<()>) {
    accept(move |mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.write_all(bytes).await;
        if !then_closes {
            // Until the client goes.
            while stream.read(&mut [0; 512]).await.is_ok_and(|length| length > 0) {}
        }
    })
    .await
}

/// Closes so that the other end sees a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
}
