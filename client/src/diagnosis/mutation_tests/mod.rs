//! Facts that no path would give: any of them may be missing, and any may contradict the others. Whatever they are, a
//! diagnosis does not panic, does not depend on the order of observations, and is never certain of a cause that they exclude.

mod excluded;
mod mutate;

use std::collections::{BTreeMap, BTreeSet};

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::finding::{Confidence, Finding};
use fwdrill_protocol::report::{Report, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::diagnose;
use super::testing::{blocked_range, healthy};
use crate::observation::Observations;

/// So many sets of facts, each of them the same in every run.
const SETS: u64 = 2000;

fn set(seed: u64) -> (Estate, Observations) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = if rng.random_bool(0.7) {
        healthy()
    } else {
        blocked_range()
    };
    let mut estate = Estate::default();
    mutate::estate(&mut estate, &mut rng);
    // A few facts that are odd say more than a heap of them.
    for _ in 0..rng.random_range(1..12) {
        mutate::one(&mut seen, &mut rng);
    }
    (estate, seen)
}

fn of(seed: u64) -> (Estate, Observations, Report) {
    let (estate, seen) = set(seed);
    let report = diagnose(&estate, &seen);
    (estate, seen, report)
}

#[test]
fn no_certain_finding_is_one_that_the_facts_exclude() {
    let mut certain = BTreeSet::new();
    let mut wrong = BTreeMap::new();
    for seed in 0..SETS {
        let (estate, seen, report) = of(seed);
        for finding in report
            .findings
            .iter()
            .filter(|one| one.confidence == Confidence::Certain)
        {
            certain.insert(finding.id);
            if let Some(reason) = excluded::by(&estate, &seen, finding) {
                wrong
                    .entry((finding.id, reason))
                    .or_insert((seed, finding.evidence.clone()));
            }
        }
    }
    assert!(wrong.is_empty(), "certain, although (seed, evidence): {wrong:#?}");
    // The mutations reach most rules; otherwise they prove little.
    assert!(certain.len() >= 20, "only these were ever certain: {certain:?}");
}

#[test]
fn what_is_certain_has_no_alternatives_and_no_finding_is_its_own() {
    for seed in 0..SETS {
        let (_, _, report) = of(seed);
        for Finding {
            id,
            confidence,
            alternatives,
            ..
        } in &report.findings
        {
            assert!(
                !alternatives.contains(id),
                "seed {seed}: {id} is an alternative to itself"
            );
            let open = *confidence == Confidence::Certain && !alternatives.is_empty();
            assert!(!open, "seed {seed}: {id} is certain, and it could be {alternatives:?}");
        }
    }
}

#[test]
fn a_verdict_follows_from_flows_and_findings_and_facts_survive_a_file() {
    for seed in 0..SETS / 10 {
        let (estate, seen, report) = of(seed);
        assert_eq!(
            report.verdict,
            Report::verdict_of(&report.flows, &report.findings),
            "seed {seed}"
        );
        assert!(report.verdict != Verdict::Pass || report.flows.iter().all(|flow| flow.verdict != Verdict::Fail));
        let text = serde_json::to_string(&seen).unwrap();
        let read: Observations = serde_json::from_str(&text).unwrap();
        assert_eq!(diagnose(&estate, &read), report, "seed {seed}");
    }
}

#[test]
fn the_order_of_observations_says_nothing() {
    for seed in 0..SETS / 4 {
        let (estate, mut seen, report) = of(seed);
        seen.passive.ports.reverse();
        seen.passive.again.reverse();
        seen.path.answers.reverse();
        seen.path.patient.reverse();
        seen.path.unplanned.reverse();
        let ids = |report: &Report| -> Vec<_> { report.findings.iter().map(|one| (one.id, one.confidence)).collect() };
        assert_eq!(ids(&diagnose(&estate, &seen)), ids(&report), "seed {seed}");
    }
}
