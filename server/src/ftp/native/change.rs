//! DELE, RMD, RNFR and RNTO: for users with a password, in the drop box.

use std::io;

use super::failure::refusal;
use super::reply::Reply;
use super::session::Session;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Tree, TreeError};

impl Session {
    pub(super) async fn dele(&mut self, path: &str) -> io::Result<()> {
        self.change(path, "It is gone", |tree, path| tree.remove(path)).await
    }

    pub(super) async fn rmd(&mut self, path: &str) -> io::Result<()> {
        self.change(path, "It is gone", |tree, path| tree.remove_directory(path))
            .await
    }

    /// Says at once what cannot be renamed. The next command must be RNTO (RFC 959 section 4.1.3).
    pub(super) async fn rnfr(&mut self, argument: &str) -> io::Result<()> {
        let check = |tree: &Tree, path| tree.check_changeable(&path).map(|()| path).map_err(refusal);
        let found = self.in_tree(argument, check).await;
        let reply = match found {
            Ok(path) => {
                self.settings.rename_from = Some(path);
                Reply::new(350, "RNTO is to say the new name")
            }
            Err(reply) => reply,
        };
        self.control.reply(&reply).await
    }

    pub(super) async fn rnto(&mut self, argument: &str, from: Option<VirtualPath>) -> io::Result<()> {
        match from {
            None => self.control.reply(&Reply::new(503, "RNFR must come first")).await,
            Some(from) => {
                self.change(argument, "It has the new name", move |tree, to| tree.rename(&from, to))
                    .await
            }
        }
    }

    async fn change(
        &mut self,
        argument: &str,
        done: &str,
        work: impl FnOnce(&Tree, &VirtualPath) -> Result<(), TreeError> + Send + 'static,
    ) -> io::Result<()> {
        let change = |tree: &Tree, path| work(tree, &path).map_err(refusal);
        let changed = self.in_tree(argument, change).await;
        let reply = changed.map_or_else(|reply| reply, |()| Reply::new(250, done));
        self.control.reply(&reply).await
    }
}
