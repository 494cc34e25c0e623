//! What every command that is a client of an update server is told.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use fwdrill_client::ftp::Passive;
use fwdrill_client::sync::{ClientName, Login, this_host};
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::update_set::PublicKey;

use crate::cli::{EstateArgs, passive, target};

#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// The server: an address or a name [default: server.host of the estate]
    host: Option<String>,
    #[command(flatten)]
    estate: EstateArgs,
    /// Directory for the update sets; a depot that `serve` can serve
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The key that update sets must be signed with: RW... or a file with it; needed for the first sync
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Download over: ftp or http [default: mode of the estate]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How FTP data connections are asked for: auto (EPSV, then PASV), epsv, pasv
    #[arg(long, value_name = "HOW", value_parser = passive, default_value = "auto")]
    passive: Passive,
    /// Name of this client, for its uploads [default: the host's name]
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// FTP user [default: anonymous]
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password of --user
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
}

/// The same, understood.
pub(super) struct Client {
    pub(super) host: String,
    pub(super) estate: Estate,
    pub(super) into: PathBuf,
    pub(super) key: Option<PublicKey>,
    pub(super) passive: Passive,
    pub(super) name: ClientName,
    /// Unset: anonymous.
    pub(super) login: Option<Login>,
}

impl ClientArgs {
    /// What it means, or what is wrong with it.
    pub(super) fn understand(self) -> anyhow::Result<Client> {
        let mode = self.mode.as_ref().map(|mode| ("--mode", "mode", mode.clone()));
        let estate = self.estate.load(mode)?;
        let host = target(self.host, &estate)?;
        let name = match self.client {
            Some(name) => name.parse().with_context(|| format!("--client {name}"))?,
            None => this_host(),
        };
        let key = self
            .public_key
            .as_deref()
            .or(estate.update.public_key.as_deref())
            .map(public_key)
            .transpose()?;
        let login = self.user.zip(self.password);
        Ok(Client {
            host,
            estate,
            into: self.into,
            key,
            passive: self.passive,
            name,
            login: login.map(|(user, password)| Login { user, password }),
        })
    }
}

/// A key as it was given: itself, or a file with it.
pub(super) fn public_key(given: &str) -> anyhow::Result<PublicKey> {
    let text = if given.starts_with("RW") {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).with_context(|| format!("failed to read the public key {given}"))?
    };
    PublicKey::parse(&text).with_context(|| format!("{given} is not a minisign public key"))
}
