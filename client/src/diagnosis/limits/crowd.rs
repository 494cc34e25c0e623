//! Many connections fare worse than one: `connection-limit`, `server-connection-limit`, `connection-rate-limit`,
//! `state-table-full`.
//!
//! A limit on their number lets nobody in while all are held, and as many as before as soon as they are closed; a limit on
//! their rate lets them in later, or only when they come slowly. A limit of the server is said (421), or shows in what it
//! accepted. A full table has no room for connections to other services either.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::super::{Diagnosis, list, passive_range};
use super::connections;
use crate::observation::Attempt;
use crate::observation::endurance::{Crowd, Member};
use FindingId::{
    ConnectionLimit, ConnectionRateLimit, PacketLoss, PortDropped, ServerBacklogFull, ServerConnectionLimit,
    StateTableFull,
};

/// Fewer than that many of a hundred are lost packets.
const MANY: usize = 10;

pub(in super::super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some(crowd) = &facts.seen.endurance.crowd else {
        return Vec::new();
    };
    let nobody = !crowd.together.iter().any(Member::served);
    if facts.expected(Flow::FtpControl) != Expected::Open || crowd.lossy().is_some() || nobody {
        return Vec::new();
    }
    let Some(limit) = limit(crowd) else {
        return Vec::new();
    };
    // New connections of every kind suffer from a limit on all of them.
    let explains = match limit.id {
        StateTableFull => silent(facts),
        _ => Vec::new(),
    };
    let finding = limit.finding(facts, crowd);
    vec![Diagnosis { finding, explains }]
}

/// Flows that must be open, and of which some connection or other had no answer.
fn silent(facts: &Facts) -> Vec<Flow> {
    let timed_out = |attempt: &Attempt| attempt.outcome == Outcome::Timeout;
    let talks = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let here = talks.filter(|talk| talk.told.map(|told| told.ip()) == facts.address());
    let mut data = here
        .filter_map(|talk| talk.data.as_ref())
        .chain(facts.seen.passive.ports.iter().map(|tried| &tried.attempt));
    let in_range = data.any(timed_out).then_some(Flow::FtpPassive);
    let services = facts.seen.attempts.iter().filter(|(flow, attempt)| {
        let again = facts
            .trouble(**flow)
            .is_some_and(|trouble| trouble.outcome == Outcome::Timeout);
        facts.expected(**flow) == Expected::Open && (timed_out(attempt) || again)
    });
    services.map(|(flow, _)| *flow).chain(in_range).collect()
}

/// What limits a crowd.
struct Limit {
    id: FindingId,
    place: Place,
    confidence: Confidence,
    alternatives: Vec<FindingId>,
    because: Vec<String>,
}

fn limit(crowd: &Crowd) -> Option<Limit> {
    let count = |which: fn(&Member) -> bool| crowd.together.iter().filter(|member| which(member)).count();
    let turned_away = count(Member::turned_away);
    if turned_away > 0 {
        return Some(of_the_server(crowd, turned_away));
    }
    let closed = count(|member| member.attempt.stood() && member.ended == Some(Outcome::Reset));
    if closed > 0 {
        return Some(closed_at_once(crowd, closed));
    }
    let refused = count(|member| matches!(member.attempt.outcome, Outcome::Refused | Outcome::Unreachable));
    if refused > 0 {
        return Some(refused_at_once(crowd, refused));
    }
    let (dropped, late) = (count(|member| member.attempt.outcome == Outcome::Timeout), crowd.late());
    let hindered = dropped + late;
    // A few that are late on a path that loses packets are no limit.
    let by_chance = hindered * 3 < crowd.together.len() && crowd.shaken();
    if hindered * 100 >= crowd.together.len() * MANY && !by_chance {
        return Some(dropped_or_late(crowd, dropped, late));
    }
    let mute = count(|member| member.ended == Some(Outcome::Silent));
    (mute * 100 >= crowd.together.len() * MANY).then(|| never_greeted(crowd, mute))
}

/// It says so itself.
fn of_the_server(crowd: &Crowd, turned_away: usize) -> Limit {
    let words = crowd.together.iter().find(|member| member.turned_away());
    let words = words.and_then(|member| member.greeting.as_ref());
    let words = words.map_or_else(String::new, |reply| format!("\"{} {}\"", reply.code, reply.text()));
    Limit {
        id: ServerConnectionLimit,
        place: Place::Server,
        confidence: Confidence::Certain,
        alternatives: Vec::new(),
        because: vec![format!(
            "to {turned_away} more the server says {words} instead of a greeting"
        )],
    }
}

