use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{MANIFEST_FILE, Manifest, SIGNATURE_FILE, SetPath};

/// What port 3333 answers to `GET /version`: the newest set, and where its manifest is.
///
/// It is not signed. A client may believe it only as far as "worth a look": what counts is the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionAnswer {
    /// The version for people, as in the manifest.
    pub version: String,
    /// When the set was published.
    pub published: Timestamp,
    /// The set's serial, which orders sets.
    pub serial: u64,
    /// The manifest's path relative to the download root (port 2221), such as `/sets/7/manifest.json`: with the serial in
    /// it, so that a client in mid-download stays in its set when a newer one appears.
    pub manifest: String,
}

/// Why bytes are not a version answer.
#[derive(Debug, Error)]
pub enum VersionAnswerError {
    /// Not JSON, or not these fields.
    #[error("invalid version answer")]
    Json(#[source] serde_json::Error),
    /// The manifest is somewhere a client should not go.
    #[error("invalid version answer: manifest {0:?} is not of the form \"/sets/7/manifest.json\"")]
    ManifestPath(String),
}

impl VersionAnswer {
    /// The answer that announces this set.
    pub fn of(manifest: &Manifest) -> Self {
        let serial = manifest.serial();
        Self {
            version: manifest.version().to_owned(),
            published: manifest.published(),
            serial,
            manifest: format!("/sets/{serial}/{MANIFEST_FILE}"),
        }
    }

    /// Reads an answer. `manifest` is absolute, ends in `/manifest.json` and has only harmless names in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, VersionAnswerError> {
        let answer: Self = serde_json::from_slice(bytes).map_err(VersionAnswerError::Json)?;
        let directory = answer
            .manifest
            .strip_suffix(MANIFEST_FILE)
            .and_then(|rest| rest.strip_suffix('/'));
        let harmless = match directory {
            None => false,
            Some("") => true,
            Some(directory) => directory
                .strip_prefix('/')
                .is_some_and(|names| names.parse::<SetPath>().is_ok()),
        };
        if harmless {
            Ok(answer)
        } else {
            Err(VersionAnswerError::ManifestPath(answer.manifest))
        }
    }

    /// The body of the answer.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A strong entity tag, with its quotes: it changes when, and only when, the body does.
    pub fn etag(&self) -> String {
        format!("\"{}-{:016x}\"", self.serial, fnv1a(self.render().as_bytes()))
    }

    /// The path of the manifest's signature, relative to the download root.
    pub fn signature(&self) -> String {
        self.in_set(SIGNATURE_FILE)
    }

    /// The path of one of the set's files, relative to the download root.
    pub fn file(&self, path: &SetPath) -> String {
        self.in_set(path.as_str())
    }

    fn in_set(&self, name: &str) -> String {
        let directory = self.manifest.strip_suffix(MANIFEST_FILE).unwrap_or("/");
        format!("{directory}{name}")
    }
}

/// FNV-1a: enough to tell one honest answer from another, which is all an entity tag is for.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> VersionAnswer {
        let at = |text: &str| text.parse().expect("a timestamp");
        let (published, expires) = (at("2026-11-24T00:00:00Z"), at("2026-12-24T00:00:00Z"));
        let manifest = Manifest::new("22.0.20261124.1".into(), 7, published, expires, vec![]).expect("a manifest");
        VersionAnswer::of(&manifest)
    }

    #[test]
    fn what_is_rendered_parses_to_the_same_answer() {
        let answer = answer();
        assert_eq!(
            VersionAnswer::parse(answer.render().as_bytes()).expect("own output"),
            answer
        );
        insta::assert_snapshot!(answer.render(), @r#"
        {
          "version": "22.0.20261124.1",
          "published": "2026-11-24T00:00:00Z",
          "serial": 7,
          "manifest": "/sets/7/manifest.json"
        }
        "#);
    }

    #[test]
    fn files_and_signature_are_asked_for_in_the_same_set() {
        let answer = answer();
        assert_eq!(answer.signature(), "/sets/7/manifest.json.minisig");
        let path = "signatures/main.fwdb".parse().expect("a path");
        assert_eq!(answer.file(&path), "/sets/7/signatures/main.fwdb");
    }

    #[test]
    fn the_etag_changes_with_any_field() {
        let answer = answer();
        let mut tags = vec![answer.etag()];
        tags.push(
            VersionAnswer {
                version: "x".into(),
                ..answer.clone()
            }
            .etag(),
        );
        tags.push(
            VersionAnswer {
                serial: 8,
                ..answer.clone()
            }
            .etag(),
        );
        tags.push(
            VersionAnswer {
                manifest: "/manifest.json".into(),
                ..answer.clone()
            }
            .etag(),
        );
        tags.push(
            VersionAnswer {
                published: Timestamp::UNIX_EPOCH,
                ..answer.clone()
            }
            .etag(),
        );
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 5);
        assert_eq!(answer.etag(), answer.clone().etag());
    }

    #[test]
    fn an_answer_cannot_send_a_client_out_of_the_download_root() {
        for manifest in [
            "",
            "manifest.json",
            "/x",
            "/../manifest.json",
            "//evil/manifest.json",
            "http://h/manifest.json",
        ] {
            let answer = VersionAnswer {
                manifest: manifest.into(),
                ..answer()
            };
            let error = VersionAnswer::parse(answer.render().as_bytes()).expect_err(manifest);
            assert!(matches!(error, VersionAnswerError::ManifestPath(_)), "{error}");
        }
        for manifest in [
            "/manifest.json",
            "/sets/7/manifest.json",
            "/mirror/sets/7/manifest.json",
        ] {
            let answer = VersionAnswer {
                manifest: manifest.into(),
                ..answer()
            };
            assert!(VersionAnswer::parse(answer.render().as_bytes()).is_ok(), "{manifest}");
        }
    }
}
