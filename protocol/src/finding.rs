//! What a diagnosis can say: permanent ids, each with how bad, how sure, where.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flow::Flow;

/// One thing that is wrong (or worth knowing), as a report carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    ($($family:ident { $($variant:ident $name:literal)* })*) => {
        /// A permanent, kebab-case id (CONTRACT section 5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[allow(missing_docs, reason = "the id says it; its page is `fwdrill explain ID`")]
        pub enum FindingId {
            $($(#[serde(rename = $name)] $variant,)*)*
        }

        impl FindingId {
            /// Every id, in the order of the contract.
            pub const ALL: &[FindingId] = &[$($(FindingId::$variant,)*)*];

            /// The id as text.
            pub fn name(self) -> &'static str {
                match self { $($(FindingId::$variant => $name,)*)* }
            }

            /// What kind of thing it is about.
            pub fn family(self) -> Family {
                match self { $($(FindingId::$variant)|* => Family::$family,)* }
            }

            /// Its page, as it was written: see [`crate::explain::Page`].
            pub(crate) fn page(self) -> &'static str {
                match self { $($(FindingId::$variant => include_str!(concat!("explain/pages/", $name, ".md")),)*)* }
            }
        }
    };
}

finding_ids! {
    Reach {
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
    }
    PassiveData {
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
    }
    Limits {
        ControlIdleTimeout "control-idle-timeout"
        StateTableFull "state-table-full"
        ConnectionLimit "connection-limit"
        ServerConnectionLimit "server-connection-limit"
        ConnectionRateLimit "connection-rate-limit"
        PacketLoss "packet-loss"
        LatencyAboveTimeout "latency-above-timeout"
        ThroughputPoliced "throughput-policed"
    }
    Content {
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
    }
    Exposure {
        ForbiddenPortOpen "forbidden-port-open"
        ConsoleExposed "console-exposed"
        ExposedBeyondPlan "exposed-beyond-plan"
    }
    Tasks {
        TaskPortBehindNat "task-port-behind-nat"
        TaskPortHostBlocked "task-port-host-blocked"
        TaskPortWrongHost "task-port-wrong-host"
        TaskPortServerEgressBlocked "task-port-server-egress-blocked"
    }
    Lint {
        RangeContainsServicePort "range-contains-service-port"
        RangeCountMismatch "range-count-mismatch"
        RangeTooSmall "range-too-small"
        RangeInEphemeralPorts "range-in-ephemeral-ports"
        AdvertisedAddressUnroutable "advertised-address-unroutable"
        HttpModeDropsVersionPort "http-mode-drops-version-port"
        PortListContradiction "port-list-contradiction"
    }
}

/// The families of finding ids, as the contract lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Reaching a port.
    Reach,
    /// Passive data connections.
    PassiveData,
    /// Limits and time.
    Limits,
    /// What arrives.
    Content,
    /// What is open and must not be.
    Exposure,
    /// From the server to the client.
    Tasks,
    /// What is wrong with an estate, without any traffic.
    Lint,
}

impl Family {
    /// Every family, in the order of the contract.
    pub const ALL: [Family; 7] = [
        Family::Reach,
        Family::PassiveData,
        Family::Limits,
        Family::Content,
        Family::Exposure,
        Family::Tasks,
        Family::Lint,
    ];

    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Family::Reach => "Reaching a port",
            Family::PassiveData => "Passive and active data connections",
            Family::Limits => "Limits and time",
            Family::Content => "Content",
            Family::Exposure => "Exposure",
            Family::Tasks => "Server to client",
            Family::Lint => "Contradictions inside an estate",
        }
    }
}

impl FindingId {
    /// The id of that name.
    pub fn of_name(name: &str) -> Option<FindingId> {
        Self::ALL.iter().copied().find(|id| id.name() == name)
    }

    /// Ids whose names are like this one, the likeliest first; a few at most.
    pub fn similar_to(name: &str) -> Vec<FindingId> {
        const MOST: usize = 3;
        let likeness = |id: &FindingId| {
            let within = !name.is_empty() && id.name().contains(name);
            strsim::jaro_winkler(name, id.name()) + if within { 1.0 } else { 0.0 }
        };
        let mut like: Vec<(f64, FindingId)> = Self::ALL.iter().map(|id| (likeness(id), *id)).collect();
        like.retain(|(likeness, _)| *likeness > 0.7);
        like.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        like.into_iter().take(MOST).map(|(_, id)| id).collect()
    }
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

    #[test]
    fn a_mistyped_id_leads_to_those_that_were_meant() {
        assert_eq!(
            FindingId::similar_to("port-droped").first(),
            Some(&FindingId::PortDropped)
        );
        assert!(FindingId::similar_to("hairpin").contains(&FindingId::HairpinMissing));
        assert_eq!(FindingId::similar_to("xyzzy"), []);
        assert_eq!(FindingId::of_name("no-route"), Some(FindingId::NoRoute));
    }
}
