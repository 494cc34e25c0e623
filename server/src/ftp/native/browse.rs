//! The commands that look at the tree or prepare a transfer.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use bytes::Bytes;
use fwdrill_protocol::estate::Tls;
use fwdrill_protocol::ftp_reply;
use jiff::Timestamp;
use tokio::time::Instant;

use super::command::{Epsv, Type};
use super::download::Download;
use super::listing::{self, FACTS, Listed};
use super::passive::Passive;
use super::reply::{Reply, quoted};
use super::session::Session;
use super::transfer::{Job, upload_code};
use crate::dropbox::Placement;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Entry, Kind, Tree, TreeError};

impl Session {
    pub(super) fn pwd(&self) -> Reply {
        Reply::new(
            257,
            format!("{} is the current directory", quoted(&self.settings.directory)),
        )
    }

    pub(super) fn cwd(&mut self, path: &str) -> Reply {
        let entered = self.path(path).and_then(|path| {
            self.tree()?.enter(&path).map_err(refusal)?;
            Ok(path)
        });
        match entered {
            Ok(path) => {
                let reply = Reply::new(250, format!("{} is the current directory", quoted(&path)));
                self.settings.directory = path;
                reply
            }
            Err(reply) => reply,
        }
    }

    /// RFC 3659 section 4: the size as it would be sent. In ASCII nobody knows it who has not read the file.
    pub(super) fn size(&self, path: &str) -> Reply {
        match self.file(path) {
            Ok(_) if self.settings.form == Type::Ascii => Reply::new(550, "The size is known for TYPE I only"),
            Ok(entry) => Reply::new(213, entry.size),
            Err(reply) => reply,
        }
    }

    pub(super) fn mdtm(&self, path: &str) -> Reply {
        self.file(path)
            .map_or_else(|reply| reply, |entry| Reply::new(213, listing::time(&entry)))
    }

    pub(super) fn mlst(&self, path: &str) -> Reply {
        let line = || {
            let path = self.path(path)?;
            let entry = self.tree()?.entry(&path).map_err(refusal)?;
            Ok(format!("{}{path}", listing::facts(&entry, &path, self.settings.facts)))
        };
        line().map_or_else(|reply| reply, |line| Reply::list(250, "Facts", [line], "End"))
    }

    pub(super) fn opts_mlst(&mut self, facts: &str) -> Reply {
        self.settings.facts = listing::wanted(facts);
        let used: String = (FACTS.iter().zip(self.settings.facts))
            .filter(|(_, wanted)| *wanted)
            .map(|(fact, _)| format!("{fact};"))
            .collect();
        Reply::new(200, format!("MLST OPTS {used}"))
    }

    pub(super) fn status(&self) -> Reply {
        let lines = [
            format!("Connected from {}", self.witness.peer().ip()),
            format!("TLS: {}", if self.login.is_secure() { "yes" } else { "no" }),
            format!("Type: {:?}; mode: Stream; structure: File", self.settings.form),
            match &self.passive {
                Passive::None => "No data connection".to_owned(),
                Passive::Listening(_) => "Waiting for a data connection".to_owned(),
                Passive::Connected(_) => "The data connection is open".to_owned(),
            },
        ];
        Reply::list(211, "fwdrill update server", lines, "End")
    }

    /// STAT with a path: LIST over the control connection.
    pub(super) async fn stat(&mut self, argument: &str) -> io::Result<()> {
        let reply = match self.find(argument).await {
            Ok(listed) => {
                let now = Timestamp::now();
                let lines = listed.entries.iter().map(|entry| listing::long(entry, now));
                Reply::list(213, "Status", lines, "End")
            }
            Err(reply) => reply,
        };
        self.control.reply(&reply).await
    }

    pub(super) async fn list(&mut self, argument: &str) -> io::Result<()> {
        let now = Timestamp::now();
        let listed = self.find(argument).await;
        let text = listed.map(|listed| lines(listed.entries.iter().map(|entry| listing::long(entry, now))));
        self.send_listing(text).await
    }

    pub(super) async fn nlst(&mut self, argument: &str) -> io::Result<()> {
        let listed = self.find(argument).await;
        let text = listed.map(|Listed { entries, prefix }| {
            lines(entries.iter().map(|entry| format!("{prefix}{name}", name = entry.name)))
        });
        self.send_listing(text).await
    }

