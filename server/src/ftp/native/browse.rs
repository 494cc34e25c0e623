//! The commands that look at the tree and answer on the control connection.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::command::Type;
use super::failure::refusal;
use super::listing::{self, FACTS, Listed};
use super::passive::Prepared;
use super::reply::{Reply, quoted};
use super::session::Session;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Entry, Kind, Tree};

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
            match &self.prepared {
                Prepared::None => "No data connection".to_owned(),
                Prepared::Listening(_) => "Waiting for a data connection".to_owned(),
                Prepared::Connected(_) => "The data connection is open".to_owned(),
                Prepared::Active(to) => format!("The data connection will go to {to}"),
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

    /// Does something with a path of the tree that may block.
    pub(super) async fn in_tree<T: Send + 'static>(
        &self,
        argument: &str,
        work: impl FnOnce(&Tree, VirtualPath) -> Result<T, Reply> + Send + 'static,
    ) -> Result<T, Reply> {
        let path = self.path(argument)?;
        let tree = self.tree()?.clone();
        blocking(move || work(&tree, path)).await.flatten()
    }

    pub(super) async fn find(&self, argument: &str) -> Result<Listed, Reply> {
        let (directory, wanted) = (self.settings.directory.clone(), argument.to_owned());
        let find = move |tree: &Tree, path| listing::find(tree, &directory, &wanted, &path).map_err(refusal);
        self.in_tree(argument, find).await
    }

    fn file(&self, path: &str) -> Result<Entry, Reply> {
        let entry = self.tree()?.entry(&self.path(path)?).map_err(refusal)?;
        match entry.kind {
            Kind::File => Ok(entry),
            Kind::Directory | Kind::DropBox => Err(Reply::new(550, "That is no file")),
        }
    }

    pub(super) fn path(&self, argument: &str) -> Result<VirtualPath, Reply> {
        let joined = self.settings.directory.join(argument);
        joined.map_err(|error| Reply::new(501, error))
    }

    pub(super) fn tree(&self) -> Result<&Arc<Tree>, Reply> {
        self.login.guest().ok_or_else(|| Reply::new(530, "Log in first"))
    }
}

/// The drop box blocks; not on a thread that others wait for.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Reply> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Reply::new(451, "A local error"))
}
