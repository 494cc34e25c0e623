//! An FTP client that hides nothing: one line out, one reply back, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use fwdrill_protocol::ftp_reply::Reply;

/// Nothing on loopback takes longer.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Session {
    control: BufReader<TcpStream>,
}

impl Session {
    pub(crate) fn connect(server: SocketAddr) -> Session {
        let control = TcpStream::connect_timeout(&server, LIMIT).unwrap();
        control.set_read_timeout(Some(LIMIT)).unwrap();
        control.set_nodelay(true).unwrap();
        let mut session = Session {
            control: BufReader::new(control),
        };
        assert_eq!(session.reply().code, 220);
        session
    }

    /// Logged in, and in binary mode.
    pub(crate) fn anonymous(server: SocketAddr) -> Session {
        let mut session = Session::connect(server);
        assert_eq!(session.login("anonymous", "x").code, 230);
        assert_eq!(session.say("TYPE I").code, 200);
        session
    }

    pub(crate) fn login(&mut self, user: &str, password: &str) -> Reply {
        assert_eq!(self.say(&format!("USER {user}")).code, 331);
        self.say(&format!("PASS {password}"))
    }

    pub(crate) fn say(&mut self, command: &str) -> Reply {
        self.send(command);
        self.reply()
    }

    /// The reply to a command as it came over the wire.
    pub(crate) fn say_raw(&mut self, command: &str) -> String {
        self.send(command);
        self.line()
    }

    /// A data connection to the port that PASV names, on the host that the control connection goes to.
    pub(crate) fn passive(&mut self) -> TcpStream {
        let reply = self.say("PASV");
        let told = reply.passive_address().unwrap_or_else(|| panic!("{reply:?}"));
        let host = self.control.get_ref().peer_addr().unwrap().ip();
        let data = TcpStream::connect_timeout(&SocketAddr::new(host, told.port()), LIMIT).unwrap();
        data.set_read_timeout(Some(LIMIT)).unwrap();
        data
    }

    /// What a command sends over a data connection, and its last reply.
    pub(crate) fn fetch(&mut self, command: &str) -> (Vec<u8>, Reply) {
        let (bytes, reply, _) = self.fetch_from_port(command);
        (bytes, reply)
    }

    /// The same, and the passive port it came from.
    pub(crate) fn fetch_from_port(&mut self, command: &str) -> (Vec<u8>, Reply, u16) {
        let mut data = self.passive();
        let port = data.peer_addr().unwrap().port();
        let mut bytes = Vec::new();
        let mut reply = self.say(command);
        if reply.is_preliminary() {
            data.read_to_end(&mut bytes).unwrap();
            reply = self.reply();
        }
        (bytes, reply, port)
    }

    /// Stores a file; the last reply.
    pub(crate) fn store(&mut self, path: &str, bytes: &[u8]) -> Reply {
        let mut data = self.passive();
        let reply = self.say(&format!("STOR {path}"));
        if !reply.is_preliminary() {
            return reply;
        }
        // A server that refuses after its 150 may have closed the connection already: the reply decides.
        let _ = data.write_all(bytes).and_then(|()| data.shutdown(Shutdown::Write));
        drop(data);
        self.reply()
    }

    fn send(&mut self, command: &str) {
        let line = format!("{command}\r\n");
        self.control.get_mut().write_all(line.as_bytes()).unwrap();
    }

    fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            text.push_str(&self.line());
            if let Some((reply, _)) = Reply::parse(text.as_bytes()).unwrap() {
                return reply;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.control.read_line(&mut line).unwrap();
        assert_ne!(read, 0, "the server closed the control connection");
        line
    }
}
