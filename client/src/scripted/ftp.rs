use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Tree, accept, reset};

/// An FTP server with just the commands a client of ours sends.
pub(crate) struct FtpServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    tree: Mutex<Tree>,
    faults: Mutex<FtpFaults>,
    commands: Mutex<Vec<String>>,
    uploads: Mutex<BTreeMap<String, Vec<u8>>>,
    sessions: AtomicUsize,
}

/// What the server does wrong.
#[derive(Default, Clone)]
pub(crate) struct FtpFaults {
    /// In place of 220.
    pub(crate) greeting: Option<&'static str>,
    /// In place of the reply to this command.
    pub(crate) replies: Vec<(&'static str, &'static str)>,
    /// The port in 229 is one that nobody listens on.
    pub(crate) epsv_leads_nowhere: bool,
    /// One for each transfer of more bytes than that, in turn: closed after so many.
    pub(crate) cuts: VecDeque<usize>,
    /// A cut is a reset, not an orderly close.
    pub(crate) cuts_reset: bool,
    /// The data connection stands, but nothing is sent over it.
    pub(crate) data_silent: bool,
    /// After the data, the control connection is closed without a final reply.
    pub(crate) no_final_reply: bool,
    /// But not for these.
    pub(crate) spared: Vec<&'static str>,
    /// Every other session sees the second tree, the rest the first.
    pub(crate) alternates: Option<(Tree, Tree)>,
    /// So many uploads are cut off by the server.
    pub(crate) store_failures: usize,
    /// Once so many bytes of an upload have come, the server has had enough.
    pub(crate) store_limit: Option<usize>,
    /// These files are served with one byte changed.
    pub(crate) wrong: Vec<String>,
    /// Each command sees the newest tree, not the one of the login.
    pub(crate) not_pinned: bool,
    /// Put in place as the tree once this file has been asked for.
    pub(crate) publish_after: Option<(String, Tree)>,
    /// A directory has to be made before something can be stored in it.
    pub(crate) wants_mkd: bool,
}

impl FtpServer {
    pub(crate) async fn start(tree: Tree, faults: FtpFaults) -> Self {
        let state = Arc::new(State {
            tree: Mutex::new(tree),
            faults: Mutex::new(faults),
            ..State::default()
        });
        let shared = state.clone();
        let (address, task) = accept(move |stream| Session::run(stream, shared.clone())).await;
        FtpServer {
            address,
            state,
            _task: task,
        }
    }

    pub(crate) fn set_tree(&self, tree: Tree) {
        *self.state.tree.lock().unwrap() = tree;
    }

    pub(crate) fn set_faults(&self, faults: FtpFaults) {
        *self.state.faults.lock().unwrap() = faults;
    }

    /// Every command that came, of all sessions.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap().clone()
    }

    pub(crate) fn forget_commands(&self) {
        self.state.commands.lock().unwrap().clear();
    }

    pub(crate) fn uploads(&self) -> BTreeMap<String, Vec<u8>> {
        self.state.uploads.lock().unwrap().clone()
    }
}

struct Session {
    state: Arc<State>,
    control: BufReader<TcpStream>,
    tree: Tree,
    passive: Option<TcpListener>,
    offset: usize,
    made: Vec<String>,
}

impl Session {
    async fn run(stream: TcpStream, state: Arc<State>) {
        let earlier = state.sessions.fetch_add(1, Ordering::SeqCst);
        let tree = match state.faults.lock().unwrap().alternates.clone() {
            Some((_, second)) if earlier % 2 == 1 => second,
            Some((first, _)) => first,
            None => state.tree.lock().unwrap().clone(),
        };
        let mut session = Session {
            state,
            control: BufReader::new(stream),
            tree,
            passive: None,
            offset: 0,
            made: Vec::new(),
        };
        // A client that goes away in the middle is an everyday matter.
        let _ = session.serve().await;
    }

    fn faults(&self) -> FtpFaults {
        self.state.faults.lock().unwrap().clone()
    }

    async fn say(&mut self, reply: &str) -> std::io::Result<()> {
        self.control.write_all(format!("{reply}\r\n").as_bytes()).await
    }

