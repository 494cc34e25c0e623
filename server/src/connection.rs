//! The accept loop that every service shares, and how its connections end: drained if they can be, cut if they must.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fwdrill_protocol::sighting::Syn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::saved_syn;

/// How many connections the kernel may keep ready for us; it takes the smaller of this and `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// How often another port is asked for when the kernel gave one that the other family has no more.
const ATTEMPTS: usize = 20;

/// A connection that a listener accepted. `TCP_NODELAY` is set.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// The server's end; an IPv4 address even when it arrived on a dual stack socket.
    pub local: SocketAddr,
    /// The other end as the server sees it; an IPv4 address even when it arrived on a dual stack socket.
    pub peer: SocketAddr,
    /// The SYN it began with, where the system kept it.
    pub syn: Option<Syn>,
}

/// Every connection of one server. Cheap to clone.
///
/// A connection's future should end soon after [`Connections::stopping`] is cancelled: at the next point where the
/// client loses nothing. What has not ended when [`Connections::drain`] runs out of patience is dropped where it
/// stands.
#[derive(Clone, Debug)]
pub struct Connections {
    stopping: CancellationToken,
    cutting: CancellationToken,
    tasks: TaskTracker,
    cut: Arc<AtomicUsize>,
}

impl Connections {
    /// No connections yet. Cancelling `stopping` ends every accept loop and asks every connection to end.
    pub fn new(stopping: CancellationToken) -> Self {
        Connections {
            stopping,
            cutting: CancellationToken::new(),
            tasks: TaskTracker::new(),
            cut: Arc::default(),
        }
    }

    /// Cancelled when the server stops: finish what is in hand and begin nothing new.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// How many connections are alive.
    pub fn alive(&self) -> usize {
        self.tasks.len()
    }

    /// Accepts connections until the server stops, and lives each with a future made by `handler`.
    ///
    /// Errors of accept(2) never end the loop: a connection that died in the queue is passed over, and while the
    /// process or the system is out of file descriptors or memory the loop waits instead of spinning.
    pub async fn serve<H, F>(&self, listener: TcpListener, handler: H)
    where
        H: Fn(Accepted) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut backoff = Backoff::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted.and_then(|(stream, peer)| prepare(stream, peer)) {
                Ok(accepted) => {
                    backoff.reset();
                    self.spawn(handler(accepted));
                }
                Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection died in the queue"),
                Err(error) => {
                    let pause = backoff.next(&error);
                    tokio::select! {
                        () = self.stopping.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Lives one connection in a task of its own.
    pub fn spawn<F>(&self, connection: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (cutting, cut) = (self.cutting.clone(), self.cut.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cutting.cancelled() => { cut.fetch_add(1, Ordering::Relaxed); }
                () = connection => {}
            }
        });
    }

    /// Cuts all connections when the guard is dropped.
    pub fn cut_on_drop(&self) -> DropGuard {
        self.cutting.clone().drop_guard()
    }

    /// Waits until all connections have ended, but not longer than `grace`; then cuts the rest and returns how many
    /// those were. To be called when `stopping` is cancelled and every accept loop has returned.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.cutting.cancel();
            self.tasks.wait().await;
        }
        self.cut.load(Ordering::Relaxed)
    }
}

/// Listens on `address`. `::` is dual stack; `SO_REUSEADDR` is set, so that connections in TIME_WAIT of a former
/// server do not keep a new one from its port. Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_with(address, !address.ip().is_unspecified())
}

/// Listens on two addresses at one port, by a socket for each family; port 0: any, the same for both. Must be called within a
/// tokio runtime.
pub(crate) fn listen_on_both(ipv6: Ipv6Addr, ipv4: Ipv4Addr, port: u16) -> io::Result<Vec<TcpListener>> {
    let attempts = if port == 0 { ATTEMPTS } else { 1 };
    let mut error = None;
    for _ in 0..attempts {
        let ipv6 = listen_with((ipv6, port).into(), true)?;
        match listen((ipv4, ipv6.local_addr()?.port()).into()) {
            Ok(ipv4) => return Ok(vec![ipv6, ipv4]),
            Err(refused) => error = Some(refused),
        }
    }
    Err(error.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn listen_with(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    saved_syn::keep(&socket);
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets this process open as many files as it ever may (the soft limit becomes the hard one), and returns how many those
/// are; `None` means no limit. For the program to call before it binds: every connection is a file.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            debug!(%error, "cannot raise the limit of open files");
            limit.current
        }
    }
}

