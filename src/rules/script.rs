//! What the texts have in common.

use fwdrill_protocol::estate::port_set::PortSet;

use super::plan::{Place, Plan};

/// What a rule says that refuses the estate's ports to everybody else.
pub(super) const REST: &str = "fwdrill rest: ports of the estate that nobody else reaches";

/// The same, where everything from clients to the server is decided about.
pub(super) const NOTHING_ELSE: &str = "fwdrill rest: no other TCP from clients to the server";

/// What rules decide about that also refuse; for the head of their text.
pub(super) fn decides(plan: &Plan) -> String {
    match &plan.place {
        Place::Routed(crossing) | Place::Dnat { crossing, .. } if !crossing.addresses.is_empty() => format!(
            "all TCP from {} to the server, and leaves everything else to your other rules",
            crossing.clients
        ),
        _ => "the estate's ports, and leaves everything else to your other rules".to_owned(),
    }
}

/// What a text that is not whole says of itself, as comments: how to apply it, and the plan's remarks.
pub(super) fn head(plan: &Plan, comment: &str, lines: &[&str]) -> String {
    let remarks = plan.remarks.iter().map(|remark| format!("Note: {remark}."));
    let lines = lines.iter().map(|line| (*line).to_owned());
    lines.chain(remarks).map(|line| format!("{comment} {line}\n")).collect()
}

/// How a shell script begins, up to its first command: what it is for, or what it takes back.
pub(super) fn shell(plan: &Plan, undo: bool, lines: &[&str]) -> String {
    let begin = "#!/bin/sh\n".to_owned();
    if undo {
        return begin + "# Takes back what fwdrill's rules did: sh FILE\n";
    }
    let apply = "Made by fwdrill rules. Apply: sh FILE. Undo: the script of fwdrill rules --undo.";
    begin + &head(plan, "#", &[&[apply], lines].concat())
}

/// [`ranges`] by as many as one rule of iptables or ufw takes, each joined by commas: up to 15 ports, of which a range counts
/// as two (iptables-extensions(8), multiport; ufw(8)).
pub(super) fn multiports(ports: &PortSet) -> Vec<String> {
    ranges(ports, ":").chunks(7).map(|some| some.join(",")).collect()
}

/// Each contiguous range, `first` and `last` joined by `dash`; a single port as itself.
pub(super) fn ranges(ports: &PortSet, dash: &str) -> Vec<String> {
    let show = |range: &std::ops::RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}{dash}{last}"),
    };
    ports.ranges().iter().map(show).collect()
}
