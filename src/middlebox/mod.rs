//! Middleboxes of rehearsals: hidden subcommands, one misbehaviour per file.
//!
//! Those with `--between A --between B` stand in a cable: frames pass through packet sockets (packet(7)), which an ordinary
//! user may open in a network namespace of his own (unlike /dev/net/tun), and hosts on both sides notice nothing.
//! The others are servers on a host, to which its firewall redirects connections.
//! Each says one line on stdout when it is ready.

mod accept_all;
mod byte_flipper;
mod caching_proxy;
mod delay_loss;
mod dpi;
mod frame;
mod ftp_phrasing;
mod full_backlog;
mod hung;
mod port_holder;
mod proxy;
mod strip_options;
mod tls_proxy;
mod web_page;
mod wire;

use clap::Subcommand;

use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Kind {
    /// A transparent proxy that accepts every connection before it asks the server
    AcceptAll(accept_all::AcceptAllArgs),
    /// A cable that changes a byte of every download
    ByteFlipper(byte_flipper::ByteFlipperArgs),
    /// A transparent cache that does not ask whether its copies are fresh
    CachingProxy(caching_proxy::CachingProxyArgs),
    /// A cable that delays packets, and loses some
    DelayLoss(delay_loss::DelayLossArgs),
    /// A cable that ends connections in which it reads something
    Dpi(dpi::DpiArgs),
    /// A cable that changes the form of 227 replies, not what they say
    FtpPhrasing(ftp_phrasing::FtpPhrasingArgs),
    /// A server whose accept queue is full
    FullBacklog(full_backlog::FullBacklogArgs),
    /// A server that listens and never accepts
    Hung(hung::HungArgs),
    /// Clients that hold passive ports and do not use them
    PortHolder(port_holder::PortHolderArgs),
    /// A cable that takes options out of SYN segments
    StripOptions(strip_options::StripOptionsArgs),
    /// A proxy that ends TLS and shows a certificate of its own
    TlsProxy(tls_proxy::TlsProxyArgs),
    /// A filter or portal that answers every HTTP request with its own page
    WebPage(web_page::WebPageArgs),
}

/// Misbehaves until it is killed.
pub(crate) async fn run(kind: Kind) -> anyhow::Result<()> {
    match kind {
        Kind::AcceptAll(args) => accept_all::run(args).await,
        Kind::ByteFlipper(args) => byte_flipper::run(args).await,
        Kind::CachingProxy(args) => caching_proxy::run(args).await,
        Kind::DelayLoss(args) => delay_loss::run(args).await,
        Kind::Dpi(args) => dpi::run(args).await,
        Kind::FtpPhrasing(args) => ftp_phrasing::run(args).await,
        Kind::FullBacklog(args) => full_backlog::run(args).await,
        Kind::Hung(args) => hung::run(args).await,
        Kind::PortHolder(args) => port_holder::run(args).await,
        Kind::StripOptions(args) => strip_options::run(args).await,
        Kind::TlsProxy(args) => tls_proxy::run(args).await,
        Kind::WebPage(args) => web_page::run(args).await,
    }
}

/// Says that it stands.
fn ready() {
    output::say("ready");
}
