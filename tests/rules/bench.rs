//! A bench for rules: one rehearsal a trial, with the front end on a host of the path.

use std::path::Path;

use serde_json::Value;

use crate::front_end::FrontEnd;
use crate::support::{required, run, stderr, stdout};

/// Where rules stand, and who is served across them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The host that the rules are loaded on.
    pub(crate) host: &'static str,
    /// Of `fwdrill probe`.
    pub(crate) probe: &'static [&'static str],
    /// The path, as a scenario file has it.
    pub(crate) path: &'static str,
    /// Shell commands on that host, before the front end starts.
    pub(crate) before: &'static str,
}

/// One set of rules at one place, with real traffic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    front: FrontEnd,
    place: Place,
    /// Of `fwdrill rules`.
    arguments: &'static [&'static str],
    /// The flow whose rules are taken out.
    without: Option<&'static str>,
    /// The one finding; empty: none.
    expect: &'static str,
}

/// The rules as they are: loaded, loaded again, taken back, and loaded for the traffic.
pub(crate) fn healthy(front: FrontEnd, place: Place, arguments: &'static [&'static str]) -> Trial {
    Trial {
        front,
        place,
        arguments,
        without: None,
        expect: "",
    }
}

/// The same with the rules of one flow taken out, and what the diagnosis has to say then.
pub(crate) fn without(flow: &'static str, finding: &'static str, trial: Trial) -> Trial {
    Trial {
        without: Some(flow),
        expect: finding,
        ..trial
    }
}

impl Trial {
    fn name(&self) -> String {
        let without = self.without.unwrap_or("nothing");
        format!(
            "{:?} on {} without {without}: {:?}",
            self.front, self.place.host, self.arguments
        )
    }

    /// What `fwdrill rules` prints for it, less the rules of one flow.
    fn rules(&self, undo: bool) -> String {
        let kind = format!("--for={}", self.front.kind());
        let within = matches!(self.front, FrontEnd::NftablesWithin).then_some("--table=mine");
        let undo = undo.then_some("--undo");
        let arguments = ["rules", &kind]
            .into_iter()
            .chain(self.arguments.iter().copied())
            .chain(within)
            .chain(undo);
        let output = run(arguments);
        assert!(output.status.success(), "{}: {}", self.name(), stderr(&output));
        let text = stdout(&output);
        let Some(flow) = self.without else { return text };
        let (gone, left): (Vec<&str>, Vec<&str>) = text
            .split_inclusive('\n')
            .partition(|line| line.contains(&format!("fwdrill {flow}:")));
        assert!(
            !gone.is_empty() || undo.is_some(),
            "{}: no rule to take out of {text}",
            self.name()
        );
        left.concat()
    }

    /// A scenario file.
    fn scenario(&self, at: usize, directory: &Path) -> String {
        let write = |what: &str, text: &str| {
            let file = directory.join(format!("{at}.{what}"));
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let Place { host, before, path, .. } = self.place;
        let apply = self.front.load(&write("rules", &self.rules(false)));
        let undo = self.front.load(&write("undo", &self.rules(true)));
        let (prepare, state) = (self.front.prepare(["fw", "bfw"].contains(&host)), self.front.state());
        let round_trip = format!(
            "state() {{ {state}\n}}\nbefore=$(state)\n{apply}\nonce=$(state)\n{apply}\ntwice=$(state)\n{undo}\nafter=$(state)\n\
             same() {{ if [ \"$2\" != \"$3\" ]; then echo \"$2\" > /run/one; echo \"$3\" > /run/other; echo \"$1: $(diff /run/one /run/other)\" >&2; exit 1; fi; }}\n\
             if [ \"$before\" = \"$once\" ]; then echo 'nothing was loaded' >&2; exit 1; fi\n\
             same 'applied twice is not applied once' \"$once\" \"$twice\"\n\
             same 'the undo does not leave what was there' \"$before\" \"$after\""
        );
        let round_trip = if self.without.is_none() { &round_trip } else { "" };
        let script = write("sh", &format!("set -e\n{before}\n{prepare}\n{round_trip}\n{apply}\n"));
        let expect: Vec<&str> = Some(self.expect).filter(|id| !id.is_empty()).into_iter().collect();
        let full = self.without.is_none().then_some("--full-range");
        let probe: Vec<&str> = self.place.probe.iter().copied().chain(full).collect();
        format!(
            "title = {:?}\nexpect = {expect:?}\nprobe.args = {probe:?}\nhost.{host}.run = ['sh {script}']\n{path}",
            self.name(),
        )
    }
}

/// Carries out all trials; every one of them has to be as it expects.
pub(crate) fn pass(trials: &[Trial]) {
    for program in trials.iter().flat_map(|trial| trial.front.programs()) {
        required(program);
    }
    let directory = tempfile::tempdir().unwrap();
    for (at, trial) in trials.iter().enumerate() {
        let scenario = trial.scenario(at, directory.path());
        std::fs::write(directory.path().join(format!("{at:02}.toml")), scenario).unwrap();
    }
    let output = run([
        "rehearse",
        "--format=json",
        "--parallel=4",
        directory.path().to_str().unwrap(),
    ]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let paths = document["paths"].as_array().unwrap();
    assert_eq!(paths.len(), trials.len());
    let wrong: Vec<String> = (trials.iter().zip(paths))
        .filter(|(_, path)| path["judgement"] != "right")
        .map(|(trial, path)| format!("{}: {:#}", trial.name(), path["complaints"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(output.status.code(), Some(0));
}
