//! What clients tell the server, through the real binary: nothing is lost and nothing doubled, whoever dies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fwdrill_client::Limits;
use fwdrill_client::events::{Destination, Outbox};
use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::event::{ClientEvent, What};
use fwdrill_protocol::flow::Flow;
use fwdrill_server::TOKEN_FILE;
use fwdrill_server::store::{Limits as StoreLimits, Store};
use support::{FREE_PORTS, Server, announced, fwdrill, run, stderr};

/// A server whose directory outlives it.
struct Mortal(Child, Announcement);

impl Mortal {
    fn start(directory: &Path) -> Self {
        let mut command = fwdrill();
        command.args(["serve", "--announce", "--state"]).arg(directory);
        for setting in FREE_PORTS {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let announcement = announced(&mut child).unwrap();
        Mortal(child, announcement)
    }

    /// And where its clients send their events.
    fn with_token(directory: &Path) -> (Self, Destination) {
        let server = Mortal::start(directory);
        let token = std::fs::read_to_string(directory.join(TOKEN_FILE)).unwrap();
        let mut to = Destination::new("127.0.0.1", vec![server.1.addresses[&Flow::Events]]);
        to.token = Some(token.trim().to_owned());
        (server, to)
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn kept(state: &Path) -> Vec<ClientEvent> {
    let store = Store::open(state, StoreLimits::default()).unwrap();
    assert_eq!(store.faults().await.unwrap(), Vec::<String>::new());
    let kept = store.events(None, None, u32::MAX).await.unwrap();
    kept.into_iter().map(|stored| stored.event).collect()
}

#[tokio::test]
async fn killed_ten_times_the_server_has_every_event_once() {
    let (state, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outbox = Outbox::open(spool.path().to_owned(), "pc-1".parse().unwrap())
        .await
        .unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    let noting = {
        let (outbox, enough) = (outbox.clone(), enough.clone());
        tokio::spawn(async move {
            let mut events = 0;
            while !enough.load(Ordering::Relaxed) {
                outbox.note(What::Dropped { events }).await;
                events += 1;
            }
            events
        })
    };
    for round in 0..10 {
        let (server, to) = Mortal::with_token(state.path());
        let delivering = {
            let outbox = outbox.clone();
            // There is always another event, so this ends when the server does.
            tokio::spawn(async move {
                while outbox.deliver(&to, &Limits::default()).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            })
        };
        tokio::time::sleep(Duration::from_millis(10 + 7 * round)).await;
        drop(server);
        delivering.await.unwrap();
    }
    enough.store(true, Ordering::Relaxed);
    let events = noting.await.unwrap();
    let (server, to) = Mortal::with_token(state.path());
    outbox.deliver(&to, &Limits::default()).await.unwrap();
    drop(server);
    assert_eq!(outbox.waiting().await, 0);
    let numbers: Vec<u64> = kept(state.path())
        .await
        .iter()
        .map(|event| match event.what {
            What::Dropped { events } => events,
            _ => unreachable!(),
        })
        .collect();
    assert!(events >= 10, "{events}");
    assert_eq!(numbers.len() as u64, events);
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..events).collect());
}

#[tokio::test]
async fn a_sync_tells_what_it_did_also_of_the_time_when_nobody_listened() {
    let mut server = Server::start(&[]);
    let client = tempfile::tempdir().unwrap();
    let into = client.path().join("updates");
    let sync = |more: &[&str]| {
        let mut arguments = vec!["sync".to_owned(), "127.0.0.1".to_owned(), "--client=pc-7".to_owned()];
        arguments.push(format!("--into={}", into.display()));
        arguments.push(format!("--public-key={}", server.public_key()));
        arguments.extend(server.settings());
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        run(arguments)
    };
    let closed = format!("--set=ports.events={}", support::closed_port());
    let alone = sync(&[&closed]);
    assert_eq!(alone.status.code(), Some(0), "{}", stderr(&alone));
    assert_eq!(std::fs::read_dir(into.join("events")).unwrap().count(), 3);
    // Nothing can be downloaded; that, too, is told.
    let version = format!("--set=ports.version={}", support::closed_port());
    assert_eq!(sync(&[&version]).status.code(), Some(1));
    assert_eq!(sync(&[]).status.code(), Some(0));
    assert_eq!(std::fs::read_dir(into.join("events")).unwrap().count(), 0);
    server.terminate();
    let events = kept(&server.state()).await;
    let told: Vec<&str> = events
        .iter()
        .rev()
        .map(|event| match &event.what {
            What::Started { .. } => "started",
            What::VersionSeen { serial: 1, .. } => "seen",
            What::SyncDone { serial: 1, .. } => "done",
            What::SyncFailed { concern, .. } if concern == "network" => "failed",
            _ => "?",
        })
        .collect();
    assert_eq!(
        told,
        ["started", "seen", "done", "started", "failed", "started", "done"],
        "{events:#?}"
    );
    assert!(events.iter().all(|event| event.client.as_str() == "pc-7"));
}

#[tokio::test]
async fn a_report_reaches_the_server_unless_it_is_not_wanted_there() {
    let mut server = Server::start(&[]);
    for (more, reports) in [(&["--send-report=off"][..], 0), (&["--no-evidence"], 0), (&[], 1)] {
        let mut arguments = vec!["probe".to_owned(), "127.0.0.1".to_owned(), "--from=server".to_owned()];
        arguments.extend(server.settings());
        arguments.extend(["--quick", "--format=json"].map(str::to_owned));
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        let probed = run(arguments);
        let report: fwdrill_protocol::report::Report = serde_json::from_slice(&probed.stdout).unwrap();
        // A second connection may read while the server writes.
        let store = Store::open(&server.state(), StoreLimits::default()).unwrap();
        let rows = store.reports(10).await.unwrap();
        assert_eq!(rows.len(), reports, "{more:?}");
        if let Some(row) = rows.first() {
            assert_eq!(store.report(row.seq).await.unwrap().unwrap().1.drill, report.drill);
        }
    }
    server.terminate();
}
