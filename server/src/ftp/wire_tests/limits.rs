//! Limits, tried by a service that has small ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::sighting::Event;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::{Place, for_every_engine, pattern, until};
use crate::config::FtpEngine;
use crate::connection::Connections;
use crate::ftp::libunftp::Libunftp;
use crate::ftp::native::Native;
use crate::ftp::site::Site;
use crate::ftp::{Engine, Service, listen};
use crate::journal::Journal;
use crate::shelf::Shelf;
use fwdrill_protocol::estate::limits::FtpLimits;

for_every_engine!(
    one_session_too_many_is_told_so_and_a_seat_is_free_when_one_ends,
    a_stalled_download_ends_with_a_final_reply,
    a_stalled_upload_ends_with_a_final_reply_and_leaves_nothing,
    an_idle_session_is_told_so,
);

/// The FTP service alone.
pub(super) async fn serve(place: &Place, limits: FtpLimits) -> (SocketAddr, Journal) {
    let service = service(place, limits).await;
    let (journal, connections) = (
        service.site().journal.clone(),
        Connections::new(CancellationToken::new()),
    );
    let listener = listen((place.config.estate.server.bind, 0).into())
        .unwrap()
        .swap_remove(0);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let live = |accepted| {
            let service = service.clone();
            async move { service.live(accepted).await }
        };
        connections.serve(listener, live).await;
    });
    (address, journal)
}

pub(super) async fn service(place: &Place, limits: FtpLimits) -> Arc<Service> {
    let (estate, journal) = (&place.config.estate, Journal::in_memory(place.config.journal));
    let shelf = Shelf::new(place.depot.path());
    let mut site = Site::open(estate, place.state.path(), shelf, journal).await.unwrap();
    site.limits = limits;
    let site = Arc::new(site);
    let engine: Box<dyn Engine> = match place.config.engine {
        FtpEngine::Libunftp => Box::new(Libunftp::new(site.clone())),
        FtpEngine::Native => Box::new(Native::new(site.clone())),
    };
    Service::new(site, engine, CancellationToken::new())
}

async fn one_session_too_many_is_told_so_and_a_seat_is_free_when_one_ends(engine: FtpEngine) {
    let place = Place::new(engine);
    let limits = FtpLimits {
        sessions: 2,
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut first = Client::connect(address).await;
    let _second = Client::connect(address).await;
    let (mut third, told) = Client::knock(address, None).await;
    assert_eq!(told.code, 421, "{told:?}");
    assert_eq!(third.reply_or_end().await, None);
    first.login("anonymous", "x").await;
    first.expect(221, "QUIT").await;
    let mut told = 421;
    for _ in 0..1000 {
        told = Client::knock(address, None).await.1.code;
        if told == 220 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(told, 220);
}

fn impatient() -> FtpLimits {
    FtpLimits {
        stall: Duration::from_millis(200),
        ..FtpLimits::default()
    }
}

async fn a_stalled_download_ends_with_a_final_reply(engine: FtpEngine) {
    let place = Place::with(engine, &[("signatures/large", &pattern(12 << 20))]);
    let (address, journal) = serve(&place, impatient()).await;
    let (mut client, drill) = (Client::connect(address).await, DrillId::random());
    client.login("drill", &drill.to_string()).await;
    let _nobody_reads = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    let reply = client.reply().await;
    assert_eq!(reply.code, 426, "{reply:?}");
    let seen = journal.of(drill);
    let broken = |event: &Event| matches!(event, Event::Transferred { complete: false, bytes, .. } if *bytes > 0);
    assert!(seen.iter().any(|sighting| broken(&sighting.event)));
    client.expect(200, "NOOP").await;
}

async fn a_stalled_upload_ends_with_a_final_reply_and_leaves_nothing(engine: FtpEngine) {
    let place = Place::new(engine);
    let (address, _) = serve(&place, impatient()).await;
    let mut client = Client::connect(address).await;
    client.login("anonymous", "x").await;
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    data.send(b"and then").await;
    let reply = client.reply().await;
    assert_eq!(reply.code, 426, "{reply:?}");
    until(|| place.unfinished() == 0).await;
    assert!(!place.dropped("pc/mwav.log").exists());
    client.expect(200, "NOOP").await;
}

async fn an_idle_session_is_told_so(engine: FtpEngine) {
    let place = Place::new(engine);
    let limits = FtpLimits {
        idle: Duration::from_secs(1),
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut client = Client::connect(address).await;
    client.login("anonymous", "x").await;
    let told = client.reply().await;
    assert!(matches!(told.code, 221 | 421), "{told:?}");
    assert_eq!(client.reply_or_end().await, None);
}
