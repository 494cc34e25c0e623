//! Tonight's change: a production ruleset as it is, in a namespace whose interfaces have the production names and addresses,
//! with clients at every place around it; alone, or beside the ruleset in force.
//!
//! ```text
//! files -> Source -> Ruleset (inspected by the kernel) -+
//! flags, [rehearse] -> Topology ------------------------+-> Views -> Labs -> Reports, Traces -> Decisions -> Changes
//! ```
//! Where a mistake can be found before anything runs it is, with its file and line.

mod changes;
mod deciding;
mod decision;
mod description;
mod facts;
mod iptables_text;
pub(crate) mod legacy_trace;
mod nft_json;
mod nft_statements;
mod nft_text;
mod path;
pub(crate) mod render;
mod rules;
mod ruleset;
mod source;
mod topology;
pub(crate) mod trace;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::report::{Report, Verdict};
use tokio::sync::Semaphore;

pub(crate) use changes::{Change, Kind};
use decision::Decided;
pub(crate) use description::{Description, described};
use path::{Programs, View};
use ruleset::Ruleset;
use topology::Topology;

use super::run;

/// What the user asks for.
pub(crate) struct Request {
    /// The files of the new ruleset.
    pub(crate) rulesets: Vec<PathBuf>,
    /// Those of the one in force; none: there is nothing to compare with.
    pub(crate) against: Vec<PathBuf>,
    pub(crate) description: Description,
    /// iptables' own tables instead of nftables'.
    pub(crate) legacy: bool,
    /// Whether the kernel is asked which rule decided.
    pub(crate) trace: bool,
    /// Only from these places; none: from all.
    pub(crate) vantages: Vec<String>,
    pub(crate) estate: Estate,
    /// Arguments that make this estate.
    pub(crate) estate_arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) probe_arguments: Vec<String>,
    pub(crate) server_arguments: Vec<String>,
    /// So many labs at a time.
    pub(crate) parallel: usize,
}

/// Everything that could be found out before anything runs.
pub(crate) struct Prepared {
    new: Ruleset,
    old: Option<Ruleset>,
    topology: Topology,
    views: Vec<View>,
    programs: Programs,
    estate: Estate,
    parallel: usize,
    /// What the user has to know: what was read off the ruleset, what was left out, what was added.
    notes: Vec<String>,
    files: [Vec<PathBuf>; 2],
}

/// What came of it.
pub(crate) struct Outcome {
    /// New and old.
    pub(super) files: [Vec<PathBuf>; 2],
    pub(super) notes: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) elapsed: Duration,
}

/// One place that a client stood in.
pub(crate) struct Row {
    view: View,
    pub(super) new: Seen,
    pub(super) old: Option<Seen>,
    pub(super) changes: Vec<Change>,
}

/// What a client saw through one of the rulesets.
pub(crate) struct Seen {
    /// Its report, or why the rehearsal could not be carried out.
    pub(super) report: Result<Report, String>,
    pub(super) decisions: Vec<Decided>,
    /// Why it is not known which rule decided.
    pub(super) untraced: Option<String>,
    pub(super) elapsed: Duration,
}

