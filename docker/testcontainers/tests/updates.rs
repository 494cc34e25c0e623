//! A server to update from, for the length of a test.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

const VERSION: u16 = 3333;

/// The image says by itself when every port answers.
fn update_server() -> Result<Container<GenericImage>, Box<dyn Error>> {
    let image = std::env::var("FWDRILL_IMAGE");
    let server = GenericImage::new(image.as_deref().unwrap_or("fwdrill"), "latest")
        .with_wait_for(WaitFor::healthcheck())
        .with_exposed_port(VERSION.tcp())
        // Over HTTP a client needs no passive range, so no port has the same number inside and outside.
        .with_env_var("FWDRILL_MODE", "http")
        .with_env_var("FWDRILL_FTP_ENABLED", "false")
        .start()?;
    Ok(server)
}

#[test]
fn a_client_learns_what_is_new() -> Result<(), Box<dyn Error>> {
    let server = update_server()?;
    let address = (
        server.get_host()?.to_string(),
        server.get_host_port_ipv4(VERSION.tcp())?,
    );

    // Here your own client would go.
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: updates\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"serial\":1"), "{answer}");
    Ok(())
}