    pub(super) async fn mlsd(&mut self, argument: &str) -> io::Result<()> {
        let facts = self.settings.facts;
        let listed = self.path(argument).and_then(|path| Ok((self.tree()?.clone(), path)));
        let text = match listed {
            Err(reply) => Err(reply),
            Ok((tree, path)) => blocking(move || {
                match tree.entry(&path) {
                    Ok(entry) if entry.kind == Kind::File => return Err(Reply::new(501, "That is no directory")),
                    // A client's directory can be listed before it is there.
                    _ => {}
                }
                let entries = tree.list(&path).map_err(refusal)?;
                let line = |entry: &Entry| {
                    let of = path.join(&entry.name).unwrap_or_default();
                    format!("{}{}", listing::facts(entry, &of, facts), entry.name)
                };
                Ok(lines(entries.iter().map(line)))
            })
            .await
            .flatten(),
        };
        self.send_listing(text).await
    }

    pub(super) async fn retr(&mut self, argument: &str) -> io::Result<()> {
        let start = std::mem::take(&mut self.settings.restart);
        let form = self.settings.form;
        let opened = self.path(argument).and_then(|path| {
            self.login.check_protection(self.site.tls)?;
            let content = self.tree()?.open(&path).map_err(refusal)?;
            match start {
                1.. if form == Type::Ascii => Err(Reply::new(554, "REST is for TYPE I")),
                _ if start > content.size => Err(Reply::new(554, format!("The file has {} bytes", content.size))),
                _ => Ok(Job::Download(path, Download { content, start, form })),
            }
        });
        self.begin(opened).await
    }

    pub(super) async fn stor(&mut self, argument: &str, placement: Placement) -> io::Result<()> {
        let start = std::mem::take(&mut self.settings.restart);
        let form = self.settings.form;
        let wanted = self.path(argument).and_then(|path| {
            self.login.check_protection(self.site.tls)?;
            match start {
                // Half an upload is never kept, so there is none to go on with.
                1.. => Err(Reply::new(554, "An upload cannot be resumed")),
                0 => Ok((self.tree()?.clone(), path)),
            }
        });
        let begun = match wanted {
            Err(reply) => Err(reply),
            Ok((tree, path)) => {
                let begun = blocking(move || {
                    let upload = tree.upload(&path, placement).map_err(refusal)?;
                    Ok(Job::Upload(path, Box::new(upload), form))
                });
                begun.await.flatten()
            }
        };
        self.begin(begun).await
    }

    pub(super) async fn mkd(&mut self, argument: &str) -> io::Result<()> {
        let made = match self.path(argument).and_then(|path| Ok((self.tree()?.clone(), path))) {
            Err(reply) => Err(reply),
            Ok((tree, path)) => blocking(move || {
                tree.make_directory(&path).map_err(refusal)?;
                Ok(path)
            })
            .await
            .flatten(),
        };
        let reply = made.map_or_else(
            |reply| reply,
            |path| Reply::new(257, format!("{} is there", quoted(path))),
        );
        self.control.reply(&reply).await
    }

    pub(super) async fn pasv(&mut self) -> io::Result<()> {
        let (peer, local) = (self.witness.peer().ip(), self.witness.local().ip());
        if self.settings.extended_only {
            return self.control.reply(&Reply::new(501, "You have said EPSV ALL")).await;
        }
        match self.site.advertised.address_for(peer, local) {
            Err(error) => self.control.reply(&Reply::new(425, error)).await,
            Ok(address) => {
                self.listen(|port| ftp_reply::Reply::passive(SocketAddrV4::new(address, port)))
                    .await
            }
        }
    }

    pub(super) async fn epsv(&mut self, which: Epsv) -> io::Result<()> {
        let ours = if self.witness.local().is_ipv4() { 1 } else { 2 };
        match which {
            Epsv::All => {
                self.settings.extended_only = true;
                self.control
                    .reply(&Reply::new(200, "Nothing but EPSV from here on"))
                    .await
            }
            Epsv::Protocol(protocol) if protocol != ours => {
                let text = format!("This connection has another protocol, use ({ours})");
                self.control.reply(&Reply::new(522, text)).await
            }
            Epsv::Any | Epsv::Protocol(_) => self.listen(ftp_reply::Reply::extended_passive).await,
        }
    }