/// Reads everything, and finds every mistake that can be found.
pub(crate) async fn prepare(request: Request) -> anyhow::Result<Prepared> {
    let mut topology = request.description.topology()?;
    let mut new = Ruleset::read(&request.rulesets, request.legacy)?;
    let mut old = match request.against.is_empty() {
        true => None,
        false => Some(Ruleset::read(&request.against, request.legacy)?),
    };
    let interfaces = topology.interfaces();
    let inspect_old = async {
        match &mut old {
            Some(old) => old.inspect(&interfaces).await,
            None => Ok(()),
        }
    };
    let (of_new, of_old) = tokio::join!(new.inspect(&interfaces), inspect_old);
    let mistakes: Vec<String> = [of_new, of_old]
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if !mistakes.is_empty() {
        bail!("{}", mistakes.join("\n"));
    }
    let mut notes = Vec::new();
    for note in [&new].into_iter().chain(&old).flat_map(|ruleset| &ruleset.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let mut facts = new.facts.clone();
    if let Some(old) = &old {
        facts.join(old.facts.clone());
    }
    if topology.server.is_empty() {
        let (server, why) = views::server_of(&facts, &request.estate)?;
        if topology.zone_of(server).is_none() {
            bail!("the ruleset translates to {server}, which lies in none of the networks described");
        }
        topology.server.push(server);
        notes.push(why);
    }
    let mut programs = Programs {
        estate: request.estate_arguments,
        server: request.server_arguments,
        probe: request.probe_arguments,
        environment: request.environment,
        trace: request.trace,
    };
    let views = views::all(&topology, &facts, &request.estate, &mut programs, &mut notes);
    let known: BTreeSet<&str> = views.iter().map(|view| view.vantage.as_str()).collect();
    if let Some(unknown) = request.vantages.iter().find(|name| !known.contains(name.as_str())) {
        let known: Vec<&str> = known.into_iter().collect();
        bail!(
            "--vantage {unknown}: there is no such place; there are {}",
            known.join(", ")
        );
    }
    let meant = |view: &View| request.vantages.is_empty() || request.vantages.contains(&view.vantage);
    let views: Vec<View> = views.into_iter().filter(meant).collect();
    notes.extend(views::note_of_tasks(&views, &request.estate));
    if views.is_empty() {
        bail!("no client could stand anywhere: the outside and the server have no address family in common");
    }
    Ok(Prepared {
        new,
        old,
        topology,
        views,
        programs,
        estate: request.estate,
        parallel: request.parallel,
        notes,
        files: [request.rulesets, request.against],
    })
}

impl Prepared {
    /// How many labs there are.
    pub(crate) fn labs(&self) -> usize {
        self.views.len() * (1 + self.old.iter().len())
    }

    /// Measures from every place, and tells `done` of each lab that has ended.
    pub(crate) async fn run(self, done: impl Fn()) -> Outcome {
        let begun = std::time::Instant::now();
        let places = Arc::new(Semaphore::new(self.parallel));
        let rows = self.views.iter().map(|view| {
            let (places, this, done) = (Arc::clone(&places), &self, &done);
            async move {
                let seen = async |ruleset: &Ruleset| {
                    // The semaphore is never closed.
                    let _place = places.acquire().await;
                    let seen = this.see(view, ruleset).await;
                    done();
                    seen
                };
                let old = async {
                    match &this.old {
                        Some(old) => Some(seen(old).await),
                        None => None,
                    }
                };
                let (new, old) = tokio::join!(seen(&this.new), old);
                let changes = old.as_ref().map(|old| changes::changes(old, &new)).unwrap_or_default();
                Row {
                    view: view.clone(),
                    new,
                    old,
                    changes,
                }
            }
        });
        let rows = futures_util::future::join_all(rows).await;
        Outcome {
            files: self.files,
            notes: self.notes,
            rows,
            elapsed: begun.elapsed(),
        }
    }

    async fn see(&self, view: &View, ruleset: &Ruleset) -> Seen {
        let measured = run::measure(path::lab(view, &self.topology, ruleset, &self.programs)).await;
        let (decisions, untraced) = match measured.trace {
            Some(Ok(trace)) => (deciding::decisions(&trace, ruleset, &self.estate), None),
            Some(Err(problem)) => (Vec::new(), Some(problem)),
            None if !self.programs.trace => (Vec::new(), Some("not asked for".to_owned())),
            None if measured.report.is_ok() => (
                Vec::new(),
                Some("rules of nftables and of iptables-legacy at a time are not followed".to_owned()),
            ),
            None => (Vec::new(), None),
        };
        Seen {
            report: measured.report,
            decisions,
            untraced,
            elapsed: measured.elapsed,
        }
    }
}

impl Outcome {
    /// Whether there is a ruleset to compare with.
    pub(crate) fn compared(&self) -> bool {
        !self.files[1].is_empty()
    }

    /// What clients saw, everywhere and through both rulesets.
    fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.rows.iter().flat_map(|row| [&row.new].into_iter().chain(&row.old))
    }

    /// What it means for the change: with two rulesets only what is worse than before counts.
    pub(crate) fn verdict(&self) -> Verdict {
        let undone = self.seen().any(|seen| seen.report.is_err());
        let changed = |kind| {
            self.rows
                .iter()
                .flat_map(|row| &row.changes)
                .any(|change| change.kind == kind)
        };
        if self.compared() {
            return match (
                changed(Kind::Worse) || changed(Kind::Exposed),
                undone || changed(Kind::Unclear),
            ) {
                (true, _) => Verdict::Fail,
                (false, true) => Verdict::Inconclusive,
                (false, false) => Verdict::Pass,
            };
        }
        let begin = if undone { Verdict::Inconclusive } else { Verdict::Pass };
        self.seen()
            .filter_map(|seen| Some(seen.report.as_ref().ok()?.verdict))
            .fold(begin, Verdict::worse)
    }
}

/// The variables of the environment that an estate is made of, among others.
pub(crate) fn environment() -> BTreeMap<String, String> {
    use fwdrill_protocol::estate::environment::RESERVED;
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name != "PATH" && !RESERVED.contains(&name.as_str()))
        .collect()
}
