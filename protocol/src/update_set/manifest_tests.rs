use proptest::prelude::*;

use super::*;

fn path(text: &str) -> SetPath {
    text.parse().expect(text)
}

fn file(text: &str, kind: FileKind) -> FileEntry {
    FileEntry {
        path: path(text),
        size: 1,
        sha256: Sha256::from_bytes([1; 32]),
        kind,
    }
}

fn with_files(files: Vec<FileEntry>) -> Result<Manifest, ManifestError> {
    let at = |text: &str| text.parse().expect("a timestamp");
    Manifest::new(
        "22.0.20261124.1".into(),
        7,
        at("2026-11-24T10:00:00Z"),
        at("2026-12-24T10:00:00Z"),
        files,
    )
}

fn incremental(of: &str) -> FileKind {
    FileKind::Incremental {
        from_serial: 6,
        base: Sha256::from_bytes([2; 32]),
        of: path(of),
    }
}

fn sample() -> Manifest {
    with_files(vec![
        file("signatures/main.fwdb", FileKind::Database),
        file(
            "signatures/incremental/main-6-7.fwinc",
            incremental("signatures/main.fwdb"),
        ),
        file("policies/exclusions.json", FileKind::Policy),
        file("extras/readme.txt", FileKind::Extra),
    ])
    .expect("a manifest")
}

/// The sample with one piece of its text replaced.
fn altered(from: &str, to: &str) -> Result<Manifest, ManifestError> {
    let text = sample().render();
    assert!(text.contains(from), "{from}");
    Manifest::parse(text.replace(from, to).as_bytes())
}

