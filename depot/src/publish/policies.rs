//! Policy files, from the templates under `fixtures/update-set/policies`.

use rand::RngExt;

use super::records::random_for;

struct Policy {
    name: &'static str,
    template: &'static str,
    /// It changes with every so many serials.
    every: u64,
}

const POLICIES: [Policy; 3] = [
    Policy {
        name: "scan-exclusions.json",
        template: include_str!("../../../fixtures/update-set/policies/scan-exclusions.json"),
        every: 1,
    },
    Policy {
        name: "firewall.json",
        template: include_str!("../../../fixtures/update-set/policies/firewall.json"),
        every: 4,
    },
    Policy {
        name: "update-schedule.ini",
        template: include_str!("../../../fixtures/update-set/policies/update-schedule.ini"),
        every: 10,
    },
];

/// The paths and texts of a set's policies.
pub(super) fn render(seed: u64, serial: u64) -> Vec<(String, String)> {
    let render = |policy: &Policy| {
        let revision = (serial - serial % policy.every).max(1);
        let text = policy
            .template
            .replace("{{revision}}", &revision.to_string())
            .replace("{{addresses}}", &addresses(seed, policy.name, revision));
        (format!("policies/{}", policy.name), text)
    };
    POLICIES.iter().map(render).collect()
}

/// A few addresses out of the three documentation networks of RFC 5737.
fn addresses(seed: u64, name: &str, revision: u64) -> String {
    let mut random = random_for(&format!("policy {seed} {name} {revision}"));
    let networks = ["192.0.2", "198.51.100", "203.0.113"];
    let address = |_| {
        format!(
            "\"{}.{}\"",
            networks[random.random_range(0..3)],
            random.random_range(1..255)
        )
    };
    (0..3).map(address).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_policy_is_json_and_no_placeholder_is_left() {
        for (path, text) in render(7, 42) {
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
            if path.ends_with(".json") {
                let value: serde_json::Value = serde_json::from_str(&text).expect(&path);
                assert!(value["revision"].is_u64(), "{path}");
            }
        }
    }

    #[test]
    fn the_next_serial_changes_the_exclusions_and_leaves_most_schedules() {
        for serial in 1..20 {
            let (old, new) = (render(7, serial), render(7, serial + 1));
            assert_ne!(old[0], new[0], "exclusions of {serial}");
            assert_eq!(old[2] != new[2], (serial + 1) % 10 == 0, "schedule of {serial}");
        }
    }
}
