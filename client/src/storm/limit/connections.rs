//! Connections do not stand any more: `connection-limit`, `connection-rate-limit`, `state-table-full`, `server-backlog-full`.
//!
//! A limit lets others in meanwhile, and everybody when all is over; a port that nobody listens on does neither, and is no
//! limit. A full table has room for no service; a limit on one port leaves the others alone. Late connections are limited by
//! their rate only if the kernel did repeat SYNs: a busy machine is late as well.

use std::time::Duration;

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::storm::{Cause, Sum};

use super::Limit;
use crate::storm::facts::Facts;
use crate::storm::port_book::{First, PortBook};
use FindingId::{
    ConnectionLimit, ConnectionRateLimit, PacketLoss, ServerBacklogFull, ServerConnectionLimit, StateTableFull,
};

const NEVER_STOOD: [Cause; 3] = [Cause::Refused, Cause::Timeout, Cause::Unreachable];
/// Fewer than this many, or than one of a hundred, are lost packets.
const SOME: u64 = 3;
/// When the kernel repeats a SYN.
const SYN_AGAIN: Duration = Duration::from_secs(1);
/// Of a hundred that are late.
const MANY: u64 = 10;

pub(super) fn check(facts: &Facts) -> Option<Limit> {
    if facts.server_was_away() {
        return None;
    }
    let hurt: Vec<(Flow, &PortBook)> = (facts.books.ports.iter())
        .map(|(flow, book)| (*flow, book))
        .filter(|(flow, book)| is_hurt(facts, *flow, book))
        .collect();
    // With no room for any service, who comes late to one has the room that another left.
    let rate = if hurt.len() > 1 { None } else { rate(facts) };
    rate.or_else(|| {
        let (flow, book) = hurt
            .iter()
            .min_by_key(|(_, book)| book.first.map(|first| first.began))?;
        let first = book.first?;
        Some(number(facts, &hurt, *flow, book).limit(facts, *flow, first))
    })
}

/// Whether connections to a service fail in such a way that a limit may be why.
fn is_hurt(facts: &Facts, flow: Flow, book: &PortBook) -> bool {
    let failed = book.of(&NEVER_STOOD);
    let enough = failed >= SOME && failed * 100 >= book.stood + failed;
    // Ports that never let anybody in are closed, not limited.
    let port_by_port = book.bad.iter().any(|port| book.good.contains(port));
    enough && port_by_port && book.stood > 0 && (is_open_again(facts, flow) || went_on(facts, book))
}

/// Whether the service lets somebody in when all is over; true where nobody asked and others were let in later.
fn is_open_again(facts: &Facts, flow: Flow) -> bool {
    match facts.witness.afterwards.get(&flow) {
        Some(after) => *after == Outcome::Open,
        None => facts.books.ports.get(&flow).is_some_and(|book| book.stood_after > 0),
    }
}

/// Whether the server was there while SYNs were repeated without an answer: something went well meanwhile. Entries of a
/// table that is full go only after minutes, so it need not be open again.
fn went_on(facts: &Facts, book: &PortBook) -> bool {
    let dropped = book.of(&[Cause::Timeout]) > 0;
    let first = book.first.map(|first| first.began + SYN_AGAIN);
    dropped && first.is_some_and(|first| facts.books.last_good > first)
}

struct Verdict {
    id: FindingId,
    place: Place,
    confidence: Confidence,
    alternatives: Vec<FindingId>,
    because: Vec<String>,
}