/// An IPv4-mapped IPv6 address as the IPv4 address it stands for; others as they are.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Keeps flow label and scope of a genuine IPv6 address.
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// Whether the other end has closed its side or reset the connection, as the kernel knows at this moment; nothing is read.
/// A client that is killed in the middle of an upload closes its data connection as if it were done: its control
/// connection tells.
pub(crate) fn is_hung_up(socket: SockRef<'_>) -> bool {
    match socket.peek(&mut [std::mem::MaybeUninit::uninit()]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Ends our side and waits for the other to end its own, for a bounded time and number of bytes.
///
/// A socket closed with unread bytes in it sends RST, which may destroy on arrival what was just written. This way the
/// client reads our last words (RFC 9112 section 9.6 says the same of HTTP).
pub async fn close_gently(stream: &mut TcpStream) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const MOST: usize = 256 * 1024;
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let (mut buffer, mut read) = ([0; 4096], 0);
        while read < MOST {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => read += length,
            }
        }
    };
    // Whether it ended by itself makes no difference: dropping the stream is all that is left to do.
    let _ = tokio::time::timeout(PATIENCE, drain).await;
}

fn prepare(stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    Ok(Accepted {
        local: canonical(stream.local_addr()?),
        peer: canonical(peer),
        syn: saved_syn::of(&stream),
        stream,
    })
}

/// Errors that accept(2) passes on from the connection itself, or that a socket gives whose peer is gone already.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
        NotConnected, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | PermissionDenied
            | TimedOut
    )
}

/// The pause after an error that the next accept(2) would meet again.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self, error: &io::Error) -> Duration {
        if self.failures == 0 {
            warn!(%error, "cannot accept connections; waiting (out of file descriptors? see `ulimit -n`)");
        }
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(10 << self.failures.min(7)).min(Duration::from_secs(1))
    }

    fn reset(&mut self) {
        if self.failures > 0 {
            warn!(failures = self.failures, "accepting connections again");
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    async fn serving<H, F>(connections: &Connections, handler: H) -> SocketAddr
    where
        H: Fn(Accepted) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = connections.clone();
        tokio::spawn(async move { connections.serve(listener, handler).await });
        address
    }

    #[tokio::test]
    async fn a_dual_stack_listener_shows_ipv4_peers_as_ipv4() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Connections::new(CancellationToken::new());
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let accepting = connections.clone();
        tokio::spawn(async move {
            accepting
                .serve(listener, move |accepted| {
                    tell.send((accepted.local, accepted.peer)).unwrap();
                    async {}
                })
                .await;
        });
        for target in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            (Ipv6Addr::LOCALHOST, port).into(),
        ] {
            let stream = TcpStream::connect(target).await.unwrap();
            assert_eq!(told.recv().await.unwrap(), (target, stream.local_addr().unwrap()));
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_in_time_is_not_cut_and_one_that_does_not_is() {
        for (heeds_the_stop, expected) in [(true, 0), (false, 1)] {
            let stopping = CancellationToken::new();
            let connections = Connections::new(stopping.clone());
            let told = stopping.clone();
            let address = serving(&connections, move |_accepted| {
                let told = told.clone();
                async move {
                    if heeds_the_stop {
                        told.cancelled().await;
                    } else {
                        std::future::pending::<()>().await;
                    }
                }
            })
            .await;
            let _client = TcpStream::connect(address).await.unwrap();
            while connections.alive() == 0 {
                tokio::task::yield_now().await;
            }
            stopping.cancel();
            let grace = if heeds_the_stop { 60_000 } else { 10 };
            assert_eq!(connections.drain(Duration::from_millis(grace)).await, expected);
            assert_eq!(connections.alive(), 0);
        }
    }

    #[tokio::test]
    async fn a_stopped_loop_frees_its_port() {
        let stopping = CancellationToken::new();
        let connections = Connections::new(stopping.clone());
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        stopping.cancel();
        connections.serve(listener, |_| async {}).await;
        listen(address).unwrap();
    }

    #[tokio::test]
    async fn last_words_arrive_although_the_client_sent_more_than_was_read() {
        let connections = Connections::new(CancellationToken::new());
        let address = serving(&connections, |mut accepted: Accepted| async move {
            accepted.stream.write_all(b"last words").await.unwrap();
            close_gently(&mut accepted.stream).await;
        })
        .await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let allowed = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_file_limit(), allowed);
        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
    }

    #[test]
    fn the_pause_grows_and_stays_within_a_second() {
        let mut backoff = Backoff::default();
        let error = io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..100).map(|_| backoff.next(&error)).collect();
        assert!(pauses.is_sorted());
        assert_eq!(pauses[0], Duration::from_millis(20));
        assert_eq!(pauses[99], Duration::from_secs(1));
        assert!(!concerns_one_connection(&error), "EMFILE is not about one connection");
    }
}
