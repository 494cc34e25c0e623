//! What more than one renderer says, in the same words.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::flow::Expected;
use fwdrill_protocol::report::{FlowResult, PassiveRange, Report, Road, Verdict};

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    }
}

/// What the report is about, and from where it was seen.
pub(super) fn title(report: &Report) -> String {
    match on_paper(report) {
        true => report.target.clone(),
        false => format!("{} from {}", report.target, report.vantage),
    }
}

/// Whether nothing was measured: `lint` reads what is written, and there are no flows to tell of.
pub(super) fn on_paper(report: &Report) -> bool {
    report.flows.is_empty()
}

/// Whether a form that counts cases would have none: a `lint` that found nothing.
pub(super) fn nothing_to_count(report: &Report) -> bool {
    on_paper(report) && report.findings.is_empty() && report.life.is_none()
}

/// What the verdict amounts to: how many of the flows that matter are as expected.
pub(super) fn meaning(report: &Report) -> String {
    let count = |verdict: Verdict| report.flows.iter().filter(|flow| flow.verdict == verdict).count();
    let all = report.flows.len();
    match report.verdict {
        Verdict::Pass if on_paper(report) && report.findings.is_empty() => "no contradiction".to_owned(),
        Verdict::Pass if on_paper(report) => "no error".to_owned(),
        Verdict::Fail if on_paper(report) => "what is written cannot work".to_owned(),
        Verdict::Pass => "everything that is expected holds".to_owned(),
        Verdict::Inconclusive => format!("{} of {all} flows could not be checked", count(Verdict::Inconclusive)),
        Verdict::Fail if count(Verdict::Fail) == 0 => "the update service does not work as expected".to_owned(),
        Verdict::Fail => {
            let failed = count(Verdict::Fail);
            format!(
                "{failed} of {all} flows {} not as expected",
                if failed == 1 { "is" } else { "are" }
            )
        }
    }
}

/// Failed flows that no finding speaks of are said to be unexplained, not passed over.
pub(super) fn unexplained(report: &Report) -> Vec<String> {
    if report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Vec::new();
    }
    let failed = report.flows.iter().filter(|flow| flow.verdict == Verdict::Fail);
    failed
        .map(|flow| {
            let detail = flow.detail.as_deref().unwrap_or(flow.outcome.name());
            format!("{}: {detail}", flow.flow.title())
        })
        .collect()
}

/// What a finding is to the reader; `first` is the first of the report.
pub(super) fn label(finding: &Finding, first: bool) -> &'static str {
    match (finding.severity, first) {
        (Severity::Error, true) => "Cause",
        (Severity::Error, false) => "Also",
        (Severity::Warning, _) => "Warning",
        (Severity::Info, _) => "Note",
    }
}

/// With a capital; the full stop is the renderer's.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// A row of the table of flows: verdict, flow, address, expected, state, outcome, time, whether the server saw it, and
/// details, in which strangers may have had their say.
pub(super) fn cells(flow: &FlowResult) -> [String; 9] {
    [
        flow_verdict(flow).to_owned(),
        flow.flow.name().to_owned(),
        flow.to.map_or_else(|| "-".to_owned(), |to| to.to_string()),
        flow.expected.name().to_owned(),
        flow.state.name().to_owned(),
        flow.outcome.name().to_owned(),
        rtt(flow),
        flow.seen_by_server.name().to_owned(),
        flow.detail.clone().unwrap_or_default(),
    ]
}

/// What nobody minds is neither right nor wrong.
pub(super) fn flow_verdict(flow: &FlowResult) -> &'static str {
    match (flow.expected, flow.verdict) {
        (Expected::Any, Verdict::Pass) => "-",
        (_, verdict) => verdict.name(),
    }
}

pub(super) fn rtt(flow: &FlowResult) -> String {
    flow.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms"))
}

pub(super) fn range(range: &PassiveRange) -> String {
    let part = |name: &str, ports: &PortSet| match ports.len() {
        0 => String::new(),
        count => format!("; {name} {count} ({ports})"),
    };
    let untested = match range.untested.len() {
        0 => String::new(),
        count => format!("; untested {count}"),
    };
    format!(
        "passive range {}{}{}{untested}",
        range.planned,
        part("open", &range.open),
        part("blocked", &range.blocked)
    )
}

/// "way: 192.168.50.10 (seen as 198.51.100.2), 198.51.100.1, ?, 203.0.113.2, 10.20.0.10 (server)".
pub(super) fn road(road: &Road) -> String {
    let mut stations = Vec::new();
    let seen_as = road.client_seen_as.filter(|seen| Some(*seen) != road.client);
    stations.push(match (road.client, seen_as) {
        (Some(client), None) => client.to_string(),
        (Some(client), Some(seen)) => format!("{client} (the server sees {seen})"),
        (None, Some(seen)) => format!("this client (the server sees {seen})"),
        (None, None) => "this client".to_owned(),
    });
    let hop = |hop: &Option<std::net::IpAddr>| hop.map_or_else(|| "?".to_owned(), |hop| hop.to_string());
    stations.extend(road.hops.iter().map(hop));
    if !road.complete {
        stations.push("...".to_owned());
    }
    stations.push(
        road.server
            .map_or_else(|| "the server".to_owned(), |server| format!("{server} (the server)")),
    );
    format!("way {}", stations.join(" > "))
}

/// Without control characters: what strangers say must not move a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// Where the report comes from.
pub(super) fn provenance(report: &Report) -> String {
    if on_paper(report) {
        return format!("from what is written, without any traffic; {:.0}", report.started);
    }
    let ends = if report.both_ends {
        "both ends joined"
    } else {
        "the client's end only"
    };
    format!(
        "{ends}; {:.1} s; {:.0}; drill {}",
        report.elapsed_ms as f64 / 1e3,
        report.started,
        report.drill
    )
}