/// A second SYN was needed, and let in.
fn rate(facts: &Facts) -> Option<Limit> {
    let (flow, book) = facts.books.ports.iter().max_by_key(|(_, book)| book.late)?;
    let (late, dropped) = (book.late, book.of(&[Cause::Timeout]));
    let repeated = facts.witness.here?.syns_sent_again;
    let many = (late + dropped) * 100 >= (book.stood + dropped) * MANY;
    // Where the number is limited, somebody is let in late only when somebody else has gone.
    if late < SOME || !many || !book.late_though_held || repeated * 2 < late {
        return None;
    }
    let overflows = facts.witness.counted.map_or(0, |counted| counted.listen_overflows);
    let because = format!(
        "{late} of {} connections to {} stood only after a second or more, {dropped} never; this machine sent {repeated} SYNs again",
        book.stood,
        flow.title()
    );
    let verdict = if overflows * 2 >= late + dropped {
        backlog(because, overflows)
    } else {
        Verdict {
            id: ConnectionRateLimit,
            place: Place::ServerFirewall,
            confidence: Confidence::Likely,
            alternatives: vec![PacketLoss],
            because: vec![because],
        }
    };
    let first = book.first.unwrap_or(First {
        began: Duration::ZERO,
        held: book.most,
        in_all: book.most,
    });
    Some(verdict.limit(facts, *flow, first))
}

/// They do not stand at all.
fn number(facts: &Facts, hurt: &[(Flow, &PortBook)], flow: Flow, book: &PortBook) -> Verdict {
    let count = |causes: &[Cause]| hurt.iter().map(|(_, book)| book.of(causes)).sum::<u64>();
    let (dropped, refused) = (count(&[Cause::Timeout]), count(&[Cause::Refused]));
    let names: Vec<&str> = hurt.iter().map(|(flow, _)| flow.title()).collect();
    let because = format!(
        "{} connections did not stand ({dropped} SYNs without an answer, {refused} refused): {}",
        count(&NEVER_STOOD),
        names.join(", ")
    );
    let counted = facts.witness.counted;
    let overflows = counted.map_or(0, |counted| counted.listen_overflows);
    if dropped > 0 && overflows * 2 >= dropped {
        return backlog(because, overflows);
    }
    if hurt.len() > 1 && dropped > 0 {
        return Verdict {
            id: StateTableFull,
            place: Place::ServerFirewall,
            confidence: Confidence::Likely,
            alternatives: vec![ConnectionLimit, ConnectionRateLimit],
            because: vec![because, "the same for more than one service".to_owned()],
        };
    }
    let others = facts
        .books
        .ports
        .iter()
        .filter(|(other, book)| **other != flow && book.stood > 0);
    let others: Vec<&str> = others.map(|(flow, _)| flow.title()).collect();
    let meanwhile = format!("other services answered meanwhile: {}", others.join(", "));
    let (id, place, confidence, alternatives) = match counted.map(|counted| counted.out_resets >= refused) {
        _ if book.of(&[Cause::Unreachable]) > 0 => {
            (ConnectionLimit, Place::ServerFirewall, Confidence::Certain, vec![])
        }
        Some(true) if refused > dropped => (
            ServerConnectionLimit,
            Place::ServerHost,
            Confidence::Likely,
            vec![ConnectionLimit],
        ),
        Some(false) if refused > dropped => (ConnectionLimit, Place::ServerFirewall, Confidence::Likely, vec![]),
        _ => (
            ConnectionLimit,
            Place::ServerFirewall,
            match is_open_again(facts, flow) {
                true => Confidence::Likely,
                false => Confidence::Possible,
            },
            vec![ServerConnectionLimit, StateTableFull],
        ),
    };
    Verdict {
        id,
        place,
        confidence,
        alternatives,
        because: vec![because, meanwhile],
    }
}

fn backlog(because: String, overflows: u64) -> Verdict {
    Verdict {
        id: ServerBacklogFull,
        place: Place::Server,
        confidence: Confidence::Certain,
        alternatives: vec![],
        because: vec![
            because,
            format!("the server's host counted {overflows} SYNs for a full accept queue (ListenOverflows)"),
        ],
    }
}

