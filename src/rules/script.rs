//! What the texts have in common.

use fwdrill_protocol::estate::port_set::PortSet;

use super::plan::Plan;

/// What a text that is not whole says of itself, as comments: how to apply it, and the plan's remarks.
pub(super) fn head(plan: &Plan, comment: &str, lines: &[&str]) -> String {
    let remarks = plan.remarks.iter().map(|remark| format!("Note: {remark}."));
    let lines = lines.iter().map(|line| (*line).to_owned());
    lines.chain(remarks).map(|line| format!("{comment} {line}\n")).collect()
}

/// Each contiguous range, `first` and `last` joined by `dash`; a single port as itself.
pub(super) fn ranges(ports: &PortSet, dash: &str) -> Vec<String> {
    let show = |range: &std::ops::RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}{dash}{last}"),
    };
    ports.ranges().iter().map(show).collect()
}