#[test]
fn a_manifest_is_written_for_people_too() {
    insta::assert_snapshot!(sample().render(), @r#"
    {
      "schema": "fwdrill.manifest/1",
      "version": "22.0.20261124.1",
      "serial": 7,
      "published": "2026-11-24T10:00:00Z",
      "expires": "2026-12-24T10:00:00Z",
      "files": [
        {
          "path": "extras/readme.txt",
          "size": 1,
          "sha256": "0101010101010101010101010101010101010101010101010101010101010101",
          "kind": "extra"
        },
        {
          "path": "policies/exclusions.json",
          "size": 1,
          "sha256": "0101010101010101010101010101010101010101010101010101010101010101",
          "kind": "policy"
        },
        {
          "path": "signatures/incremental/main-6-7.fwinc",
          "size": 1,
          "sha256": "0101010101010101010101010101010101010101010101010101010101010101",
          "kind": "incremental",
          "from_serial": 6,
          "base": "0202020202020202020202020202020202020202020202020202020202020202",
          "of": "signatures/main.fwdb"
        },
        {
          "path": "signatures/main.fwdb",
          "size": 1,
          "sha256": "0101010101010101010101010101010101010101010101010101010101010101",
          "kind": "database"
        }
      ]
    }
    "#);
}

#[test]
fn files_are_found_by_path_and_incrementals_by_what_one_has() {
    let manifest = sample();
    assert_eq!(
        manifest
            .file(&path("policies/exclusions.json"))
            .map(|entry| &entry.kind),
        Some(&FileKind::Policy)
    );
    assert_eq!(manifest.file(&path("policies/other.json")), None);
    assert_eq!(manifest.total_size(), 4);
    let main = path("signatures/main.fwdb");
    let found = manifest
        .incremental_for(&main, &Sha256::from_bytes([2; 32]))
        .expect("an incremental update");
    assert_eq!(found.path.as_str(), "signatures/incremental/main-6-7.fwinc");
    assert_eq!(manifest.incremental_for(&main, &Sha256::from_bytes([3; 32])), None);
}

#[test]
fn another_schema_is_refused_by_name_whatever_else_it_says() {
    let error = Manifest::parse(br#"{"schema":"fwdrill.manifest/2","files":7}"#).expect_err("another schema");
    assert_eq!(
        error.to_string(),
        r#"invalid manifest: schema is "fwdrill.manifest/2", expected "fwdrill.manifest/1""#
    );
}

#[test]
fn an_unknown_field_is_an_addition_and_an_unknown_kind_is_not() {
    assert_eq!(
        altered("\"serial\"", "\"new\": {\"a\": [1]},\n  \"serial\"").expect("an addition"),
        sample()
    );
    assert!(matches!(
        altered("\"policy\"", "\"surprise\""),
        Err(ManifestError::Json(_))
    ));
}

#[test]
fn paths_that_leave_the_set_are_refused() {
    for bad in [
        "/etc/passwd",
        "../x",
        "policies/../../x",
        "a\\\\b",
        ".ssh/key",
        "a\\u0000b",
        "a\\nb",
        "manifest.json",
    ] {
        let error = altered("policies/exclusions.json", bad).expect_err(bad);
        assert!(matches!(&error, ManifestError::Json(_)), "{bad}: {error}");
    }
}

#[test]
fn a_file_listed_twice_is_refused_also_in_other_letters() {
    for other in ["extras/readme.txt", "EXTRAS/ReadMe.txt"] {
        assert!(
            matches!(
                altered("policies/exclusions.json", other),
                Err(ManifestError::Duplicate(_))
            ),
            "{other}"
        );
    }
}

#[test]
fn a_file_cannot_be_a_directory_too() {
    let files = ["a", "a-b", "a.c", "a/b"].map(|name| file(name, FileKind::Extra));
    let error = with_files(files.to_vec()).expect_err("a is both");
    assert_eq!(
        error.to_string(),
        "invalid manifest: a is a file, so a/b cannot be below it"
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let mut files = ["a", "b"].map(|name| file(name, FileKind::Extra)).to_vec();
    files[0].size = i64::MAX as u64;
    assert!(matches!(with_files(files), Err(ManifestError::SizeOverflow(at)) if at.as_str() == "b"));
    assert!(matches!(
        altered("\"size\": 1", "\"size\": 18446744073709551616"),
        Err(ManifestError::Json(_))
    ));
    assert!(matches!(
        altered("\"size\": 1", "\"size\": -1"),
        Err(ManifestError::Json(_))
    ));
}

#[test]
fn an_incremental_update_needs_its_full_database_in_the_set() {
    for of in [
        "signatures/other.fwdb",
        "signatures/incremental/main-6-7.fwinc",
        "policies/exclusions.json",
    ] {
        let error = altered("\"of\": \"signatures/main.fwdb\"", &format!("\"of\": \"{of}\"")).expect_err(of);
        assert!(
            matches!(&error, ManifestError::MissingFull { of: named, .. } if named.as_str() == of),
            "{error}"
        );
    }
}

#[test]
fn versions_serials_and_times_that_make_no_sense_are_refused() {
    for version in ["", "two\\nlines", &"9".repeat(65), "v\\u0007"] {
        let error = altered("22.0.20261124.1", version).expect_err(version);
        assert!(matches!(error, ManifestError::Version(_)), "{error}");
    }
    assert!(matches!(
        altered("\"serial\": 7", "\"serial\": 0"),
        Err(ManifestError::SerialZero)
    ));
    let error = altered("2026-12-24", "2026-11-24").expect_err("expires when published");
    assert!(matches!(error, ManifestError::ExpiresBeforePublished { .. }), "{error}");
}

#[test]
fn a_manifest_too_long_to_be_one_is_not_even_read() {
    let bytes = vec![b' '; Manifest::MAX_BYTES + 1];
    assert!(matches!(Manifest::parse(&bytes), Err(ManifestError::TooLong(_))));
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let paths = proptest::collection::btree_set("[a-z][a-zA-Z0-9._+-]{0,6}(/[a-z][a-zA-Z0-9._+-]{0,6}){0,2}", 0..8);
    let time = 0i64..4_000_000_000;
    (
        paths,
        "[!-~][ -~]{0,63}",
        1u64..,
        time.clone(),
        time,
        0u32..1_000_000_000,
        any::<[u8; 32]>(),
        any::<u32>(),
    )
        .prop_filter_map(
            "a valid manifest",
            |(paths, version, serial, published, life, nanos, digest, choice)| {
                let published = Timestamp::new(published, i32::try_from(nanos).ok()?).ok()?;
                let expires = published + jiff::SignedDuration::from_secs(life + 1);
                let mut files: Vec<FileEntry> = Vec::new();
                for (index, text) in paths.into_iter().enumerate() {
                    let kind = match (choice >> (index * 2)) % 4 {
                        0 => FileKind::Database,
                        1 => FileKind::Policy,
                        2 => FileKind::Extra,
                        _ => match files.iter().find(|entry| entry.kind == FileKind::Database) {
                            Some(full) => FileKind::Incremental {
                                from_serial: serial - 1,
                                base: Sha256::from_bytes(digest),
                                of: full.path.clone(),
                            },
                            None => FileKind::Extra,
                        },
                    };
                    let size = u64::from(choice).wrapping_mul(index as u64);
                    files.push(FileEntry {
                        path: text.parse().ok()?,
                        size,
                        sha256: Sha256::from_bytes(digest),
                        kind,
                    });
                }
                Manifest::new(version, serial, published, expires, files).ok()
            },
        )
}

proptest! {
    #[test]
    fn rendering_then_parsing_is_identity(manifest in any_manifest()) {
        let text = manifest.render();
        let parsed = Manifest::parse(text.as_bytes()).expect("own output");
        prop_assert_eq!(&parsed, &manifest);
        prop_assert_eq!(parsed.render(), text);
    }

    #[test]
    fn the_order_of_files_does_not_matter(manifest in any_manifest(), seed in any::<usize>()) {
        let mut files = manifest.files().to_vec();
        let by = seed % files.len().max(1);
        files.rotate_left(by);
        let again = Manifest::new(
            manifest.version().into(), manifest.serial(), manifest.published(), manifest.expires(), files);
        prop_assert_eq!(again.expect("the same parts"), manifest);
    }

    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }

    #[test]
    fn parsing_a_damaged_manifest_never_panics(position in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = sample().render().into_bytes();
        let position = position % bytes.len();
        if cut { bytes.truncate(position) } else { bytes[position] = byte }
        let _ = Manifest::parse(&bytes);
    }
}