    async fn serve(&mut self) -> std::io::Result<()> {
        let greeting = self.faults().greeting.unwrap_or("220 scripted");
        self.say(greeting).await?;
        loop {
            let mut line = String::new();
            if self.control.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            self.state.commands.lock().unwrap().push(line.to_owned());
            let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
            let fault = self.faults().replies.into_iter().find(|(command, _)| *command == verb);
            if let Some((_, reply)) = fault {
                self.say(reply).await?;
                continue;
            }
            match verb {
                "USER" => self.say("331 password?").await?,
                "PASS" => self.say("230 in").await?,
                "TYPE" => self.say("200 binary").await?,
                "PASV" => self.pasv().await?,
                "EPSV" => self.epsv().await?,
                "REST" => {
                    self.offset = argument.parse().unwrap();
                    self.say("350 restarting").await?;
                }
                "SIZE" => match self.tree.get(argument).map(Vec::len) {
                    Some(size) => self.say(&format!("213 {size}")).await?,
                    None => self.say("550 no such file").await?,
                },
                "RETR" => {
                    if !self.retr(argument).await? {
                        return Ok(());
                    }
                }
                "STOR" => self.stor(argument).await?,
                "MKD" => {
                    self.made.push(argument.to_owned());
                    self.say(&format!("257 \"{argument}\" made")).await?;
                }
                "QUIT" => return self.say("221 bye").await,
                _ => self.say("502 not scripted").await?,
            }
        }
    }

    async fn pasv(&mut self) -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let [high, low] = listener.local_addr()?.port().to_be_bytes();
        self.passive = Some(listener);
        self.say(&format!("227 Entering Passive Mode (127,0,0,1,{high},{low})"))
            .await
    }

    async fn epsv(&mut self) -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        self.passive = (!self.faults().epsv_leads_nowhere).then_some(listener);
        self.say(&format!("229 Entering Extended Passive Mode (|||{port}|)"))
            .await
    }

    async fn data(&mut self) -> std::io::Result<TcpStream> {
        let listener = self.passive.take().ok_or(std::io::ErrorKind::NotConnected)?;
        Ok(listener.accept().await?.0)
    }

    /// Whether the session goes on.
    async fn retr(&mut self, path: &str) -> std::io::Result<bool> {
        let faults = self.faults();
        if faults.not_pinned {
            self.tree = self.state.tree.lock().unwrap().clone();
        }
        let offset = std::mem::take(&mut self.offset);
        let Some(mut bytes) = self.tree.get(path).cloned() else {
            self.say("550 no such file").await?;
            return Ok(true);
        };
        if let Some((after, tree)) = faults.publish_after
            && after == path
        {
            *self.state.tree.lock().unwrap() = tree;
            self.state.faults.lock().unwrap().publish_after = None;
        }
        if faults.wrong.iter().any(|wrong| wrong == path) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        self.say("150 here it comes").await?;
        let mut data = self.data().await?;
        let rest = &bytes[offset.min(bytes.len())..];
        let cut = {
            let mut faults = self.state.faults.lock().unwrap();
            let due = faults.cuts.front().is_some_and(|at| *at < rest.len());
            due.then(|| faults.cuts.pop_front()).flatten()
        };
        if faults.data_silent {
            // Until the client gives up.
            let _ = data.read(&mut [0; 1]).await;
            return Ok(false);
        }
        if let Some(at) = cut {
            data.write_all(&rest[..at]).await?;
            if faults.cuts_reset {
                reset(data);
            } else {
                drop(data);
            }
            self.say("426 cut as told").await?;
            return Ok(true);
        }
        data.write_all(rest).await?;
        data.shutdown().await?;
        if faults.no_final_reply && !faults.spared.contains(&path) {
            return Ok(false);
        }
        self.say("226 that was all").await?;
        Ok(true)
    }

    async fn stor(&mut self, path: &str) -> std::io::Result<()> {
        let faults = self.faults();
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        if faults.wants_mkd && !self.made.iter().any(|made| made == directory) {
            return self.say("550 no such directory").await;
        }
        self.say("150 give it here").await?;
        let mut data = self.data().await?;
        let mut bytes = Vec::new();
        if faults.store_failures > 0 {
            self.state.faults.lock().unwrap().store_failures -= 1;
            reset(data);
            return self.say("426 cut as told").await;
        }
        let limit = faults.store_limit.unwrap_or(usize::MAX);
        loop {
            match data.read_buf(&mut bytes).await {
                Ok(0) => break,
                Ok(_) if bytes.len() > limit => {
                    reset(data);
                    return self.say("552 quota exceeded").await;
                }
                Ok(_) => {}
                // Nothing of an upload that was given up stays.
                Err(_) => return self.say("426 data connection lost").await,
            }
        }
        self.state.uploads.lock().unwrap().insert(path.to_owned(), bytes);
        self.say("226 stored").await
    }
}
