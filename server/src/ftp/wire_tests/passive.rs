//! Which port, at which address, for whom.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use fwdrill_protocol::estate::{AdvertisedFor, Estate};
use fwdrill_protocol::sighting::Event;

use super::client::Client;
use super::{Place, for_every_engine};
use crate::config::FtpEngine;
use crate::ftp::testing::own_address;

for_every_engine!(
    by_default_the_227_says_where_the_control_connection_arrived,
    the_227_says_what_eserv_ini_says,
    the_227_says_what_is_right_for_the_clients_network,
    in_five_thousand_transfers_the_version_port_is_never_handed_out,
    an_exhausted_range_is_said_and_noted_and_nothing_outside_it_is_handed_out,
    extended_passive_mode_works_over_ipv6,
    a_dual_stack_server_serves_either_family,
);

async fn by_default_the_227_says_where_the_control_connection_arrived(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let reply = server.anonymous().await.expect(227, "PASV").await;
    assert_eq!(
        reply.passive_address().map(|told| (*told.ip()).into()),
        Some(own_address())
    );
}

async fn the_227_says_what_eserv_ini_says(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().ftp.advertised_address = Some("192.0.2.7".parse().unwrap());
    let server = place.start().await;
    let reply = server.anonymous().await.expect(227, "PASV").await;
    assert!(reply.text().contains("(192,0,2,7,"), "{reply:?}");
}

async fn the_227_says_what_is_right_for_the_clients_network(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().ftp.advertised_address = Some("192.0.2.7".parse().unwrap());
    place.estate().ftp.advertised_for = vec![AdvertisedFor {
        network: "127.77.0.0/16".parse().unwrap(),
        address: Ipv4Addr::new(10, 20, 0, 10),
    }];
    let server = place.start().await;
    for (source, expected) in [("127.77.3.4", "10.20.0.10"), ("127.78.3.4", "192.0.2.7")] {
        let mut client = Client::connect_from(source.parse().unwrap(), server.address()).await;
        client.login("anonymous", "x").await;
        let told = client.expect(227, "PASV").await.passive_address().unwrap();
        assert_eq!(told.ip().to_string(), expected);
    }
}

/// Every PASV is followed by a transfer, as with real clients: libunftp keeps the listener of a PASV that nobody uses
/// for 15 s, so a thousand of those would show nothing but an exhausted pool.
async fn in_five_thousand_transfers_the_version_port_is_never_handed_out(engine: FtpEngine) {
    const SESSIONS: usize = 10;
    let mut place = Place::new(engine);
    let guide = Estate::default();
    place.estate().ftp.passive_ports = guide.ftp.passive_ports.clone();
    place.estate().set_port(fwdrill_protocol::flow::Flow::Version, 3333);
    let server = place.start().await;
    let clients = (0..SESSIONS).map(|session| {
        let address = server.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            client.login("anonymous", "x").await;
            let mut ports = Vec::new();
            for _ in 0..5_000 / SESSIONS {
                let data = if session == 0 {
                    client.extended_passive().await
                } else {
                    client.passive().await
                };
                ports.push(data.stream.peer_addr().unwrap().port());
                let (bytes, _) = client.download(data, "RETR /signatures/small").await;
                assert_eq!(bytes, b"small");
            }
            ports
        })
    });
    let mut handed_out = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        handed_out.extend(client.await.unwrap());
    }
    assert_eq!(handed_out.len(), 5_000);
    let distinct: BTreeSet<u16> = handed_out.into_iter().collect();
    let allowed: BTreeSet<u16> = guide.handed_out_ports().iter().collect();
    assert!(!distinct.contains(&3333));
    assert_eq!(distinct, allowed, "every port takes its turn");
}

async fn an_exhausted_range_is_said_and_noted_and_nothing_outside_it_is_handed_out(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().ftp.passive_ports = "3023-3025".parse().unwrap();
    let server = place.start().await;
    let (mut holding, mut ports) = (Vec::new(), BTreeSet::new());
    for _ in 0..3 {
        let mut client = server.anonymous().await;
        ports.insert(client.expect(227, "PASV").await.passive_address().unwrap().port());
        holding.push(client);
    }
    assert_eq!(ports, (3023..=3025).collect());
    let (mut late, drill) = server.drill().await;
    for command in ["PASV", "EPSV"] {
        let reply = late.say(command).await;
        assert!(matches!(reply.code, 421 | 425), "{command}: {reply:?}");
    }
    assert!(server.events(drill).contains(&Event::PassiveRangeExhausted));
}

async fn extended_passive_mode_works_over_ipv6(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().server.bind = Ipv6Addr::LOCALHOST.into();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let data = client.extended_passive().await;
    let (bytes, reply) = client.download(data, "RETR /signatures/small").await;
    assert_eq!((bytes.as_slice(), reply.code), (b"small".as_slice(), 226));
}

async fn a_dual_stack_server_serves_either_family(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().server.bind = Ipv6Addr::UNSPECIFIED.into();
    let server = place.start().await;
    let port = server.address().port();
    for target in [(own_address(), port), (Ipv6Addr::LOCALHOST.into(), port)] {
        let mut client = Client::connect(target.into()).await;
        client.login("anonymous", "x").await;
        let data = if target.0.is_ipv4() {
            client.passive().await
        } else {
            client.extended_passive().await
        };
        let (bytes, _) = client.download(data, "RETR /signatures/small").await;
        assert_eq!(bytes, b"small");
    }
}
