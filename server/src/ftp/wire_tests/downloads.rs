//! What comes out of the tree, and what does not.

use super::{Place, for_every_engine, pattern};
use crate::config::FtpEngine;

for_every_engine!(
    a_file_arrives_byte_for_byte_in_either_passive_mode,
    a_download_resumes_at_any_byte,
    a_restart_beyond_the_end_is_refused,
    the_tree_is_listed,
    sizes_and_times_are_told,
    nothing_outside_the_tree_is_reachable,
    nothing_in_the_tree_can_be_changed,
    a_session_keeps_the_set_it_began_with,
);

const MAIN: &str = "/signatures/full/main.fwdb";

/// More than one piece, and not a whole number of them.
fn main_database() -> Vec<u8> {
    pattern(3_000_001)
}

fn place(engine: FtpEngine) -> Place {
    Place::with(
        engine,
        &[
            ("signatures/full/main.fwdb", &main_database()),
            ("policies/a.json", b"{}"),
        ],
    )
}

async fn a_file_arrives_byte_for_byte_in_either_passive_mode(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for extended in [false, true] {
        let data = if extended {
            client.extended_passive().await
        } else {
            client.passive().await
        };
        let (bytes, reply) = client.download(data, &format!("RETR {MAIN}")).await;
        assert_eq!(reply.code, 226);
        assert!(bytes == main_database());
    }
}

async fn a_download_resumes_at_any_byte(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let whole = main_database();
    for start in [0, 1, 524_287, 524_288, 1_500_000, whole.len() - 1, whole.len()] {
        let data = client.passive().await;
        client.expect(350, &format!("REST {start}")).await;
        let (bytes, reply) = client.download(data, &format!("RETR {MAIN}")).await;
        assert_eq!(reply.code, 226, "{start}");
        assert!(bytes == whole[start..], "{start}");
    }
    let data = client.passive().await;
    client.expect(350, "REST 3").await;
    assert_eq!(client.download(data, "RETR /signatures/small").await.0, b"ll");
    let data = client.passive().await;
    let (bytes, _) = client.download(data, "RETR /signatures/small").await;
    assert_eq!(bytes, b"small", "REST is for one transfer");
}

async fn a_restart_beyond_the_end_is_refused(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let data = client.passive().await;
    client.expect(350, "REST 6").await;
    let (bytes, reply) = client.download(data, "RETR /signatures/small").await;
    assert_eq!((bytes.len(), reply.code / 100), (0, 5), "{reply:?}");
}

async fn the_tree_is_listed(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let root = "manifest.json\r\nmanifest.json.minisig\r\nminisign.pub\r\npolicies\r\nsignatures\r\nupload\r\n";
    assert_eq!(client.listing("NLST").await, root);
    let long = client.listing("LIST /signatures").await;
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!(lines.len(), 2, "{long}");
    assert!(
        lines[0].starts_with("dr-xr-xr-x") && lines[0].ends_with(" full"),
        "{long}"
    );
    assert!(
        lines[1].starts_with("-r--r--r--") && lines[1].ends_with(" small"),
        "{long}"
    );
    client.expect(250, "CWD /signatures/full").await;
    assert_eq!(client.listing("NLST").await, "main.fwdb\r\n");
    let facts = client.listing("MLSD").await.to_ascii_lowercase();
    assert!(
        facts.contains("type=file;") && facts.contains("size=3000001;"),
        "{facts}"
    );
}

async fn sizes_and_times_are_told(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    assert_eq!(client.expect(213, &format!("SIZE {MAIN}")).await.text(), "3000001");
    let published = place.depot.published(1).strftime("%Y%m%d%H%M%S").to_string();
    assert_eq!(client.expect(213, &format!("MDTM {MAIN}")).await.text(), published);
    client.expect(550, "SIZE /signatures/none").await;
}

async fn nothing_outside_the_tree_is_reachable(engine: FtpEngine) {
    let place = place(engine);
    std::os::unix::fs::symlink("/etc", place.depot.path().join("sets/1/signatures/etc")).unwrap();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let paths = [
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "/signatures/../../../etc/passwd",
        "/signatures/etc/passwd",
        "/sets/1/manifest.json",
        "/current/manifest.json",
    ];
    for path in paths {
        let data = client.passive().await;
        let (bytes, reply) = client.download(data, &format!("RETR {path}")).await;
        assert_eq!((bytes.len(), reply.code), (0, 550), "{path}: {reply:?}");
    }
    client.expect(250, "CWD /signatures/../../..").await;
    let data = client.passive().await;
    client.download(data, "RETR signatures/small").await;
    for path in ["/etc", "/signatures/etc", "/signatures/small"] {
        client.expect(550, &format!("CWD {path}")).await;
    }
}

async fn nothing_in_the_tree_can_be_changed(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for command in [
        "DELE /signatures/small",
        "RMD /signatures",
        "MKD /new",
        "DELE /manifest.json",
    ] {
        client.expect(550, command).await;
    }
    for path in [
        "/signatures/small",
        "/manifest.json",
        "/minisign.pub",
        "/mwav.log",
        "/upload/../mwav.log",
    ] {
        let reply = client.upload(path, b"evil").await;
        assert_eq!(reply.code, 550, "{path}: {reply:?}");
    }
    let data = client.passive().await;
    assert_eq!(client.download(data, "RETR /signatures/small").await.0, b"small");
}

async fn a_session_keeps_the_set_it_began_with(engine: FtpEngine) {
    let place = place(engine);
    let server = place.start().await;
    let mut early = server.anonymous().await;
    place.depot.publish(2, &[("signatures/small", b"newer")]);
    let mut late = server.anonymous().await;
    for (client, expected) in [(&mut early, b"small"), (&mut late, b"newer")] {
        let data = client.passive().await;
        assert_eq!(client.download(data, "RETR /signatures/small").await.0, expected);
    }
}
