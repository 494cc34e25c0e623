//! What has to hold for a finding to be certain, said anew and without the rules: for each id the facts that exclude it.

use std::net::IpAddr;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::finding::{Finding, FindingId};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::{Event, Sighting};
use fwdrill_protocol::task_port::TaskPortAnswer;

use super::super::facts::is_private;
use crate::observation::path::Knock;
use crate::observation::task_port::TaskPort;
use crate::observation::{Attempt, Observations, PassiveCommand, PassivePort, PassiveTalk};

/// Why the finding cannot be certain, if it cannot.
pub(super) fn by(estate: &Estate, seen: &Observations, finding: &Finding) -> Option<&'static str> {
    let facts = Known {
        estate,
        seen,
        flow: finding.flow,
    };
    let needed: &[(bool, &'static str)] = &facts.needed(finding.id);
    needed.iter().find(|(holds, _)| !holds).map(|(_, otherwise)| *otherwise)
}

struct Known<'a> {
    estate: &'a Estate,
    seen: &'a Observations,
    /// The flow that the finding concerns first.
    flow: Flow,
}

impl<'a> Known<'a> {
    /// Everything that a certain finding needs, and what is wrong if it does not hold.
    fn needed(&self, id: FindingId) -> Vec<(bool, &'static str)> {
        use FindingId::*;
        match id {
            // Reaching a port.
            PortDropped => vec![
                self.unanswered(),
                (!self.half_open(), "the server's host has the SYN"),
                (self.server_counted(), "the server's host was not asked"),
            ],
            PortRejected => vec![
                self.not_open(),
                (
                    self.ended(&[Outcome::Refused, Outcome::Unreachable, Outcome::Timeout]),
                    "nobody rejected anything",
                ),
                (!self.half_open(), "the server's host has the SYN"),
            ],
            ForwardMissing | AsymmetricRoute | SourceBlocked | HairpinMissing | LatencyAboveTimeout => {
                vec![(false, "one vantage cannot exclude everything else")]
            }
            ForwardWrongHost => vec![
                self.not_open(),
                (
                    !self.grew(|count| count.out_resets),
                    "the server's own host sent the resets",
                ),
                (self.server_counted(), "the server's host was not asked"),
            ],
            ForwardDeadHost => vec![
                self.not_open(),
                (self.host_unreachable(), "nobody says that the host is unreachable"),
            ],
            ClientEgressBlocked => vec![(false, "only the client's network knows")],
            ClientHostBlocked => vec![self.not_open()],
            ServerHostBlocked => vec![
                self.not_open(),
                (
                    self.grew(Counters::undelivered),
                    "the server's host delivered all that it received",
                ),
            ],
            ServerNotListening => vec![
                self.not_open(),
                (self.joined().is_some(), "the server did not say"),
                (!self.listens_for_others(), "the server listens"),
            ],
            ServerLoopbackOnly => vec![
                self.not_open(),
                (self.joined().is_some(), "the server did not say"),
                (
                    !self.listens_for_others(),
                    "the server listens on other addresses as well",
                ),
            ],
            ServerHung => vec![(
                self.knocks()
                    .any(|knock| knock.waiting.is_some_and(|waiting| waiting > 0)),
                "no connection waits at the server's host",
            )],
            ServerBacklogFull => vec![
                self.not_open(),
                (self.grew(|count| count.listen_overflows), "no accept queue overflowed"),
            ],
            ReturnPathBroken => vec![
                self.not_open(),
                (
                    self.half_open() || self.grew(|count| count.reverse_path) || self.grew(|count| count.attempt_fails),
                    "the server's host saw no SYN whose answer was lost",
                ),
            ],
            NoRoute => vec![
                self.not_open(),
                (
                    !self.wanted().any(Attempt::stood),
                    "there is a route: another port of the address answers",
                ),
            ],
            InspectionBlocksFtp => vec![(
                self.knocks()
                    .any(|knock| knock.accepted.is_some_and(|accepted| accepted > 0)),
                "the server accepted nothing",
            )],
            ProxyBackendDown => vec![
                (self.joined().is_some(), "the server did not say"),
                (!self.listens_for_others(), "the server listens"),
            ],
            TransparentProxy => vec![(
                self.sightings().any(|sighting| sighting.syn.is_some()),
                "no SYN was looked at",
            )],
            Ipv6Blocked | Ipv4Blocked => vec![(false, "who blocks it is not known")],
            Ipv6NotListening => vec![(
                self.joined()
                    .is_some_and(|evidence| evidence.server.listening.get(&self.flow).is_some_and(|at| at.is_ipv4())),
                "the server did not say that it listens on IPv4 only",
            )],
            NameNotResolved => vec![(self.seen.resolution.addresses.is_empty(), "it has addresses")],

            // Passive data.
            AdvertisedAddressPrivate => vec![
                self.told_elsewhere(),
                (self.told().is_some_and(is_private), "the address is not private"),
            ],
            AdvertisedAddressWrong => vec![self.told_elsewhere()],
            PassiveRangeBlocked => vec![
                self.nothing_came_through(),
                (!self.half_open(), "the server's host has the SYN"),
                (!self.grew(Counters::undelivered), "the server's host dropped it itself"),
            ],
            PassiveRangeRejected => vec![
                self.nothing_came_through(),
                (!self.half_open(), "the server's host has the SYN"),
            ],
            PassiveRangeNotForwarded => vec![(false, "what would become of it further on is not known")],
            ClientsHiddenByNat => vec![
                (self.joined().is_some(), "only the server sees that"),
                (
                    self.seen.path.local.is_some_and(|own| {
                        self.sightings()
                            .all(|sighting| sighting.peer.ip().to_canonical() != own)
                    }),
                    "the server sees the client's own address",
                ),
            ],
            PassiveRangePartial => vec![
                (self.seen.passive.swept, "nobody listened"),
                (self.let_through(), "nothing came through"),
                (self.let_nothing_through(), "everything came through"),
            ],
            PassiveRangeShifted => vec![(
                self.ports()
                    .any(|tried| tried.answered_as.is_some_and(|port| port != tried.port))
                    || self.grew(|count| count.out_resets),
                "every port arrived as itself",
            )],
            PassiveRangeWrongHost => vec![
                (self.said_something_else(), "nobody else spoke"),
                (
                    !self
                        .ports()
                        .any(|tried| tried.attempt.stood() && tried.answered_as == Some(tried.port)),
                    "a port proved to be the server's",
                ),
            ],
            PassivePortStolen => vec![(self.said_something_else(), "nobody else spoke")],
            PassivePortBusy => vec![(
                self.joined()
                    .and_then(|evidence| evidence.host.as_ref()?.taken.as_ref())
                    .is_some_and(|taken| self.seen.passive.planned.without(taken).is_empty()),
                "another program does not have all of the range",
            )],
            PassiveRangeExhausted => vec![(false, "another program may have let go meanwhile")],
            ClientEgressDataBlocked => vec![
                self.nothing_came_through(),
                (!self.half_open(), "the server's host has the SYN"),
                (!self.grew(Counters::undelivered), "it came as far as the server's host"),
            ],
            DataReturnPathBroken => vec![(self.half_open(), "nothing is half open at the server's host")],
            DataSourceMismatch => vec![(
                self.saw(|event| *event == Event::DataSourceMismatch),
                "the server refused no data connection for its address",
            )],
            AlgRewritesReply | AlgRelatedMissing => vec![(
                self.saw(|event| matches!(event, Event::PassiveReply { .. })),
                "what the server sent is not known",
            )],
            AlgIgnoresReply => vec![
                (
                    self.worked(PassiveCommand::Epsv) != self.worked(PassiveCommand::Pasv),
                    "both modes fare alike",
                ),
                (!self.swept_open(), "the range is open by itself"),
            ],
            AlgDropsReply => vec![(
                self.saw(|event| matches!(event, Event::PassiveReply { .. })),
                "the server sent no such reply",
            )],
            AlgBlindToTls => vec![
                (
                    self.worked(PassiveCommand::Epsv) || self.worked(PassiveCommand::Pasv),
                    "it does not work in clear either",
                ),
                (!self.swept_open(), "the range is open by itself"),
                (
                    self.seen
                        .beside
                        .under_tls
                        .as_ref()
                        .is_some_and(|talk| !talk.passive.iter().any(PassiveTalk::worked)),
                    "it works under TLS",
                ),
            ],
            ActiveModeBehindNat => vec![(
                self.saw(|event| {
                    matches!(
                        event,
                        Event::ActiveAddressRefused { .. } | Event::ActiveConnection { .. }
                    )
                }),
                "the server did not say what PORT named",
            )],
            ActiveModeEgressBlocked => vec![(false, "a firewall in front of the client looks the same")],

            // Content, as far as small files show it.
            ContentAltered => vec![(
                self.transfers().any(|(altered, _)| altered) && self.transfers().any(|(_, intact)| intact),
                "the same file did not come whole over another road",
            )],

            // From the server to the client.
            TaskPortBehindNat => vec![
                self.not_dialled_open(),
                (self.task_port_translated() == Some(true), "nobody saw a NAT"),
            ],
            TaskPortHostBlocked => vec![
                self.not_dialled_open(),
                (self.task_port_translated() == Some(false), "a NAT may be to blame"),
                (
                    self.dialled()
                        .is_some_and(|port| port.undelivered.is_some_and(|count| count > 1))
                        || self.dialled_refused_by_the_client(),
                    "the host did not drop it",
                ),
            ],
            TaskPortWrongHost => vec![
                (!self.not_dialled_open().0, "nobody answered"),
                (
                    self.dialled().is_some_and(|port| port.arrivals.is_empty()),
                    "the client was reached",
                ),
            ],
            TaskPortServerEgressBlocked => vec![
                self.not_dialled_open(),
                (
                    self.dialled().is_some_and(|port| port.arrivals.is_empty()),
                    "the client was reached",
                ),
                (
                    self.dialled_answer()
                        .is_some_and(|answer| answer.hops.iter().skip(1).all(Option::is_none)),
                    "the packets got farther than the first router",
                ),
            ],

            // Exposure.
            ForbiddenPortOpen | ConsoleExposed => vec![
                (self.own().is_some_and(Attempt::stood), "it is closed"),
                (
                    self.sightings().any(|sighting| sighting.flow == self.flow),
                    "the server did not see it",
                ),
            ],
            ExposedBeyondPlan => vec![(
                self.grew(|count| count.out_resets),
                "the server's host answered nothing",
            )],

            // Whose rules read facts that are not varied here.
            ControlIdleTimeout
            | StateTableFull
            | ConnectionLimit
            | ServerConnectionLimit
            | ConnectionRateLimit
            | PacketLoss
            | ThroughputPoliced
            | PathMtuBlackhole
            | TransferCut
            | CacheStale
            | BlockPage
            | CaptivePortal
            | TlsIntercepted
            | SignatureInvalid
            | VersionStale
            | VersionRollback
            | RelayStale
            | UploadBlocked => Vec::new(),
            // A new id has to say here what excludes it.
            _ => vec![(false, "nobody has said what excludes it")],
        }
    }

