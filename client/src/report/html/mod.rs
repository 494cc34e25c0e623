//! One page of HTML that needs nothing else: no script, no font, no picture from anywhere. It follows the reader's light or
//! dark; whatever was said by strangers is escaped.

mod drawing;
mod page;
mod stations;

use std::fmt::{self, Display, Formatter, Write};

use fwdrill_protocol::finding::Finding;
use fwdrill_protocol::report::{FlowResult, Report, Verdict};

use super::words;

const STYLE: &str = include_str!("style.css");

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut html = String::new();
    // Writing to a string does not fail.
    let _ = document(&mut html, report);
    html
}

fn document(html: &mut String, report: &Report) -> fmt::Result {
    let title = words::title(report);
    let from = match words::on_paper(report) {
        true => String::new(),
        false => format!(" <span class=\"faint\">from {}</span>", Text(&report.vantage)),
    };
    let verdict = words::verdict(report.verdict);
    // Should an escape ever be missing, nothing may be loaded or run all the same.
    writeln!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{verdict}: {} - fwdrill</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        Text(&title)
    )?;
    writeln!(
        html,
        "<h1><span class=\"badge {}\">{verdict}</span>{}{from}</h1>\n<p>{}.</p>",
        report.verdict.name(),
        Text(&report.target),
        Text(&words::sentence(&words::meaning(report)))
    )?;
    for (at, finding) in report.findings.iter().enumerate() {
        self::finding(html, finding, at == 0)?;
    }
    unexplained(html, report)?;
    if !words::on_paper(report) {
        path(html, report)?;
        flows(html, report)?;
    }
    if let Some(range) = &report.passive_range {
        writeln!(html, "<h2>The passive range</h2>\n<div class=\"scroll\">")?;
        drawing::range(html, range)?;
        writeln!(html, "</div>\n<p>{}.</p>", Text(&words::sentence(&words::range(range))))?;
    }
    life(html, report)?;
    clients(html, report)?;
    writeln!(
        html,
        "<footer class=\"faint\">{}. Schema {}.</footer>\n</main>\n</body>\n</html>",
        Text(&words::sentence(&words::provenance(report))),
        Text(&report.schema)
    )
}

fn path(html: &mut String, report: &Report) -> fmt::Result {
    writeln!(html, "<h2>The path</h2>\n<div class=\"scroll\">")?;
    drawing::path(html, report)?;
    writeln!(html, "</div>")?;
    let Some(road) = &report.path else { return Ok(()) };
    writeln!(
        html,
        "<p class=\"faint\">{}</p>",
        Text(&words::sentence(&words::road(road)))
    )
}

fn finding(html: &mut String, finding: &Finding, first: bool) -> fmt::Result {
    let label = words::label(finding, first);
    writeln!(
        html,
        "<article class=\"{}\">\n<h3>{label}: {} <span class=\"faint\">({})</span></h3>\n<p>{}.</p>",
        finding.severity,
        finding.id,
        finding.confidence,
        Text(&words::sentence(&finding.summary))
    )?;
    writeln!(
        html,
        "<div class=\"fix\"><strong>Fix</strong> <span class=\"faint\">(where: {})</span>: {}</div>",
        finding.place.title(),
        Text(&finding.remedy)
    )?;
    if !finding.evidence.is_empty() {
        let items: String = finding
            .evidence
            .iter()
            .map(|line| format!("<li>{}</li>\n", Text(line)))
            .collect();
        writeln!(html, "<ul>\n{items}</ul>")?;
    }
    if !finding.alternatives.is_empty() {
        let names: Vec<String> = finding
            .alternatives
            .iter()
            .map(|id| format!("<code>{id}</code>"))
            .collect();
        writeln!(html, "<p>Not excluded: {}.</p>", names.join(", "))?;
    }
    page::explained(html, finding.id)?;
    writeln!(html, "</article>")
}

fn unexplained(html: &mut String, report: &Report) -> fmt::Result {
    let failed = words::unexplained(report);
    if failed.is_empty() {
        return Ok(());
    }
    let items: String = failed.iter().map(|line| format!("<li>{}</li>\n", Text(line))).collect();
    writeln!(
        html,
        "<article class=\"error\">\n<h3>Cause: unknown</h3>\n<p>No rule explains what was seen.</p>\n<ul>\n{items}</ul>\n</article>"
    )
}

fn flows(html: &mut String, report: &Report) -> fmt::Result {
    writeln!(
        html,
        "<h2>Flows</h2>\n<div class=\"scroll\">\n<table>\n<thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Flow</th>\
         <th scope=\"col\">To</th><th scope=\"col\">Expected</th><th scope=\"col\">State</th><th scope=\"col\">Outcome</th>\
         <th scope=\"col\">Time</th><th scope=\"col\">Server saw</th><th scope=\"col\">Detail</th></tr></thead>\n<tbody>"
    )?;
    report.flows.iter().try_for_each(|flow| row(html, flow))?;
    writeln!(html, "</tbody>\n</table>\n</div>")
}

fn row(html: &mut String, flow: &FlowResult) -> fmt::Result {
    let [
        verdict,
        name,
        to,
        expected,
        state,
        outcome,
        time,
        seen_by_server,
        detail,
    ] = words::cells(flow);
    let class = if verdict == "-" { "faint" } else { flow.verdict.name() };
    writeln!(
        html,
        "<tr><td class=\"{class}\">{verdict}</td><td title=\"{}\">{name}</td><td class=\"mono\">{to}</td><td>{expected}</td><td>{state}</td><td>{outcome}</td><td>{time}</td><td>{seen_by_server}</td><td>{}</td></tr>",
        flow.flow.title(),
        Text(&detail)
    )
}

fn life(html: &mut String, report: &Report) -> fmt::Result {
    let Some(steps) = &report.life else { return Ok(()) };
    writeln!(html, "<h2>A client's life</h2>\n<ol>")?;
    for step in steps {
        let (class, mark) = if step.ok { ("pass", "ok") } else { ("fail", "FAIL") };
        writeln!(
            html,
            "<li><span class=\"badge {class}\">{mark}</span>{}: {} <span class=\"faint\">({} ms)</span></li>",
            Text(&step.step),
            Text(&step.detail),
            step.elapsed_ms
        )?;
    }
    writeln!(html, "</ol>")
}

fn clients(html: &mut String, report: &Report) -> fmt::Result {
    if report.clients.is_empty() {
        return Ok(());
    }
    writeln!(
        html,
        "<h2>Clients on this path</h2>\n<div class=\"scroll\">\n<table>\n<thead><tr><th scope=\"col\">Works</th><th scope=\"col\">Client</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>"
    )?;
    for client in &report.clients {
        let (class, works) = if client.works {
            (Verdict::Pass, "yes")
        } else {
            (Verdict::Fail, "no")
        };
        writeln!(
            html,
            "<tr><td class=\"{}\">{works}</td><td>{}</td><td>{}</td></tr>",
            class.name(),
            Text(&client.client),
            Text(&client.why)
        )?;
    }
    writeln!(html, "</tbody>\n</table>\n</div>")
}

/// A text in which nothing has a meaning to HTML, neither between tags nor in quotes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            letter if letter.is_control() => f.write_char(' '),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_has_no_meaning_to_html() {
        assert_eq!(
            Text("<script>'\"&\u{1b}[31m").to_string(),
            "&lt;script&gt;&#39;&quot;&amp; [31m"
        );
    }
}
