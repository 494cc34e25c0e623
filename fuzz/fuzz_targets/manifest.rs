//! A manifest of any bytes: refused, or one that renders to what parses to the same, with paths that stay inside.
#![no_main]

use std::path::{Component, Path};

use fwdrill_protocol::update_set::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = Manifest::parse(data) else { return };
    let again = Manifest::parse(manifest.render().as_bytes()).expect("what was rendered parses");
    assert_eq!(again.render(), manifest.render());
    for file in manifest.files() {
        let inside = file.path.below(Path::new("set"));
        assert!(inside.starts_with("set"));
        assert!(
            inside.components().all(|part| matches!(part, Component::Normal(_))),
            "{inside:?}"
        );
        assert!(!file.path.as_str().chars().any(char::is_control));
    }
});
