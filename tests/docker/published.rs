//! Published ports that have other numbers outside than inside.

use std::time::Duration;

use crate::engine::{Container, docker, ended, everything, run, until};
use crate::image::Images;

/// A probe from the host, by the published ports, finds nothing amiss: neither in the replies nor in the sweep.
pub(crate) fn may_have_other_numbers(images: &Images) {
    // The host's own address towards containers: to loopback, published ports lead through Docker's proxy.
    let gateway = run(&mut docker(&[
        "run",
        "--rm",
        "--network=host",
        "--entrypoint=ip",
        &images.lab.0,
        "-4",
        "-oneline",
        "addr",
        "show",
        "docker0",
    ]));
    let host = gateway
        .split_whitespace()
        .find_map(|word| word.split_once('/'))
        .map(|(address, _)| address.to_owned())
        .unwrap_or_else(|| panic!("docker0 has no address: {gateway}"));
    let services = [2021, 2221, 2222, 2225, 3333].map(|port| format!("--publish={host}:{port}:{port}"));
    let range = format!("--publish={host}:40000-40003:30000-30003");
    // Both ends read the same estate.
    let estate = [
        "--env=FWDRILL_FTP_PASSIVE_PORTS=40000-40003",
        "--env=FWDRILL_FTP_PASSIVE_LISTEN=30000-30003",
    ];
    let advertised = format!("--env=PASV_ADDRESS={host}");
    let mut arguments: Vec<&str> = services.iter().map(String::as_str).collect();
    arguments.extend([range.as_str(), &advertised, &images.fwdrill.0]);
    let server = Container::start(&[&estate[..], &arguments].concat());
    until(Duration::from_secs(30), "healthy", || {
        (server.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });
    let probe = ended(
        docker(&[
            "run",
            "--rm",
            "--network=host",
            "--env=FWDRILL_EXPECT_OUTSIDE_CONSOLE=closed",
        ])
        .args(estate)
        .args([images.fwdrill.0.as_str(), "probe", &host, "--full-range"]),
    );
    let told = everything(&probe);
    assert_eq!(probe.status.code(), Some(0), "{told}");
    assert!(told.contains("open 4 (40000-40003)"), "{told}");
    assert!(!told.contains("CAUSE") && !told.contains("ALSO"), "{told}");
}