/// The connection stands and is closed without a word. Whoever has accepted it is the one.
fn closed_at_once(crowd: &Crowd, closed: usize) -> Limit {
    let stood = crowd.together.iter().filter(|member| member.attempt.stood()).count() as u64;
    let because = format!("{closed} more stood and were closed without a word");
    match crowd.accepted {
        Some(accepted) if accepted >= stood => Limit {
            id: ServerConnectionLimit,
            place: Place::Server,
            confidence: Confidence::Likely,
            alternatives: vec![ConnectionLimit],
            because: vec![
                because,
                format!("the server accepted {accepted} connections meanwhile: all of them"),
            ],
        },
        Some(accepted) => Limit {
            id: ConnectionLimit,
            place: Place::Path,
            confidence: Confidence::Likely,
            alternatives: vec![ServerConnectionLimit],
            because: vec![
                because,
                format!("the server accepted {accepted} of them only: somebody on the way closed the others"),
            ],
        },
        None => Limit {
            id: ServerConnectionLimit,
            place: Place::Unknown,
            confidence: Confidence::Possible,
            alternatives: vec![ConnectionLimit],
            because: vec![because],
        },
    }
}

/// A RST or an ICMP error for the SYN, where others are let in.
fn refused_at_once(crowd: &Crowd, refused: usize) -> Limit {
    let unreachable = crowd
        .together
        .iter()
        .any(|member| member.attempt.outcome == Outcome::Unreachable);
    let because = format!("{refused} more were refused while these were held");
    let by_server = crowd.counted.map(|counted| counted.out_resets >= refused as u64);
    let (id, place, confidence, alternatives, counted) = match by_server {
        _ if unreachable => (
            ConnectionLimit,
            Place::ServerFirewall,
            Confidence::Certain,
            Vec::new(),
            None,
        ),
        Some(true) => (
            ServerConnectionLimit,
            Place::ServerHost,
            Confidence::Likely,
            vec![ConnectionLimit],
            Some("the server's host sent resets for them"),
        ),
        Some(false) => (
            ConnectionLimit,
            Place::ServerFirewall,
            Confidence::Certain,
            Vec::new(),
            Some("the server's host sent no resets for them: somebody on the way did"),
        ),
        None => (
            ConnectionLimit,
            Place::ServerFirewall,
            Confidence::Likely,
            vec![ServerConnectionLimit],
            None,
        ),
    };
    // A rate that is exceeded may be refused, too; the same number again tells.
    if crowd.after.iter().any(|member| !member.attempt.stood()) {
        return Limit {
            id: ConnectionRateLimit,
            place,
            confidence: Confidence::Likely,
            alternatives: vec![id],
            because: vec![because, again(crowd)],
        };
    }
    Limit {
        id,
        place,
        confidence,
        alternatives,
        because: [Some(because), counted.map(str::to_owned)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn dropped_or_late(crowd: &Crowd, dropped: usize, late: usize) -> Limit {
    let overflows = crowd.counted.map_or(0, |counted| counted.listen_overflows);
    if overflows * 2 >= (dropped + late) as u64 {
        return Limit {
            id: ServerBacklogFull,
            place: Place::Server,
            confidence: Confidence::Certain,
            alternatives: Vec::new(),
            because: vec![format!(
                "the server's host counted {overflows} SYNs for a full accept queue (ListenOverflows)"
            )],
        };
    }
    let let_in = |members: &[Member]| members.iter().filter(|member| member.attempt.stood()).count();
    // While all are held, who is not let in at once is not let in later either; when they are closed, as many are as before.
    let by_number =
        late * 4 <= dropped && !crowd.after.is_empty() && let_in(&crowd.after) * 10 >= crowd.after.len() * 9;
    if !by_number {
        return by_rate(crowd, dropped, late);
    }
    let held = format!(
        "{dropped} more stayed without an answer as long as these were held; with all of them closed {} of {} at once were let in again",
        let_in(&crowd.after),
        crowd.after.len()
    );
    let elsewhere: Vec<u16> = crowd
        .elsewhere
        .iter()
        .filter(|attempt| !attempt.stood())
        .map(|attempt| attempt.to.port())
        .collect();
    if !elsewhere.is_empty() && elsewhere.len() == crowd.elsewhere.len() {
        return Limit {
            id: StateTableFull,
            place: Place::ServerFirewall,
            confidence: Confidence::Likely,
            alternatives: vec![ConnectionLimit],
            because: vec![
                held,
                format!(
                    "meanwhile TCP {} stayed without an answer as well, which answered before",
                    list(elsewhere)
                ),
            ],
        };
    }
    let mut because = vec![held];
    if !crowd.elsewhere.is_empty() {
        let open = crowd.elsewhere.iter().map(|attempt| attempt.to.port());
        because.push(format!("meanwhile other services answered: TCP {}", list(open)));
    }
    let unseen = crowd
        .counted
        .zip(crowd.half_open)
        .map(|(counted, half_open)| (counted.undelivered(), half_open));
    match unseen {
        Some((undelivered, _)) if undelivered >= dropped as u64 => {
            because.push(format!(
                "the server's host received {undelivered} packets more than it delivered: its own firewall drops them"
            ));
            Limit {
                id: ConnectionLimit,
                place: Place::ServerHost,
                confidence: Confidence::Certain,
                alternatives: Vec::new(),
                because,
            }
        }
        Some((_, 0)) => {
            because.push("the server's host saw nothing of them".to_owned());
            Limit {
                id: ConnectionLimit,
                place: Place::ServerFirewall,
                confidence: Confidence::Certain,
                alternatives: Vec::new(),
                because,
            }
        }
        _ => Limit {
            id: ConnectionLimit,
            place: Place::ServerFirewall,
            confidence: Confidence::Likely,
            alternatives: vec![ServerConnectionLimit, ServerBacklogFull, StateTableFull],
            because,
        },
    }
}

fn by_rate(crowd: &Crowd, dropped: usize, late: usize) -> Limit {
    let mut because = vec![format!(
        "{late} more were let in only when the kernel repeated their SYN, a second later or more; {dropped} were not within the time"
    )];
    because.extend((!crowd.after.is_empty()).then(|| again(crowd)));
    if !crowd.apart.is_empty() {
        let stood = crowd.apart.iter().filter(|member| member.attempt.stood()).count();
        because.push(format!(
            "one by one, more than a second apart: {stood} of {} were let in",
            crowd.apart.len()
        ));
    }
    // Connections that stand are served without any delay, which lost packets would not leave alone.
    Limit {
        id: ConnectionRateLimit,
        place: Place::ServerFirewall,
        confidence: Confidence::Likely,
        alternatives: if late > dropped {
            vec![PacketLoss]
        } else {
            vec![ConnectionLimit, PortDropped]
        },
        because,
    }
}

fn again(crowd: &Crowd) -> String {
    let stood = crowd.after.iter().filter(|member| member.attempt.stood()).count();
    format!(
        "with all of them closed, {stood} of {} at once were let in",
        crowd.after.len()
    )
}

/// It stands, and nobody accepts it: the program has no room, or somebody on the way has answered for it.
fn never_greeted(crowd: &Crowd, mute: usize) -> Limit {
    let because = format!("{mute} more stood and were never greeted");
    match crowd.waiting {
        Some(waiting) if waiting > 0 => Limit {
            id: ServerConnectionLimit,
            place: Place::Server,
            confidence: Confidence::Likely,
            alternatives: vec![FindingId::ServerHung],
            because: vec![
                because,
                format!("{waiting} connections wait at the server's host for its program to accept them"),
            ],
        },
        Some(_) => Limit {
            id: ConnectionLimit,
            place: Place::ServerFirewall,
            confidence: Confidence::Likely,
            alternatives: vec![FindingId::ProxyBackendDown],
            because: vec![
                because,
                "none waits at the server's host: somebody on the way answers for it".to_owned(),
            ],
        },
        None => Limit {
            id: ServerConnectionLimit,
            place: Place::Unknown,
            confidence: Confidence::Possible,
            alternatives: vec![ConnectionLimit, FindingId::ServerHung],
            because: vec![because],
        },
    }
}

impl Limit {
    fn finding(self, facts: &Facts, crowd: &Crowd) -> Finding {
        let served = crowd.served();
        let at_once = match crowd.besides {
            0 => format!(
                "{} to TCP {} were dialled at once: {served} were served and held",
                connections(crowd.together.len()),
                crowd.to.port()
            ),
            besides => format!(
                "{} to TCP {} were dialled at once, beside {besides} that stood: {served} in all were served and held",
                connections(crowd.together.len()),
                crowd.to.port()
            ),
        };
        let mut evidence = vec![at_once];
        evidence.extend(self.because.iter().cloned());
        Finding {
            id: self.id,
            severity: Severity::Error,
            confidence: self.confidence,
            flow: Flow::FtpControl,
            summary: self.summary(crowd, served),
            place: self.place,
            evidence,
            remedy: self.remedy(facts, crowd),
            alternatives: self.alternatives,
        }
    }

    fn summary(&self, crowd: &Crowd, served: usize) -> String {
        let port = crowd.to.port();
        match self.id {
            ServerConnectionLimit => format!("the FTP server has room for {served} sessions from here at once"),
            ConnectionRateLimit => format!("a firewall limits how fast new connections to TCP {port} may come"),
            StateTableFull => format!(
                "a firewall on the way has no room for more connections, whatever the port: with {served} control connections held, no other gets through"
            ),
            ServerBacklogFull => {
                format!("the accept queue of TCP {port} is too short: connections that come at once are dropped")
            }
            _ => format!("a firewall lets no more than {served} connections to TCP {port} through at once"),
        }
    }

    fn remedy(&self, facts: &Facts, crowd: &Crowd) -> String {
        let (port, clients) = (crowd.to.port(), facts.estate.clients);
        let (server, client) = (passive_range::inside_address(facts), facts.client_address());
        match self.id {
            ServerConnectionLimit => format!(
                "raise the limit of sessions per address at the server (ftp.limits.sessions_per_address and ftp.limits.sessions; vsftpd: max_per_ip, max_clients): {clients} clients may update at once, and share an address behind NAT"
            ),
            ConnectionRateLimit => format!(
                "raise the limit on new connections to tcp dport {port} at {server}, or exempt {client}: {clients} clients may update at once (nft: limit rate, iptables: -m limit, hashlimit, recent; SYN flood protection)"
            ),
            StateTableFull => format!(
                "on the firewall in front of {server}, make the connection table larger (net.netfilter.nf_conntrack_max, and its buckets) or its timeouts shorter, and look what fills it (`conntrack -C`, `conntrack -L`); or raise the limit on all connections (nft: ct count, iptables: -m connlimit)"
            ),
            ServerBacklogFull => "raise the backlog of the service, and net.core.somaxconn of the server".to_owned(),
            _ => format!(
                "raise the limit on simultaneous connections from one address to tcp dport {port} at {server} (nft: ct count over, iptables: -m connlimit --connlimit-above), or exempt {client}: {clients} clients may update at once, and share an address behind NAT"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::host::Counters;

    use super::super::super::testing::*;
    use super::super::testing::*;
    use super::*;
    use crate::observation::Observations;

    fn with(gathered: Crowd) -> Observations {
        let mut seen = healthy();
        seen.endurance.crowd = Some(gathered);
        seen
    }

    fn elsewhere(outcome: Outcome) -> Vec<crate::observation::Attempt> {
        [2221, 3333].map(|port| attempt(at(port), outcome)).to_vec()
    }

    /// Ten are let in, also again; the others never.
    fn ten(other: impl Fn() -> Member) -> Crowd {
        Crowd {
            elsewhere: elsewhere(Outcome::Open),
            after: vec![served_member(); 10],
            ..crowd(24, |at| if at < 10 { served_member() } else { other() })
        }
    }

    #[test]
    fn a_crowd_that_is_served_is_no_finding() {
        assert_eq!(ids(&report_of(&with(crowd(24, |_| served_member())))), []);
    }

    #[test]
    fn who_is_let_in_again_when_others_are_gone_meets_a_limit_on_their_number() {
        let report = report_of(&with(ten(dropped_member)));
        assert_eq!(ids(&report), [ConnectionLimit]);
        assert!(report.findings[0].summary.contains("10 connections"));
        assert_eq!(report.findings[0].confidence, Confidence::Likely);
        let counted = Crowd {
            counted: Some(Counters::default()),
            half_open: Some(0),
            accepted: Some(10),
            ..ten(dropped_member)
        };
        let report = report_of(&with(counted));
        assert_eq!(
            (ids(&report), report.findings[0].confidence),
            (vec![ConnectionLimit], Confidence::Certain)
        );
    }

    #[test]
    fn who_is_let_in_a_second_later_meets_a_limit_on_their_rate() {
        let gathered = crowd(24, |at| match at {
            0..5 => served_member(),
            5..15 => late_member(),
            _ => dropped_member(),
        });
        assert_eq!(ids(&report_of(&with(gathered))), [ConnectionRateLimit]);
    }

    #[test]
    fn who_is_not_let_in_again_when_others_are_gone_meets_a_limit_on_their_rate() {
        let gathered = Crowd {
            after: vec![dropped_member(); 10],
            ..ten(dropped_member)
        };
        assert_eq!(ids(&report_of(&with(gathered))), [ConnectionRateLimit]);
    }

    #[test]
    fn a_limit_that_other_services_suffer_from_is_a_full_table() {
        let gathered = Crowd {
            elsewhere: elsewhere(Outcome::Timeout),
            ..ten(dropped_member)
        };
        let report = report_of(&with(gathered.clone()));
        assert_eq!(ids(&report), [StateTableFull]);
        assert_eq!(report.findings[0].alternatives, [ConnectionLimit]);
        // Its consequences are no findings of their own.
        let mut seen = with(gathered);
        for tried in &mut seen.passive.ports {
            *tried = passive_port(tried.port, Outcome::Timeout);
        }
        seen.passive.ports[0] = passive_port(3023, Outcome::Open);
        assert_eq!(ids(&report_of(&seen)), [StateTableFull]);
    }

    #[test]
    fn a_421_is_the_servers_own_limit() {
        for seen in [with(ten(member_turned_away)), alone(with(ten(member_turned_away)))] {
            let report = report_of(&seen);
            assert_eq!(
                (ids(&report), report.findings[0].confidence),
                (vec![ServerConnectionLimit], Confidence::Certain)
            );
            assert!(
                report.findings[0]
                    .evidence
                    .iter()
                    .any(|line| line.contains("421 Too many sessions"))
            );
        }
    }

    #[test]
    fn who_has_accepted_what_is_closed_at_once_decides_whose_limit_it_is() {
        let accepted = |accepted| Crowd {
            accepted,
            ..ten(closed_member)
        };
        assert_eq!(ids(&report_of(&with(accepted(Some(24))))), [ServerConnectionLimit]);
        assert_eq!(ids(&report_of(&with(accepted(Some(10))))), [ConnectionLimit]);
        let report = report_of(&with(accepted(None)));
        assert_eq!(report.findings[0].alternatives, [ConnectionLimit]);
    }

    #[test]
    fn a_reset_is_a_firewalls_where_the_servers_host_sent_none() {
        let counted = |out_resets| Crowd {
            counted: Some(Counters {
                out_resets,
                ..Counters::default()
            }),
            ..ten(refused_member)
        };
        assert_eq!(ids(&report_of(&with(counted(0)))), [ConnectionLimit]);
        assert_eq!(ids(&report_of(&with(counted(14)))), [ServerConnectionLimit]);
        let report = report_of(&with(ten(refused_member)));
        assert_eq!(
            (report.findings[0].id, report.findings[0].alternatives.as_slice()),
            (ConnectionLimit, &[ServerConnectionLimit][..])
        );
    }

    #[test]
    fn a_few_late_ones_among_greetings_that_are_late_are_lost_packets_and_no_limit() {
        let few = |other: fn() -> Member| {
            crowd(24, move |at| match at {
                0..5 => late_member(),
                5 => other(),
                _ => served_member(),
            })
        };
        assert_eq!(ids(&report_of(&with(few(served_member)))), [ConnectionRateLimit]);
        assert_eq!(ids(&report_of(&with(few(slow_member)))), []);
    }

    #[test]
    fn two_late_ones_of_many_are_lost_packets_and_no_limit() {
        assert_eq!(
            ids(&report_of(&with(crowd(24, |at| if at < 2 {
                late_member()
            } else {
                served_member()
            })))),
            []
        );
    }
}