    /// Listens on a port of the pool and tells it to the client. What there was before is closed first.
    async fn listen(&mut self, told: impl FnOnce(u16) -> ftp_reply::Reply) -> io::Result<()> {
        self.passive = Passive::None;
        let Ok(lease) = self.site.lend(&self.witness) else {
            let reply = Reply::new(425, "No passive port is free, try again later");
            return self.control.reply(&reply).await;
        };
        let reply = told(lease.address().port());
        self.passive = Passive::listen(lease, Instant::now() + self.site.limits.data_connect)?;
        self.control.reply(&Reply::from(&reply)).await?;
        self.witness.passive_reply(&reply);
        Ok(())
    }

    async fn send_listing(&mut self, text: Result<Bytes, Reply>) -> io::Result<()> {
        self.settings.restart = 0;
        let checked = self.login.check_protection(self.site.tls).and(text);
        self.begin(checked.map(Job::Listing)).await
    }

    /// What cannot be had is refused before a preliminary reply.
    async fn begin(&mut self, job: Result<Job, Reply>) -> io::Result<()> {
        match job {
            Ok(job) => self.transfer(job).await,
            Err(reply) => self.control.reply(&reply).await,
        }
    }

    async fn find(&self, argument: &str) -> Result<Listed, Reply> {
        let path = self.path(argument)?;
        let (tree, directory, argument) = (
            self.tree()?.clone(),
            self.settings.directory.clone(),
            argument.to_owned(),
        );
        let find = move || listing::find(&tree, &directory, &argument, &path).map_err(refusal);
        blocking(find).await.flatten()
    }

    fn file(&self, path: &str) -> Result<Entry, Reply> {
        let entry = self.tree()?.entry(&self.path(path)?).map_err(refusal)?;
        match entry.kind {
            Kind::File => Ok(entry),
            Kind::Directory | Kind::DropBox => Err(Reply::new(550, "That is no file")),
        }
    }

    fn path(&self, argument: &str) -> Result<VirtualPath, Reply> {
        let joined = self.settings.directory.join(argument);
        joined.map_err(|error| Reply::new(501, error))
    }

    fn tree(&self) -> Result<&Arc<Tree>, Reply> {
        self.login.guest().ok_or_else(|| Reply::new(530, "Log in first"))
    }
}

/// FEAT (RFC 2389).
pub(super) fn features(tls: Tls) -> Reply {
    let facts: String = FACTS.iter().map(|fact| format!("{fact}*;")).collect();
    let mut features = vec!["EPSV".to_owned(), "MDTM".to_owned(), format!("MLST {facts}")];
    features.extend(["REST STREAM", "SIZE", "TVFS", "UTF8"].map(str::to_owned));
    if tls != Tls::Off {
        features.extend(["AUTH TLS", "PBSZ", "PROT"].map(str::to_owned));
        features.sort();
    }
    Reply::list(211, "Features:", features, "End")
}

pub(super) fn help() -> Reply {
    let commands = [
        "USER PASS REIN QUIT AUTH PBSZ PROT",
        "PWD CWD CDUP LIST NLST MLSD MLST SIZE MDTM STAT",
        "TYPE MODE STRU REST ALLO OPTS FEAT SYST NOOP HELP SITE",
        "PASV EPSV RETR STOR APPE MKD ABOR",
    ];
    Reply::list(214, "Commands:", commands, "Uploads go to /upload/<client>/")
}

fn lines(lines: impl Iterator<Item = String>) -> Bytes {
    let text = lines.fold(String::new(), |mut text, line| {
        text.push_str(&line);
        text.push_str("\r\n");
        text
    });
    text.into()
}

fn refusal(error: TreeError) -> Reply {
    let code = match &error {
        TreeError::Upload(error) => upload_code(error),
        TreeError::List(_) => 451,
        _ => 550,
    };
    Reply::new(code, error)
}

/// The drop box blocks; not on a thread that others wait for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Reply> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Reply::new(451, "A local error"))
}
