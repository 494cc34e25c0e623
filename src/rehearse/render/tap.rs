//! TAP 14, for CI: a scenario is a test point. A known gap is one that may fail.

use fwdrill_client::report::{Fact, Point, Tap};

use super::{complaints, text};
use crate::rehearse::Rehearsed;
use crate::rehearse::verdict::{self, Judgement};

pub(super) fn render(rehearsed: &[Rehearsed]) -> String {
    let mut tap = Tap::new(format!("fwdrill rehearse: {}", text::sum(rehearsed).trim_end()));
    for one in rehearsed {
        let point = match one.judgement() {
            Judgement::Right => Point::Ok,
            Judgement::Gap => Point::Todo("a known gap"),
            // What could not be carried out is never counted as right.
            Judgement::Wrong | Judgement::GapClosed | Judgement::Undone => Point::NotOk,
        };
        tap.case(point, &one.name(), &facts(one));
    }
    tap.finish()
}

fn facts(one: &Rehearsed) -> Vec<Fact> {
    let scenario = &one.rehearsal.scenario;
    let mut facts = vec![
        Fact::new("title", &scenario.title),
        Fact::new("judgement", one.judgement().name()),
        Fact::list("expected", scenario.expect.iter().map(|id| id.name())),
    ];
    if let Ok(report) = &one.both.report {
        facts.push(Fact::list(
            "found",
            verdict::serious(report).iter().map(|finding| finding.id.name()),
        ));
    }
    let complaints = complaints(one);
    if !complaints.is_empty() {
        facts.push(Fact::list("complaints", complaints.iter().map(String::as_str)));
    }
    facts.extend(one.gap().map(|gap| Fact::new("gap", gap)));
    facts
}
