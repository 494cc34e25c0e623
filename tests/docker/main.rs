//! The image and the labs of docker/, by a real engine: nothing is pulled, the base is made by debootstrap.
//!
//! Takes minutes, root, and a Docker engine, so it is ignored unless asked for: `scripts/test-docker`, a step of CI. Where it
//! cannot run it fails and says why. All that it makes has names of its own, and is removed whatever happens.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod image;
mod labs;
mod published;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// One test, because its parts share images that take a minute to make. Every part is tried, also after one failed.
#[test]
#[ignore = "needs a Docker engine and minutes: scripts/test-docker"]
fn the_image_keeps_its_promises_and_every_lab_finds_what_its_file_expects() {
    engine::required();
    let images = image::Images::build();
    let mut failed = Vec::new();
    let mut part = |name: &str, run: &dyn Fn()| {
        let started = std::time::Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(run)).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        engine::tell(&format!("{word:6} {name} ({:.1} s)", started.elapsed().as_secs_f64()));
        if !passed {
            failed.push(name.to_owned());
        }
    };
    part("the image is small", &|| image::is_small(&images));
    part(
        "a container is healthy soon, read-only and without capabilities",
        &|| image::is_healthy_soon(&images),
    );
    part("a container stops at SIGTERM", &|| image::stops_when_told(&images));
    part("every name for a setting is understood", &|| {
        image::understands_every_name(&images)
    });
    part("names in conflict are refused", &|| image::refuses_conflicts(&images));
    part("published ports may have other numbers outside", &|| {
        published::may_have_other_numbers(&images);
    });
    let labs = labs::all();
    assert!(labs.len() >= 8, "{labs:?}");
    for lab in &labs {
        part(&format!("lab {lab}"), &|| {
            labs::finds_what_its_file_expects(lab, &images)
        });
    }
    part("a lab by plain compose", &|| {
        labs::works_without_the_script("direct", &images)
    });
    part("the compose file of the documentation", &|| {
        labs::works_as_documented(&images);
    });
    part("a storm of three containers", &|| labs::a_storm_is_gathered(&images));
    part("nothing of the labs is left", &labs::left_nothing);
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
