//! What a transfer moves: found, opened or begun before any preliminary reply, so that what cannot be had is refused at
//! once.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;

use super::browse::blocking;
use super::command::Type;
use super::download::Download;
use super::failure::refusal;
use super::listing::{self, Listed};
use super::reply::{Reply, quoted};
use super::session::Session;
use super::transfer::Job;
use crate::dropbox::Placement;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Entry, Kind, Tree};

impl Session {
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
        let list = move |tree: &Tree, path: VirtualPath| {
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
        };
        let text = self.in_tree(argument, list).await;
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
        let make = |tree: &Tree, path| {
            tree.make_directory(&path).map_err(refusal)?;
            Ok(path)
        };
        let made = self.in_tree(argument, make).await;
        let reply = made.map_or_else(
            |reply| reply,
            |path| Reply::new(257, format!("{} is there", quoted(path))),
        );
        self.control.reply(&reply).await
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
}

fn lines(lines: impl Iterator<Item = String>) -> Bytes {
    let text = lines.fold(String::new(), |mut text, line| {
        text.push_str(&line);
        text.push_str("\r\n");
        text
    });
    text.into()
}
