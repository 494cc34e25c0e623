//! Which rule decided, flow by flow: from the rules that packets met to the lines of the files.

use std::collections::BTreeMap;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::flow::Flow;

use super::decision::{By, Decided, Decision, Fate};
use super::ruleset::Ruleset;
use super::trace::{KernelChain, Packet, Step, Trace};

/// All decisions of a trace, flow by flow.
pub(super) fn decisions(trace: &Trace, ruleset: &Ruleset, estate: &Estate) -> Vec<Decided> {
    let mut ports: BTreeMap<Decision, Vec<u16>> = BTreeMap::new();
    for packet in &trace.packets {
        let Some(flow) = flow(packet, estate) else {
            continue;
        };
        if let Some(decision) = decision(flow, packet, trace, ruleset) {
            ports.entry(decision).or_default().push(packet.port);
        }
    }
    let decided = |(decision, ports): (Decision, Vec<u16>)| Decided {
        decision,
        ports: ports.into_iter().collect(),
    };
    ports.into_iter().map(decided).collect()
}

fn flow(packet: &Packet, estate: &Estate) -> Option<Flow> {
    let port = packet.port;
    if packet.by_server {
        return (estate.port(Flow::Tasks) == Some(port)).then_some(Flow::Tasks);
    }
    let named = estate.flows().find(|flow| estate.port(*flow) == Some(port));
    named.or_else(|| estate.ftp.passive_ports.contains(port).then_some(Flow::FtpPassive))
}

fn decision(flow: Flow, packet: &Packet, trace: &Trace, ruleset: &Ruleset) -> Option<Decision> {
    let mut base: Option<&KernelChain> = None;
    let (mut fate, mut decided, mut translated, mut to_firewall) = (Fate::Accepted, None, None, false);
    for step in &packet.steps {
        let chain = trace.chains.iter().find(|chain| chain.name == step.chain);
        if let Some(chain) = chain.filter(|chain| chain.hook.is_some()) {
            base = Some(chain);
        }
        let hook = base.and_then(|chain| chain.hook.as_deref());
        let nat = base.is_some_and(|chain| chain.kind.as_deref() == Some("nat"));
        to_firewall |= hook == Some("input");
        match step.verdict.as_str() {
            "drop" => {
                let rejects = step.rule.contains("reject");
                fate = if rejects { Fate::Rejected } else { Fate::Dropped };
                decided = Some(step);
            }
            "accept" if nat && step.handle.is_some() && hook == Some("prerouting") => translated = Some(step),
            // A rule says more than a policy.
            "accept"
                if !nat
                    && matches!(hook, Some("forward" | "input"))
                    && fate == Fate::Accepted
                    && (step.handle.is_some() || decided.is_none()) =>
            {
                decided = Some(step);
            }
            _ => {}
        }
    }
    // An answer that passes tells nothing, and there are many. A packet that no chain decided about never got there: it was
    // sent with a small TTL, to see where it dies.
    let decides = |chain: &KernelChain| chain.hook.as_deref() == Some("forward");
    if fate == Fate::Accepted && (packet.answer || decided.is_none() && trace.chains.iter().any(decides)) {
        return None;
    }
    let by = |step: &Step| by(step, trace, ruleset);
    Some(Decision {
        flow,
        answer: packet.answer,
        fate,
        sent_by: decided.and_then(|step| sender(&packet.steps, step)).map(by),
        by: decided.map(by),
        translated_by: translated.map(by),
        to_firewall: to_firewall && !packet.answer,
    })
}

/// The rule before it that sent the packet to its chain.
fn sender<'a>(steps: &'a [Step], decided: &Step) -> Option<&'a Step> {
    let at = steps.iter().rposition(|step| step == decided)?;
    let sends = |step: &&Step| {
        let to = step
            .verdict
            .strip_prefix("jump ")
            .or_else(|| step.verdict.strip_prefix("goto "));
        to == Some(decided.chain.chain.as_str()) && step.chain.table == decided.chain.table
    };
    steps[..at].iter().rev().find(sends)
}

