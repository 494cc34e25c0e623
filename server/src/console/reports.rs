//! What clients told of themselves: who they are, which version they have, and every report with its diagnosis.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use fwdrill_protocol::explain::Page;
use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::report::{Report, Verdict};
use http::StatusCode;
use maud::{Markup, html};

use super::Console;
use super::page::{inside, time};
use super::sessions::SignedIn;
use crate::store::{ClientRow, ReportRow, StoreError, StoredEvent};

/// How many reports the list has.
const SHOWN: u32 = 200;

pub(super) async fn clients(State(console): State<Arc<Console>>, session: SignedIn) -> Response {
    let clients = match &console.store {
        Some(store) => store.clients().await,
        None => Ok(Vec::new()),
    };
    let newest = console.shelf.current().await.map(|set| set.serial());
    answer("Clients", "/clients", &session, clients, |clients| {
        list_of_clients(&clients, newest)
    })
}

pub(super) async fn reports(State(console): State<Arc<Console>>, session: SignedIn) -> Response {
    let reports = match &console.store {
        Some(store) => store.reports(SHOWN).await,
        None => Ok(Vec::new()),
    };
    answer("Reports", "/reports", &session, reports, |reports| {
        list_of_reports(&reports)
    })
}

pub(super) async fn report(State(console): State<Arc<Console>>, session: SignedIn, Path(seq): Path<i64>) -> Response {
    let found = match &console.store {
        Some(store) => store.report(seq).await,
        None => Ok(None),
    };
    let known = !matches!(found, Ok(None));
    let mut response = answer("Report", "/reports", &session, found, |found| match found {
        Some((event, report)) => whole(&event, &report),
        None => html! { p { "There is no such report, or it is not kept any more." } },
    });
    if !known {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// The page, or what is wrong with the database.
fn answer<T>(
    title: &str,
    here: &str,
    session: &SignedIn,
    found: Result<T, StoreError>,
    render: impl FnOnce(T) -> Markup,
) -> Response {
    let (status, content) = match found {
        Ok(found) => (StatusCode::OK, render(found)),
        Err(error) => {
            let why = crate::chain(&error);
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                html! { p.trouble role="alert" { (why) } },
            )
        }
    };
    let content = html! { h1 { (title) } (content) };
    (status, inside(title, here, session, &content)).into_response()
}

fn list_of_clients(clients: &[ClientRow], newest: Option<u64>) -> Markup {
    html! {
        @if clients.is_empty() { p { "No client has told of itself yet (2225)." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Clients" { table {
            thead { tr { @for column in ["Client", "Seen from", "Version", "Last update", "Last report", "Last seen"] { th scope="col" { (column) } } } }
            tbody { @for client in clients { tr {
                th scope="row" { (client.name) @if !client.enrolled { " " span.faint { "(not enrolled)" } } }
                td.mono { (client.peer.ip()) }
                td { (version(client, newest)) }
                td { @match &client.last_sync {
                    None => span.faint { "-" },
                    Some(sync) => { @match &sync.error {
                        None => { span.good { "done" } " " (time(sync.at)) }
                        Some(error) => { span.bad { "failed" } " " (time(sync.at)) br; (error) }
                    } }
                } }
                td { @match &client.last_report { None => span.faint { "-" }, Some(report) => (link(report)) } }
                td { (time(client.last_seen)) }
            } } }
        } } }
    }
}

fn version(client: &ClientRow, newest: Option<u64>) -> Markup {
    html! { @match (&client.version, client.serial) {
        (Some(version), Some(serial)) => {
            (version) " (serial " (serial) ")"
            @if newest.is_some_and(|newest| serial < newest) { " " span.warn { "behind" } }
        }
        _ => span.faint { "not known" },
    } }
}

