//! A client that does what it is told and hides nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fwdrill_protocol::ftp_reply::Reply;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::in_time;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

pub(super) struct Client {
    /// `None` only while it is wrapped in TLS.
    control: Option<Box<dyn Stream>>,
    /// The same connection, for what a stream cannot do.
    socket: socket2::Socket,
    unread: Vec<u8>,
    /// Where the control connection goes.
    server: SocketAddr,
    local: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    private: bool,
}

impl Client {
    /// Connects and reads the greeting.
    pub(super) async fn connect(server: SocketAddr) -> Self {
        let (mut client, greeting) = Self::knock(server, None).await;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        // Not part of the conversation any more.
        client.unread.clear();
        client
    }

    /// Connects from an address of the client's choice.
    pub(super) async fn connect_from(source: IpAddr, server: SocketAddr) -> Self {
        let (client, greeting) = Self::knock(server, Some(source)).await;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// Connects; the first reply may be anything.
    pub(super) async fn knock(server: SocketAddr, source: Option<IpAddr>) -> (Self, Reply) {
        let socket = match server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .unwrap();
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).unwrap();
        }
        let stream = in_time(socket.connect(server)).await.unwrap();
        let mut client = Client {
            local: stream.local_addr().unwrap(),
            socket: SockRef::from(&stream).try_clone().unwrap(),
            control: Some(Box::new(stream)),
            unread: Vec::new(),
            server,
            tls: None,
            private: false,
        };
        let greeting = client.reply().await;
        (client, greeting)
    }

    /// The client's end of the control connection.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        let control = self.control.as_mut().unwrap();
        in_time(control.write_all(bytes)).await.unwrap();
        in_time(control.flush()).await.unwrap();
    }

    /// Sends bytes of which the last one is urgent, as Telnet's Synch is.
    pub(super) fn send_urgently(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send_out_of_band(bytes).unwrap(), bytes.len());
    }

    pub(super) async fn reply(&mut self) -> Reply {
        self.reply_or_end().await.expect("the server closed the connection")
    }

    /// The next reply; `None` if the connection ends first, in order or not.
    pub(super) async fn reply_or_end(&mut self) -> Option<Reply> {
        loop {
            if let Some((reply, taken)) = Reply::parse(&self.unread).unwrap() {
                self.unread.drain(..taken);
                return Some(reply);
            }
            let control = self.control.as_mut().unwrap();
            if in_time(control.read_buf(&mut self.unread)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn say(&mut self, line: &str) -> Reply {
        self.send(line).await;
        self.reply().await
    }

    /// Says something to a server that may have closed the connection already.
    pub(super) async fn try_say(&mut self, line: &str) -> Option<Reply> {
        let control = self.control.as_mut().unwrap();
        // If it has, its last words are still to be read.
        let _ = in_time(control.write_all(format!("{line}\r\n").as_bytes())).await;
        self.reply_or_end().await
    }

    /// Whether the connection ends, and not by being cut.
    pub(super) async fn ends_in_order(&mut self) -> bool {
        let control = self.control.as_mut().unwrap();
        in_time(control.read_to_end(&mut self.unread))
            .await
            .is_ok_and(|_| self.unread.is_empty())
    }

    /// Says something that must be answered with this code.
    pub(super) async fn expect(&mut self, code: u16, line: &str) -> Reply {
        let reply = self.say(line).await;
        assert_eq!(reply.code, code, "{line}: {reply:?}");
        reply
    }

    pub(super) async fn login(&mut self, name: &str, password: &str) {
        self.expect(331, &format!("USER {name}")).await;
        self.expect(230, &format!("PASS {password}")).await;
        self.expect(200, "TYPE I").await;
    }

    /// PASV, then a connection to the port it names, at the address the control connection goes to.
    pub(super) async fn passive(&mut self) -> Data {
        let told = self.expect(227, "PASV").await.passive_address().unwrap();
        self.data(told.port()).await
    }

    /// EPSV, likewise.
    pub(super) async fn extended_passive(&mut self) -> Data {
        let port = self.expect(229, "EPSV").await.extended_passive_port().unwrap();
        self.data(port).await
    }

    /// A connection to a port that was told.
    pub(super) async fn data(&self, port: u16) -> Data {
        let socket = match self.server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .unwrap();
        socket.bind(SocketAddr::new(self.local.ip(), 0)).unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let target = SocketAddr::new(self.server.ip(), port);
        Data {
            stream: in_time(socket.connect(target)).await.unwrap(),
        }
    }

    /// A whole download over a data connection that is open already: the bytes and the final reply.
    pub(super) async fn download(&mut self, data: Data, command: &str) -> (Vec<u8>, Reply) {
        let first = self.say(command).await;
        if !first.is_preliminary() {
            return (Vec::new(), first);
        }
        let mut bytes = Vec::new();
        let mut stream = self.wrap(data.stream).await;
        // What came before a reset counts; the reply says the rest.
        let _ = in_time(stream.read_to_end(&mut bytes)).await;
        (bytes, self.reply().await)
    }

    /// What a directory listing command says.
    pub(super) async fn listing(&mut self, command: &str) -> String {
        let data = self.extended_passive().await;
        let (bytes, reply) = self.download(data, command).await;
        assert_eq!(reply.code, 226, "{command}: {reply:?}");
        String::from_utf8(bytes).unwrap()
    }

    /// A whole upload; the final reply.
    pub(super) async fn upload(&mut self, path: &str, bytes: &[u8]) -> Reply {
        let data = self.extended_passive().await;
        let first = self.say(&format!("STOR {path}")).await;
        if !first.is_preliminary() {
            return first;
        }
        let mut stream = self.wrap(data.stream).await;
        // A server that refuses may close before it has read everything.
        let sent = async {
            stream.write_all(bytes).await?;
            stream.shutdown().await
        };
        let _ = in_time(sent).await;
        self.reply().await
    }

    /// AUTH TLS, then PROT P, trusting what `config` trusts.
    pub(super) async fn secure(&mut self, config: Arc<ClientConfig>) {
        self.expect(234, "AUTH TLS").await;
        self.shake_hands(config).await;
        self.expect(200, "PBSZ 0").await;
        self.expect(200, "PROT P").await;
        self.private = true;
    }

    /// What follows a 234.
    pub(super) async fn shake_hands(&mut self, config: Arc<ClientConfig>) {
        assert!(self.unread.is_empty());
        let control = self.control.take().unwrap();
        let name = ServerName::from(self.server.ip());
        let stream = TlsConnector::from(config.clone()).connect(name, control);
        self.control = Some(Box::new(in_time(stream).await.unwrap()));
        self.tls = Some(config);
    }

    /// A data connection as PROT says.
    pub(super) async fn wrap(&self, stream: TcpStream) -> Box<dyn Stream> {
        let Some(config) = self.tls.as_ref().filter(|_| self.private) else {
            return Box::new(stream);
        };
        let name = ServerName::from(self.server.ip());
        let connected = TlsConnector::from(config.clone()).connect(name, stream);
        Box::new(in_time(connected).await.unwrap())
    }
}

/// A data connection, in clear as yet.
pub(super) struct Data {
    pub(super) stream: TcpStream,
}

impl Data {
    /// Ends it as a crashed host does: by RST.
    pub(super) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        in_time(self.stream.write_all(bytes)).await.unwrap();
    }
}
