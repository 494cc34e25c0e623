//! Facts and judgement as a report.

use std::collections::BTreeMap;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{FirstFailure, Latency, Most, Step, StepResult, StormPlan, StormReport};
use hdrhistogram::Histogram;
use jiff::Timestamp;

use super::facts::Facts;
use super::{Course, Storm, limit};

/// The report of a storm that began at that moment.
pub(super) fn report(started: Timestamp, facts: Facts) -> StormReport {
    let judgement = limit::judge(&facts);
    let books = &facts.books;
    let most = |flow| books.ports.get(&flow).map_or(0, |book| book.most);
    StormReport {
        schema: StormReport::SCHEMA.to_owned(),
        target: facts.storm.server.host.clone(),
        client: facts.storm.client.clone(),
        started,
        elapsed_ms: u64::try_from(facts.elapsed.as_millis()).unwrap_or(u64::MAX),
        verdict: judgement.verdict,
        mode: facts.storm.estate.mode,
        plan: plan(&facts.storm),
        stopped: facts.stopped,
        passive_ports: facts.range(),
        both_ends: facts.witness.joined,
        lives: books.lives,
        most: Most {
            agents: books.most_agents,
            control_connections: most(Flow::FtpControl),
            passive_ports: books.passive.most,
        },
        received: books.received,
        steps: steps(&facts),
        events: books.events,
        first_failure: facts.first().map(|failures| FirstFailure {
            after_s: failures.first.began.as_secs_f64(),
            alone: facts.alone.is_none(),
            agents: failures.first.agents,
            step: failures.first.step,
            cause: failures.first.cause,
            words: failures.first.words.clone(),
        }),
        sum: judgement.sum,
        machine: facts.storm.machine.clone(),
        findings: judgement.findings,
    }
}

fn plan(storm: &Storm) -> StormPlan {
    let (rounds, duration_s) = match storm.course {
        Course::Rounds(rounds) => (Some(rounds), None),
        Course::Lasting(time) => (None, Some(time.as_secs_f64())),
    };
    StormPlan {
        clients: storm.clients,
        at_once: storm.at_once,
        ramp_s: storm.ramp.as_secs_f64(),
        rounds,
        duration_s,
        think_s: storm.think.as_secs_f64(),
    }
}

/// The steps that were done, or tried.
fn steps(facts: &Facts) -> Vec<StepResult> {
    let result = |step: Step| {
        let times = facts.books.steps.get(&step).map(|times| &times.0);
        let failures = facts.books.failures.iter().filter(|((at, _), _)| *at == step);
        let failed: BTreeMap<_, _> = failures
            .map(|((_, cause), failures)| (*cause, failures.count))
            .collect();
        let done = times.map_or(0, Histogram::len);
        (done > 0 || !failed.is_empty()).then(|| StepResult {
            step,
            done,
            failed,
            latency_ms: times.map(latency),
            alone_ms: facts.alone.as_ref().and_then(|alone| alone.get(&step).copied()),
        })
    };
    Step::ALL.into_iter().filter_map(result).collect()
}

fn latency(times: &Histogram<u64>) -> Latency {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    Latency {
        mean: times.mean() / 1000.0,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: times.max() as f64 / 1000.0,
    }
}
