//! Which paths of fixtures/paths produce a finding.

use fwdrill_protocol::finding::FindingId;
use serde::Deserialize;

/// Every path of the zoo: its name and its file, by build.rs.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/zoo.rs"));

/// A path that produces a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) name: &'static str,
    pub(super) title: String,
    /// Why it is not diagnosed rightly yet.
    pub(super) gap: Option<String>,
}

/// What of a scenario file matters here.
#[derive(Deserialize)]
struct File {
    title: String,
    expect: Vec<FindingId>,
    known_gap: Option<String>,
}

/// The paths whose right diagnosis has this finding, in the order of their names.
pub(super) fn paths(id: FindingId) -> Vec<Path> {
    let read = |(name, text): &(&'static str, &str)| {
        let file: File = toml::from_str(text).ok()?;
        file.expect.contains(&id).then_some(Path {
            name,
            title: file.title,
            gap: file.known_gap,
        })
    };
    FILES.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_zoo_can_be_read() {
        assert!(FILES.len() > 100);
        for (name, text) in FILES {
            let read: Result<File, _> = toml::from_str(text);
            assert!(read.is_ok(), "{name}: {:?}", read.err());
        }
    }

    #[test]
    fn a_finding_knows_its_paths() {
        let names: Vec<&str> = paths(FindingId::ForwardDeadHost).iter().map(|path| path.name).collect();
        assert_eq!(names, ["control-port-forwarded-to-nobody"]);
        assert_eq!(paths(FindingId::RangeTooSmall), []);
    }
}
