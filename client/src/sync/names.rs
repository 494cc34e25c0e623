pub use fwdrill_protocol::client_name::{ClientName, NotAClientName};

/// The name of this host, made to fit.
pub fn this_host() -> ClientName {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    ClientName::fitting(&node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_name() {
        assert!(this_host().as_str().parse::<ClientName>().is_ok());
    }
}