fn list_of_reports(reports: &[ReportRow]) -> Markup {
    html! {
        @if reports.is_empty() { p { "No client has sent a report yet: " code { "fwdrill probe HOST" } " sends one." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Reports" { table {
            thead { tr { @for column in ["Report", "Client", "Cause", "Made"] { th scope="col" { (column) } } } }
            tbody { @for report in reports { tr {
                td { (link(report)) }
                td { (report.client) }
                td { @match &report.finding { None => span.faint { "-" }, Some(finding) => code { (finding) } } }
                td { (time(report.at)) }
            } } }
        } } }
    }
}

fn link(report: &ReportRow) -> Markup {
    html! { a href={ "/reports/" (report.seq) } { (report.verdict) " (report " (report.seq) ")" } }
}

fn whole(event: &StoredEvent, report: &Report) -> Markup {
    html! {
        dl.facts {
            div { dt { "Verdict" } dd #verdict { (verdict(report.verdict)) } }
            div { dt { "Client" } dd { (event.event.client) ", seen as " (event.peer.ip()) } }
            div { dt { "Measured" } dd { (report.target) " from " (report.vantage) } }
            div { dt { "Made" } dd { (time(report.started)) } }
            div { dt { "Ends" } dd { @if report.both_ends { "both joined" } @else { "the client's only" } } }
        }
        h2 { "Diagnosis" }
        @if report.findings.is_empty() { p { "Nothing to find fault with." } }
        @for finding in &report.findings { (diagnosis(finding)) }
        h2 { "Flows" }
        div.scroll tabindex="0" role="region" aria-label="Flows" { table {
            thead { tr { @for column in ["Flow", "To", "Expected", "State", "Outcome", "Server saw it", "Verdict", "Detail"] { th scope="col" { (column) } } } }
            tbody { @for flow in &report.flows { tr {
                th scope="row" { (flow.flow.title()) }
                td.mono { @match flow.to { Some(to) => (to), None => "-" } }
                td { (flow.expected) }
                td { (flow.state.name()) }
                td { (flow.outcome.name()) }
                td { (flow.seen_by_server.name()) }
                td { (verdict(flow.verdict)) }
                td.wide { (flow.detail.as_deref().unwrap_or_default()) }
            } } }
        } }
    }
}

fn verdict(verdict: Verdict) -> Markup {
    let class = match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::Inconclusive => "warn",
    };
    html! { span class=(class) { (verdict.name()) } }
}

fn diagnosis(finding: &Finding) -> Markup {
    let class = match finding.severity {
        Severity::Error => "bad",
        Severity::Warning => "warn",
        Severity::Info => "faint",
    };
    html! {
        article.finding {
            h3 { code { (finding.id) } " " span class=(class) { (finding.severity) } " " span.faint { (finding.confidence) } }
            p { (finding.summary) "." }
            p { strong { "Fix" } " (" (finding.place.title()) "): " (finding.remedy) "." }
            @if !finding.evidence.is_empty() { ul { @for line in &finding.evidence { li { (line) } } } }
            @if !finding.alternatives.is_empty() {
                p.faint { "Not excluded: " @for (at, id) in finding.alternatives.iter().enumerate() { @if at > 0 { ", " } code { (id) } } }
            }
            p.faint { (Page::of(finding.id).summary) }
        }
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::finding::{Confidence, FindingId, Place};
    use fwdrill_protocol::flow::Flow;

    use super::*;

    /// Clients say what they like, and so do those between them and the server.
    #[test]
    fn a_diagnosis_names_cause_fix_and_what_is_not_excluded_and_nothing_in_it_is_html() {
        let html = diagnosis(&Finding {
            id: FindingId::PortDropped,
            severity: Severity::Error,
            confidence: Confidence::Likely,
            flow: Flow::Version,
            summary: "3333 is dropped <script>".to_owned(),
            place: Place::ServerFirewall,
            evidence: vec!["\"><img src=x>".to_owned()],
            remedy: "open it".to_owned(),
            alternatives: vec![FindingId::ServerHostBlocked],
        })
        .into_string();
        assert!(html.contains("port-dropped") && html.contains("open it") && html.contains("server-host-blocked"));
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
}
