//! A whole server on loopback, spoken to by raw sockets.

mod conditions;
mod console;
mod drills;
mod events;
mod lifecycle;
mod limits;
mod ranges;
mod sentinels;
mod tasks;
mod tls;
mod tree;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::estate::{Estate, Tls};
use fwdrill_protocol::flow::Flow;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::store::Store;
use crate::tasks::TaskDesk;
use crate::testing::TestDepot;
use crate::{Config, Role, Server};

/// Nothing on loopback takes this long, unless it never comes.
const ENOUGH: Duration = Duration::from_secs(60);

/// Estate, depot and state of a server that is not started yet: every port 0 on 127.0.0.1, FTP off.
struct Place {
    depot: TestDepot,
    state: TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let (depot, state) = (TestDepot::new(), tempfile::tempdir().unwrap());
        let config = Config::new(loopback(), Role::Server, depot.path(), state.path());
        Place { depot, state, config }
    }

    async fn start(&self) -> Running {
        start(self.config.clone()).await
    }
}

fn loopback() -> Estate {
    let mut estate = Estate::default();
    estate.server.bind = Ipv4Addr::LOCALHOST.into();
    estate.ftp.enabled = false;
    estate.ftp.tls = Tls::Off;
    estate.ftp.passive_ports = Default::default();
    Flow::ALL.into_iter().for_each(|flow| estate.set_port(flow, 0));
    estate
}

/// A server that runs until it is stopped or dropped.
struct Running {
    announcement: fwdrill_protocol::announcement::Announcement,
    journal: Journal,
    console_password: Option<String>,
    store: Option<Store>,
    tasks: Option<TaskDesk>,
    shutdown: CancellationToken,
    run: JoinHandle<usize>,
}

async fn start(config: Config) -> Running {
    let server = Server::bind(config).await.unwrap();
    let shutdown = CancellationToken::new();
    Running {
        announcement: server.announcement().clone(),
        journal: server.journal().clone(),
        console_password: server.console_password().map(str::to_owned),
        store: server.store().cloned(),
        tasks: server.tasks().cloned(),
        run: tokio::spawn(server.run(shutdown.clone())),
        shutdown,
    }
}

impl Running {
    fn address(&self, flow: Flow) -> SocketAddr {
        self.announcement.addresses[&flow]
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn connect(&self, flow: Flow) -> Wire {
        Wire::new(TcpStream::connect(self.address(flow)).await.unwrap())
    }

    /// A client whose kernel takes little that it does not read.
    async fn connect_narrow(&self, flow: Flow) -> Wire {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&self.address(flow).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Wire::new(TcpStream::from_std(socket.into()).unwrap())
    }

    /// One request on a connection of its own.
    async fn ask(&self, flow: Flow, head: &str) -> Answer {
        self.connect(flow).await.ask(head).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Flow::Http, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n"))
            .await
    }

    /// Stops the server; returns how many connections were cut.
    async fn stop(self) -> usize {
        self.shutdown.cancel();
        in_time(self.run).await.unwrap()
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(ENOUGH, future).await.expect("it never came")
}

/// A raw connection. Requests are written without their last empty line.
struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Wire {
            stream,
            unread: Vec::new(),
        }
    }

    async fn send(&mut self, text: &str) {
        in_time(self.stream.write_all(text.as_bytes())).await.unwrap();
    }

    async fn ask(&mut self, head: &str) -> Answer {
        self.send(&format!("{head}\r\n")).await;
        self.answer(head.starts_with("HEAD ")).await
    }

    async fn answer(&mut self, without_body: bool) -> Answer {
        let mut answer = self.head().await;
        if !(without_body || matches!(answer.status, 204 | 304)) {
            let length = answer.field("content-length").unwrap().parse().unwrap();
            answer.body = self.take(length).await;
        }
        answer
    }

    /// The status line and fields of an answer.
    async fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.more().await > 0,
                "the connection ended: {:?}",
                self.unread.escape_ascii().to_string()
            );
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        Answer::parse(std::str::from_utf8(&head).unwrap())
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.more().await > 0, "the connection ended before the body did");
        }
        self.unread.drain(..length).collect()
    }

    /// Everything up to the end of the connection, which comes in order: a reset would be an error.
    async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Everything up to the end of the connection, however it ends.
    async fn rest_or_reset(&mut self) -> Vec<u8> {
        while in_time(self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) > 0 {}
        std::mem::take(&mut self.unread)
    }

    async fn more(&mut self) -> usize {
        in_time(self.stream.read_buf(&mut self.unread)).await.unwrap()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Answer {
            status,
            fields: lines.map(field).collect(),
            body: Vec::new(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(given, _)| given == name);
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice");
        first
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Bytes that tell where they are from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 251 + n) as u8).collect()
}
