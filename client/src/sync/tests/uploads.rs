use fwdrill_protocol::estate::Mode;

use super::world::{MODES, Seen, World};
use crate::scripted::FtpFaults;
use crate::sync::{Concern, SyncError, UpdateCycle, Uploads};

const SYSINFO: &str = "/upload/pc-17/sysinfo.json";
const LOG: &str = "/upload/pc-17/mwav.log";

fn uploading(world: &World, mode: Mode) -> UpdateCycle {
    UpdateCycle {
        uploads: true,
        ..world.cycle(mode)
    }
}

#[tokio::test]
async fn system_information_and_log_arrive_with_the_facts_in_them() {
    for mode in MODES {
        let world = World::new().await;
        let seen = Seen::default();
        let outcome = uploading(&world, mode).run(&seen).await.unwrap();
        assert_eq!(outcome.uploads, Uploads::Done(vec![SYSINFO.to_owned(), LOG.to_owned()]));
        assert_eq!(seen.count("uploaded"), 2);
        let uploads = world.ftp.uploads();
        let information: serde_json::Value = serde_json::from_slice(&uploads[SYSINFO]).unwrap();
        assert_eq!(information["client"], "pc-17");
        assert_eq!(information["update_set"]["serial"], 1);
        assert_eq!(information["fwdrill"], env!("CARGO_PKG_VERSION"));
        assert!(information["disk"]["free"].as_u64().unwrap() > 0);
        assert!(information["kernel"].as_str().unwrap().starts_with("Linux "));
        assert!(uploads[LOG].starts_with(b"") && uploads[LOG].len() > 30_000);
        // Also when there is nothing new: a host's state is news every time.
        let outcome = uploading(&world, mode).run(&()).await.unwrap();
        assert_eq!(outcome.installed, None);
        assert!(matches!(outcome.uploads, Uploads::Done(paths) if paths.len() == 2));
    }
}

#[tokio::test]
async fn over_ftp_one_session_does_it_all() {
    let world = World::new().await;
    uploading(&world, Mode::Ftp).run(&()).await.unwrap();
    let commands = world.ftp.commands();
    assert_eq!(commands.iter().filter(|line| line.starts_with("USER")).count(), 1);
    assert_eq!(commands.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn a_server_that_wants_the_directory_made_first_gets_it_made() {
    let world = World::new().await;
    world.ftp.set_faults(FtpFaults {
        wants_mkd: true,
        ..FtpFaults::default()
    });
    uploading(&world, Mode::Ftp).run(&()).await.unwrap();
    assert_eq!(world.ftp.uploads().len(), 2);
    assert!(world.ftp.commands().contains(&"MKD /upload/pc-17".to_owned()));
}

#[tokio::test]
async fn a_refused_upload_is_an_error_of_its_own_and_the_set_stays() {
    for mode in MODES {
        let world = World::new().await;
        world.ftp.set_faults(FtpFaults {
            replies: vec![("STOR", "552 quota exceeded")],
            ..FtpFaults::default()
        });
        let error = uploading(&world, mode).run(&()).await.unwrap_err();
        assert_eq!(error.concern(), Concern::Upload);
        let SyncError::Upload { what, outcome, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((what.as_str(), outcome.serial), (SYSINFO, 1));
        assert_eq!(outcome.uploads, Uploads::Done(vec![]));
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_once_is_sent_again() {
    let world = World::new().await;
    world.ftp.set_faults(FtpFaults {
        store_failures: 1,
        ..FtpFaults::default()
    });
    let seen = Seen::default();
    uploading(&world, Mode::Ftp).run(&seen).await.unwrap();
    assert_eq!(seen.count(&format!("retrying {SYSINFO}")), 1);
    assert_eq!(world.ftp.uploads().len(), 2);
}

#[tokio::test]
async fn without_a_reachable_ftp_port_http_clients_just_do_not_upload() {
    let world = World::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut cycle = uploading(&world, Mode::Http);
    cycle.server.ftp = Some(closed.local_addr().unwrap().port());
    drop(closed);
    let outcome = cycle.run(&()).await.unwrap();
    assert!(matches!(outcome.uploads, Uploads::NoWay(reason) if reason.contains("connecting")));

    cycle.server.ftp = None;
    let outcome = cycle.run(&()).await.unwrap();
    assert_eq!(outcome.uploads, Uploads::NoWay("the estate has no FTP".to_owned()));
}
