//! A server that has hung: the kernel accepts for it, and nobody ever says a word.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct HungArgs {
    /// Its port
    #[arg(long, value_name = "PORT")]
    listen: u16,
}

pub(super) async fn run(args: HungArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, args.listen));
    let _listener = listener.with_context(|| format!("failed to listen on port {}", args.listen))?;
    super::ready();
    std::future::pending().await
}