fn by(step: &Step, trace: &Trace, ruleset: &Ruleset) -> By {
    let Some(handle) = step.handle else {
        let origin = ruleset.policy(&step.chain);
        return By {
            chain: step.chain.to_string(),
            policy: true,
            line: origin.as_ref().map(|origin| origin.line),
            file: origin.map(|origin| origin.file),
            rule: None,
        };
    };
    let place = trace
        .chains
        .iter()
        .find(|chain| chain.name == step.chain)
        .and_then(|chain| {
            let at = chain.handles.iter().position(|known| *known == handle)?;
            ruleset.rule(&step.chain, at, chain.handles.len())
        });
    By {
        chain: step.chain.to_string(),
        policy: false,
        line: place.as_ref().map(|place| place.origin.line),
        rule: Some(
            place
                .as_ref()
                .map_or_else(|| step.rule.clone(), |place| place.text.clone()),
        ),
        file: place.map(|place| place.origin.file),
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::estate::port_set::PortSet;

    use super::super::rules::ChainName;
    use super::*;
    fn step(chain: &str, handle: Option<u64>, verdict: &str) -> Step {
        Step {
            chain: ChainName::new("ip", if chain == "PREROUTING" { "nat" } else { "filter" }, chain),
            handle,
            rule: if verdict == "drop" {
                "counter reject"
            } else {
                "tcp dport 2021"
            }
            .to_owned(),
            verdict: verdict.to_owned(),
        }
    }

    fn decided(answer: bool, steps: Vec<Step>) -> Option<Decision> {
        let base = |chain: &str, kind: &str, handles: &[u64]| KernelChain {
            name: step(chain, None, "").chain,
            hook: Some(chain.to_lowercase()),
            kind: Some(kind.to_owned()),
            handles: handles.to_vec(),
        };
        let mut user = base("LOGDROP", "", &[7]);
        (user.hook, user.kind) = (None, None);
        let chains = vec![
            base("PREROUTING", "nat", &[4]),
            base("FORWARD", "filter", &[5, 6]),
            base("INPUT", "filter", &[]),
            user,
        ];
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rules.v4");
        let text = "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -j DNAT --to-destination 10.20.0.10\nCOMMIT\n*filter\n:INPUT DROP\n:FORWARD DROP\n:LOGDROP -\n\
                    -A FORWARD -p tcp --dport 2021 -j LOGDROP\n-A FORWARD -j ACCEPT\n-A LOGDROP -j REJECT\nCOMMIT\n";
        std::fs::write(&file, text).unwrap();
        let ruleset = Ruleset::read(&[file], false).unwrap();
        let packet = Packet {
            by_server: false,
            answer,
            port: 2021,
            steps,
            count: 1,
        };
        let trace = Trace {
            packets: Vec::new(),
            chains,
        };
        decision(Flow::FtpControl, &packet, &trace, &ruleset)
    }

    #[test]
    fn what_dropped_it_has_its_line_and_so_has_what_sent_it_there() {
        let decision = decided(
            false,
            vec![
                step("PREROUTING", Some(4), "accept"),
                step("FORWARD", Some(5), "jump LOGDROP"),
                step("LOGDROP", Some(7), "drop"),
            ],
        )
        .unwrap();
        let line = |by: &Option<By>| by.as_ref().unwrap().line;
        assert_eq!(decision.fate, Fate::Rejected);
        assert_eq!(
            (
                line(&decision.by),
                line(&decision.sent_by),
                line(&decision.translated_by)
            ),
            (Some(11), Some(9), Some(3))
        );
        assert!(!decision.to_firewall);
        let told = Decided {
            decision,
            ports: PortSet::default(),
        }
        .told();
        assert!(
            told.contains("where it was sent by") && told.contains("rules.v4:9"),
            "{told}"
        );
    }

    #[test]
    fn a_policy_has_the_line_that_sets_it_and_what_is_for_the_firewall_is_called_so() {
        let decision = decided(false, vec![step("INPUT", None, "drop")]).unwrap();
        assert_eq!(decision.by.as_ref().unwrap().line, Some(6));
        assert!(decision.by.unwrap().policy && decision.to_firewall);
    }

    #[test]
    fn what_never_came_to_a_decision_and_answers_that_pass_tell_nothing() {
        assert!(decided(false, vec![step("PREROUTING", Some(4), "accept")]).is_none());
        assert!(decided(true, vec![step("FORWARD", Some(6), "accept")]).is_none());
        assert!(decided(true, vec![step("FORWARD", None, "drop")]).is_some_and(|decision| decision.answer));
        let let_in = decided(
            false,
            vec![step("FORWARD", Some(6), "accept"), step("FORWARD", None, "accept")],
        )
        .unwrap();
        assert_eq!((let_in.fate, let_in.by.unwrap().line), (Fate::Accepted, Some(10)));
    }
}
