//! What a diagnosis can say: permanent ids, each with how bad, how sure, where.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flow::Flow;

/// One thing that is wrong (or worth knowing), as a report carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which one.
    pub id: FindingId,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the diagnosis is.
    pub confidence: Confidence,
    /// The flow it concerns first.
    pub flow: Flow,
    /// One sentence.
    pub summary: String,
    /// Whose device or program is to be changed.
    #[serde(rename = "where")]
    pub place: Place,
    /// What was seen, in words with the numbers.
    pub evidence: Vec<String>,
    /// What to change.
    pub remedy: String,
    /// What the evidence cannot exclude; empty when this is the only explanation left.
    pub alternatives: Vec<FindingId>,
}

/// How bad a finding is. The order is that of reports: the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The service does not work as expected: exit code 1.
    Error,
    /// It works, but not well or not for everybody.
    Warning,
    /// Good to know.
    Info,
}

/// How sure a diagnosis is. The order is that of reports: the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The facts leave no other explanation.
    Certain,
    /// The facts speak for it; the alternatives are listed.
    Likely,
    /// One of several explanations.
    Possible,
}

/// Whose device or program is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The firewall or NAT in front of the server.
    ServerFirewall,
    /// The firewall or NAT in front of the client.
    ClientFirewall,
    /// The server's own host: its firewall, its sockets.
    ServerHost,
    /// The client's own host.
    ClientHost,
    /// Something between.
    Path,
    /// The server program and its settings.
    Server,
    /// The facts do not say.
    Unknown,
}

impl Place {
    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Place::ServerFirewall => "the firewall in front of the server",
            Place::ClientFirewall => "the firewall in front of the client",
            Place::ServerHost => "the server's own host",
            Place::ClientHost => "the client's own host",
            Place::Path => "a device on the path",
            Place::Server => "the server's settings",
            Place::Unknown => "not known",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        })
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        })
    }
}

macro_rules! finding_ids {
    ($($variant:ident $name:literal)*) => {
        /// A permanent, kebab-case id (CONTRACT section 5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the id says it; its page is `fwdrill explain ID`")]
        pub enum FindingId {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl FindingId {
            /// Every id, in the order of the contract.
            pub const ALL: &[FindingId] = &[$(FindingId::$variant),*];

            /// The id as text.
            pub fn name(self) -> &'static str {
                match self { $(FindingId::$variant => $name,)* }
            }
        }
    };
}

finding_ids! {
    PortDropped "port-dropped"
    PortRejected "port-rejected"
    ForwardMissing "forward-missing"
    ForwardWrongHost "forward-wrong-host"
    ForwardDeadHost "forward-dead-host"
    ClientEgressBlocked "client-egress-blocked"
    ClientHostBlocked "client-host-blocked"
    ServerHostBlocked "server-host-blocked"
    ServerNotListening "server-not-listening"
    ServerLoopbackOnly "server-loopback-only"
    ServerHung "server-hung"
    ServerBacklogFull "server-backlog-full"
    ReturnPathBroken "return-path-broken"
    AsymmetricRoute "asymmetric-route"
    SourceBlocked "source-blocked"
    NoRoute "no-route"
    InspectionBlocksFtp "inspection-blocks-ftp"
    ProxyBackendDown "proxy-backend-down"
    TransparentProxy "transparent-proxy"
    HairpinMissing "hairpin-missing"
    Ipv6Blocked "ipv6-blocked"
    Ipv4Blocked "ipv4-blocked"
    Ipv6NotListening "ipv6-not-listening"
    NameNotResolved "name-not-resolved"
    AdvertisedAddressPrivate "advertised-address-private"
    AdvertisedAddressWrong "advertised-address-wrong"
    PassiveRangeBlocked "passive-range-blocked"
    PassiveRangeRejected "passive-range-rejected"
    PassiveRangePartial "passive-range-partial"
    PassiveRangeNotForwarded "passive-range-not-forwarded"
    PassiveRangeShifted "passive-range-shifted"
    PassiveRangeWrongHost "passive-range-wrong-host"
    PassivePortStolen "passive-port-stolen"
    PassivePortBusy "passive-port-busy"
    PassiveRangeExhausted "passive-range-exhausted"
    ClientEgressDataBlocked "client-egress-data-blocked"
    DataReturnPathBroken "data-return-path-broken"
    DataSourceMismatch "data-source-mismatch"
    AlgRewritesReply "alg-rewrites-reply"
    AlgIgnoresReply "alg-ignores-reply"
    AlgRelatedMissing "alg-related-missing"
    AlgDropsReply "alg-drops-reply"
    AlgBlindToTls "alg-blind-to-tls"
    ActiveModeBehindNat "active-mode-behind-nat"
    ActiveModeEgressBlocked "active-mode-egress-blocked"
    ClientsHiddenByNat "clients-hidden-by-nat"
    ControlIdleTimeout "control-idle-timeout"
    StateTableFull "state-table-full"
    ConnectionLimit "connection-limit"
    ServerConnectionLimit "server-connection-limit"
    ConnectionRateLimit "connection-rate-limit"
    PacketLoss "packet-loss"
    LatencyAboveTimeout "latency-above-timeout"
    ThroughputPoliced "throughput-policed"
    PathMtuBlackhole "path-mtu-blackhole"
    TransferCut "transfer-cut"
    ContentAltered "content-altered"
    CacheStale "cache-stale"
    BlockPage "block-page"
    CaptivePortal "captive-portal"
    TlsIntercepted "tls-intercepted"
    SignatureInvalid "signature-invalid"
    VersionStale "version-stale"
    VersionRollback "version-rollback"
    RelayStale "relay-stale"
    UploadBlocked "upload-blocked"
    ForbiddenPortOpen "forbidden-port-open"
    ConsoleExposed "console-exposed"
    ExposedBeyondPlan "exposed-beyond-plan"
    TaskPortBehindNat "task-port-behind-nat"
    TaskPortHostBlocked "task-port-host-blocked"
    TaskPortWrongHost "task-port-wrong-host"
    TaskPortServerEgressBlocked "task-port-server-egress-blocked"
    RangeContainsServicePort "range-contains-service-port"
    RangeCountMismatch "range-count-mismatch"
    RangeTooSmall "range-too-small"
    RangeInEphemeralPorts "range-in-ephemeral-ports"
    AdvertisedAddressUnroutable "advertised-address-unroutable"
    HttpModeDropsVersionPort "http-mode-drops-version-port"
    PortListContradiction "port-list-contradiction"
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_the_same_in_json() {
        let names: std::collections::BTreeSet<&str> = FindingId::ALL.iter().map(|id| id.name()).collect();
        assert_eq!(names.len(), FindingId::ALL.len());
        for id in FindingId::ALL {
            assert_eq!(serde_json::to_value(id).unwrap(), id.name());
            assert!(
                id.name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
    }
}