    fn joined(&self) -> Option<&'a Evidence> {
        self.seen.evidence.joined()
    }

    fn dialled(&self) -> Option<&'a TaskPort> {
        self.seen.task_port.as_ref().filter(|port| port.listening.is_some())
    }

    fn dialled_answer(&self) -> Option<&'a TaskPortAnswer> {
        self.dialled()?.answer.as_ref()
    }

    fn not_dialled_open(&self) -> (bool, &'static str) {
        let open = |answer: &TaskPortAnswer| answer.outcome == Outcome::Open || answer.proved == Some(true);
        (
            self.dialled_answer().is_some_and(|answer| !open(answer)),
            "the server's connection stood, or nobody knows",
        )
    }

    fn dialled_refused_by_the_client(&self) -> bool {
        self.dialled_answer()
            .is_some_and(|answer| answer.offender == self.dialled().and_then(|port| port.own))
    }

    fn task_port_translated(&self) -> Option<bool> {
        Some(self.dialled()?.own? != self.dialled_answer()?.to.ip())
    }

    fn own(&self) -> Option<&'a Attempt> {
        self.seen.attempts.get(&self.flow)
    }

    fn wanted(&self) -> impl Iterator<Item = &'a Attempt> {
        let open = |flow: &Flow| self.estate.expected(&self.seen.vantage, *flow) == Expected::Open;
        self.seen
            .attempts
            .iter()
            .filter(move |(flow, _)| open(flow))
            .map(|(_, attempt)| attempt)
    }

    /// A port that cannot be used is not one whose connection stood; of the passive range, one may have.
    fn not_open(&self) -> (bool, &'static str) {
        let stood = self.own().is_some_and(Attempt::stood) && self.flow != Flow::FtpControl;
        (!stood, "the connection stood")
    }

    fn unanswered(&self) -> (bool, &'static str) {
        (self.ended(&[Outcome::Timeout]), "somebody answered")
    }

    fn ended(&self, outcomes: &[Outcome]) -> bool {
        self.own().is_some_and(|attempt| outcomes.contains(&attempt.outcome))
    }

    fn host_unreachable(&self) -> bool {
        let of_wanted = self.wanted().chain(&self.seen.path.patient);
        of_wanted
            .filter_map(|attempt| attempt.icmp)
            .any(|icmp| matches!((icmp.kind, icmp.code), (3, 1) | (1, 3)))
    }

    fn knocks(&self) -> impl Iterator<Item = &'a Knock> {
        self.seen.path.knocks.iter()
    }

    fn server_counted(&self) -> bool {
        self.knocks().any(|knock| knock.server.is_some())
    }

    fn grew(&self, counter: impl Fn(&Counters) -> u64) -> bool {
        self.knocks()
            .filter(|knock| self.concerns(knock))
            .any(|knock| knock.server.is_some_and(|growth| growth.more(&counter) > 0))
    }

    fn half_open(&self) -> bool {
        self.knocks()
            .filter(|knock| self.concerns(knock))
            .any(|knock| knock.half_open.is_some_and(|count| count > 0))
    }

    /// A knock at the port of the finding or at one that may share its cause; for a finding about the passive range at any
    /// port of that.
    fn concerns(&self, knock: &Knock) -> bool {
        match self.own() {
            Some(own) => own.to == knock.to || self.wanted().any(|attempt| attempt.to == knock.to),
            None => {
                let mut sessions = self.seen.ftp.iter().flat_map(|talk| &talk.passive);
                self.ports().any(|tried| tried.attempt.to == knock.to)
                    || sessions.any(|talk| talk.data.as_ref().is_some_and(|data| data.to == knock.to))
            }
        }
    }

    fn listens_for_others(&self) -> bool {
        let Some(evidence) = self.joined() else { return false };
        let port = self.estate.port(self.flow);
        let by_the_host = evidence.host.as_ref().map(|host| {
            let mut listening = host.listening.iter().map(|listener| listener.address);
            listening.any(|at| Some(at.port()) == port && !at.ip().is_loopback())
        });
        by_the_host.unwrap_or_else(|| {
            let own = evidence.server.listening.get(&self.flow);
            own.is_some_and(|at| !at.ip().is_loopback())
        })
    }

    fn sightings(&self) -> impl Iterator<Item = &'a Sighting> {
        self.joined().into_iter().flat_map(|evidence| &evidence.sightings)
    }

    fn saw(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.sightings().any(|sighting| what(&sighting.event))
    }

    fn passive(&self, command: PassiveCommand) -> Option<&'a PassiveTalk> {
        let mut talks = self.seen.ftp.iter().flat_map(|talk| &talk.passive);
        talks.find(|talk| talk.command == command)
    }

    fn worked(&self, command: PassiveCommand) -> bool {
        self.passive(command).is_some_and(PassiveTalk::worked)
    }

    fn told(&self) -> Option<IpAddr> {
        Some(self.passive(PassiveCommand::Pasv)?.told?.ip())
    }

    fn told_elsewhere(&self) -> (bool, &'static str) {
        let elsewhere = self.told() != self.seen.resolution.addresses.first().copied();
        (
            elsewhere && !self.worked(PassiveCommand::Pasv),
            "PASV works, or names the address that was dialled",
        )
    }

    fn ports(&self) -> impl Iterator<Item = &'a PassivePort> {
        self.seen.passive.ports.iter()
    }

    fn swept_open(&self) -> bool {
        self.ports()
            .any(|tried| tried.attempt.stood() && (!self.seen.passive.swept || tried.answered_as == Some(tried.port)))
    }

    fn let_through(&self) -> bool {
        let in_session = |talk: &PassiveTalk| talk.data.as_ref().is_some_and(Attempt::stood);
        self.swept_open() || self.seen.ftp.iter().flat_map(|talk| &talk.passive).any(in_session)
    }

    fn let_nothing_through(&self) -> bool {
        let lost = |attempt: &Attempt| !attempt.stood() && attempt.outcome != Outcome::CheckFailed;
        let in_session = |talk: &PassiveTalk| talk.data.as_ref().is_some_and(lost);
        self.ports().any(|tried| lost(&tried.attempt))
            || self.seen.ftp.iter().flat_map(|talk| &talk.passive).any(in_session)
    }

    fn nothing_came_through(&self) -> (bool, &'static str) {
        (!self.swept_open(), "a port of the range let a connection through")
    }

    fn said_something_else(&self) -> bool {
        self.ports()
            .any(|tried| tried.attempt.stood() && tried.said.is_some() && tried.answered_as.is_none())
    }

    /// Whether each transfer was altered, whether it was intact.
    fn transfers(&self) -> impl Iterator<Item = (bool, bool)> {
        let over_ftp = self.seen.ftp.iter().flat_map(|talk| &talk.passive);
        let over_ftp = over_ftp.filter_map(|talk| talk.transfer.as_ref());
        let over_http = self.seen.http.iter().flat_map(|talk| &talk.transfers);
        over_ftp.chain(over_http).map(|transfer| {
            let altered = transfer.altered();
            (altered, transfer.complete && transfer.expected.is_some() && !altered)
        })
    }
}
