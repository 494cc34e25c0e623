//! What a vantage expects of each flow: the guide's port lists, unless the estate says otherwise.

use std::collections::BTreeMap;

use super::{Estate, Mode};
use crate::flow::{Expected, Flow};

/// What one vantage expects, by flow, where the estate says so.
pub type Expectations = BTreeMap<Flow, Expected>;

/// Where a client stands unless it says otherwise: beyond the firewall.
pub const OUTSIDE: &str = "outside";

/// Behind the firewall that the server stands behind.
pub const INSIDE: &str = "inside";

/// The server's own host, from which no firewall is crossed.
pub const SERVER: &str = "server";

impl Estate {
    /// What a client at `vantage` expects of `flow`: the estate's own word, else the guide's.
    pub fn expected(&self, vantage: &str, flow: Flow) -> Expected {
        self.expect
            .get(vantage)
            .and_then(|flows| flows.get(&flow))
            .copied()
            .unwrap_or_else(|| self.guide(vantage, flow))
    }

    /// The guide's two lists of ports to open: one for FTP downloads, one for HTTP downloads.
    /// 3333 stands only on the first, but clients of both ask it for news.
    fn guide(&self, vantage: &str, flow: Flow) -> Expected {
        match (flow, self.mode) {
            (Flow::FtpControl | Flow::FtpPassive, Mode::Ftp) | (Flow::Http, Mode::Http) => Expected::Open,
            (Flow::FtpControl | Flow::FtpPassive, Mode::Http) | (Flow::Http, Mode::Ftp) => Expected::Any,
            (Flow::Version | Flow::Agent | Flow::Events | Flow::Console, _) => Expected::Open,
            // Many clients stand behind a NAT that forwards nothing, and poll: who relies on the server reaching them says so.
            (Flow::Tasks, _) => Expected::Any,
            // "This port need NOT be allowed/opened on firewall": only the server's own host has
            // business there.
            (Flow::System | Flow::SelfEvents, _) if vantage == SERVER => Expected::Any,
            (Flow::System | Flow::SelfEvents, _) => Expected::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_ports_are_closed_to_all_but_the_server_itself() {
        let estate = Estate::default();
        assert_eq!(estate.expected(OUTSIDE, Flow::System), Expected::Closed);
        assert_eq!(estate.expected("branch", Flow::SelfEvents), Expected::Closed);
        assert_eq!(estate.expected(SERVER, Flow::System), Expected::Any);
    }

    #[test]
    fn nobody_expects_the_server_to_reach_clients_unless_the_estate_says_so() {
        let mut estate = Estate::default();
        assert_eq!(estate.expected(OUTSIDE, Flow::Tasks), Expected::Any);
        let outside = estate.expect.entry(OUTSIDE.to_owned()).or_default();
        outside.insert(Flow::Tasks, Expected::Open);
        assert_eq!(estate.expected(OUTSIDE, Flow::Tasks), Expected::Open);
        assert_eq!(estate.expected("branch", Flow::Tasks), Expected::Any);
    }

    #[test]
    fn the_mode_decides_which_download_must_work() {
        let mut estate = Estate::default();
        assert_eq!(estate.expected(OUTSIDE, Flow::FtpPassive), Expected::Open);
        assert_eq!(estate.expected(OUTSIDE, Flow::Http), Expected::Any);
        estate.mode = Mode::Http;
        assert_eq!(estate.expected(OUTSIDE, Flow::FtpPassive), Expected::Any);
        assert_eq!(estate.expected(OUTSIDE, Flow::Http), Expected::Open);
        assert_eq!(estate.expected(OUTSIDE, Flow::Version), Expected::Open);
    }
}
