//! A transparent proxy or load balancer: every connection is accepted at once, and only then is the server asked. If it
//! does not answer, the client's connection ends without a byte.

use std::net::IpAddr;

use clap::Args;
use tokio::net::TcpStream;

use super::proxy::{join, listen, original_destination};

#[derive(Debug, Args)]
pub(crate) struct AcceptAllArgs {
    /// The port that connections are redirected to
    #[arg(long, value_name = "PORT", default_value = "3128")]
    listen: u16,
    /// The server; its port is the one that the client wanted
    #[arg(long, value_name = "ADDRESS")]
    to: IpAddr,
}

pub(super) async fn run(args: AcceptAllArgs) -> anyhow::Result<()> {
    let listener = listen(args.listen).await?;
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let Some(wanted) = original_destination(&client) else {
            continue;
        };
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect((args.to, wanted.port())).await {
                join(client, server).await;
            }
        });
    }
}