impl Verdict {
    fn limit(self, facts: &Facts, flow: Flow, first: First) -> Limit {
        let (what, clients) = (flow.title(), facts.storm.clients);
        let port = match facts.port(flow) {
            0 => facts.range().to_string(),
            port => port.to_string(),
        };
        let text = match self.id {
            ConnectionRateLimit => format!(
                "{} connections to {what} in {:.1} s, and not all of them let in at once",
                facts.books.ports.get(&flow).map_or(0, |book| book.stood),
                facts.elapsed.as_secs_f64()
            ),
            _ => format!(
                "{} connections to {what} stood, {} in all, when the next one did not; {clients} agents want one each",
                first.held, first.in_all
            ),
        };
        let (summary, remedy) = match self.id {
            ConnectionRateLimit => (
                format!("a firewall limits how fast new connections to TCP {port} may come"),
                format!("raise the limit on new connections to tcp dport {port} (nft: limit rate, iptables: -m limit, hashlimit, recent; SYN flood protection): {clients} clients update at once"),
            ),
            StateTableFull => (
                format!("a firewall on the way has no room for more connections, whatever the port: {} stood when the next did not", first.in_all),
                "make the connection table of the firewalls larger (net.netfilter.nf_conntrack_max, and its buckets) or its timeouts shorter, and look what fills it (conntrack -C, conntrack -L); or raise the limit on all connections (nft: ct count, iptables: -m connlimit)".to_owned(),
            ),
            ServerBacklogFull => (
                format!("the accept queue of TCP {port} is too short: connections that come at once are dropped"),
                "raise the backlog of the service, and net.core.somaxconn of the server".to_owned(),
            ),
            ServerConnectionLimit => (
                format!("the server's host lets no more than about {} connections to TCP {port} in at once", first.held),
                format!("raise the limit of the server, or of its host's firewall, on tcp dport {port}: {clients} clients update at once"),
            ),
            _ => (
                format!("a firewall lets no more than about {} connections to TCP {port} through at once", first.held),
                format!("raise the limit on simultaneous connections from one address to tcp dport {port} (nft: ct count over, iptables: -m connlimit --connlimit-above): {clients} clients update at once, and share an address behind NAT"),
            ),
        };
        let mut evidence = self.because;
        evidence.push(format!("the sum: {text}"));
        Limit {
            began: first.began,
            finding: Finding {
                id: self.id,
                severity: Severity::Error,
                confidence: self.confidence,
                flow,
                summary,
                place: self.place,
                evidence,
                remedy,
                alternatives: self.alternatives,
            },
            sum: Sum {
                text,
                per_second: None,
                held_s: None,
                needed: Some(f64::from(clients)),
                counted: first.held,
                available: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::host::Counters;
    use fwdrill_protocol::report::Verdict;
    use fwdrill_protocol::storm::Step;

    use super::super::judge;
    use super::super::testing::*;
    use super::*;

    /// Forty stand, sixty do not, and with `later` some are let in after that.
    fn limited(facts: &mut Facts, flow: Flow, step: Step, cause: Cause, later: u64) {
        let port = facts.port(flow);
        let book = facts.books.ports.entry(flow).or_default();
        for at in 0..40 {
            book.stood(port, Duration::from_millis(at), Duration::from_millis(1));
        }
        for at in 40..100 {
            book.did_not(port, Duration::from_millis(at), cause, 40);
        }
        for at in 100..100 + later {
            book.stood(port, Duration::from_millis(at), Duration::from_millis(1));
        }
        fail(facts, step, cause, 60, Duration::from_millis(40));
    }

    fn ids(facts: &Facts) -> Vec<FindingId> {
        judge(facts).findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_port_that_nobody_listens_on_any_more_is_no_limit() {
        let mut facts = storm_of(100);
        limited(&mut facts, Flow::FtpControl, Step::Control, Cause::Refused, 0);
        assert_eq!((ids(&facts), judge(&facts).verdict), (vec![], Verdict::Fail));
        facts.witness.afterwards.insert(Flow::FtpControl, Outcome::Refused);
        assert_eq!(ids(&facts), []);
        // One that lets everybody in again is one.
        facts.witness.afterwards.insert(Flow::FtpControl, Outcome::Open);
        assert_eq!(ids(&facts), [ConnectionLimit]);
        // And one that answers nobody when all is over is none.
        let mut facts = storm_of(100);
        limited(&mut facts, Flow::FtpControl, Step::Control, Cause::Timeout, 5);
        facts.witness.afterwards.insert(Flow::FtpControl, Outcome::Timeout);
        assert_eq!(ids(&facts), []);
    }

    #[test]
    fn who_is_dropped_while_others_are_let_in_meets_a_limit_on_one_port() {
        let mut facts = storm_of(100);
        limited(&mut facts, Flow::FtpControl, Step::Control, Cause::Timeout, 5);
        let judgement = judge(&facts);
        assert_eq!(ids(&facts), [ConnectionLimit]);
        let sum = judgement.sum.unwrap();
        assert_eq!((sum.counted, sum.needed), (40, Some(100.0)));
        assert!(sum.text.contains("40 connections to"), "{}", sum.text);
    }

    #[test]
    fn what_hurts_every_service_is_a_full_table() {
        let mut facts = storm_of(100);
        limited(&mut facts, Flow::FtpControl, Step::Control, Cause::Timeout, 5);
        limited(&mut facts, Flow::Version, Step::Version, Cause::Timeout, 5);
        assert_eq!(ids(&facts), [StateTableFull]);
    }

    #[test]
    fn the_servers_own_counters_tell_a_full_queue_and_whose_resets_they_are() {
        let counted = |overflows, resets, cause| {
            let mut facts = storm_of(100);
            limited(&mut facts, Flow::FtpControl, Step::Control, cause, 5);
            facts.witness.counted = Some(Counters {
                listen_overflows: overflows,
                out_resets: resets,
                ..Counters::default()
            });
            ids(&facts)
        };
        assert_eq!(counted(60, 0, Cause::Timeout), [ServerBacklogFull]);
        assert_eq!(counted(0, 60, Cause::Refused), [ServerConnectionLimit]);
        assert_eq!(counted(0, 0, Cause::Refused), [ConnectionLimit]);
    }

    #[test]
    fn late_connections_are_a_limit_on_their_rate_only_if_syns_were_repeated() {
        let late = |repeated| {
            let mut facts = storm_of(100);
            let book = facts.books.ports.entry(Flow::FtpControl).or_default();
            for at in 0..100 {
                book.stood(2021, Duration::ZERO, Duration::from_millis(20 * at));
            }
            fail(&mut facts, Step::Download, Cause::Silent, 1, Duration::from_secs(9));
            facts.witness.here = Some(Counters {
                syns_sent_again: repeated,
                ..Counters::default()
            });
            ids(&facts)
        };
        assert_eq!(late(60), [ConnectionRateLimit]);
        assert_eq!(late(3), []);
    }

    #[test]
    fn closed_ports_of_the_range_and_a_few_lost_packets_are_no_limit() {
        let mut facts = storm_of(100);
        let book = facts.books.ports.entry(Flow::FtpPassive).or_default();
        for port in 0..40 {
            book.stood(3023 + port, Duration::ZERO, Duration::ZERO);
            book.did_not(3123 + port, Duration::from_secs(1), Cause::Timeout, 0);
        }
        fail(&mut facts, Step::Data, Cause::Timeout, 40, Duration::from_secs(1));
        assert_eq!(ids(&facts), []);
        let mut facts = storm_of(100);
        let book = facts.books.ports.entry(Flow::FtpControl).or_default();
        for at in 0..100 {
            book.stood(2021, Duration::from_millis(at), Duration::ZERO);
        }
        book.did_not(2021, Duration::from_millis(1), Cause::Timeout, 0);
        fail(&mut facts, Step::Control, Cause::Timeout, 1, Duration::from_millis(1));
        assert_eq!(ids(&facts), []);
    }
}
