//! The environment: `FWDRILL_<SECTION>_<KEY>`, and the names that compose files already use for
//! other FTP images, as aliases.

use std::collections::BTreeMap;

use super::keys::{self, KEYS};
use super::layers::Setting;
use super::mistake::{Mistake, Origin};
use super::value::Value;
use crate::flow::Flow;

/// Variables of the `FWDRILL_` name space that are flags of the command line, not estate keys.
pub const RESERVED: &[&str] = &[
    "FWDRILL_LOG",
    "FWDRILL_STATE",
    "FWDRILL_DEPOT",
    "FWDRILL_ESTATE",
    "FWDRILL_ESERV_INI",
    "FWDRILL_FTP_ENGINE",
    "FWDRILL_ROLE",
];

/// Aliases that stand for one key each, as the images that made them known use them.
const ALIASES: &[(&str, &str)] = &[
    ("PASV_ADDRESS", ADVERTISED),
    ("PUBLICHOST", ADVERTISED),
    ("ADDRESS", ADVERTISED),
    ("PUBLIC_IP", ADVERTISED),
];
const ADVERTISED: &str = "ftp.advertised_address";
const PASSIVE: &str = "ftp.passive_ports";

/// Aliases of which two make one range.
const RANGES: &[(&str, &str)] = &[("PASV_MIN_PORT", "PASV_MAX_PORT"), ("MIN_PORT", "MAX_PORT")];

/// The settings that an environment makes. Empty variables count as unset, as compose files make
/// them (`PASV_ADDRESS=${PASV_ADDRESS:-}`).
pub(crate) fn settings(variables: impl IntoIterator<Item = (String, String)>) -> (Vec<Setting>, Vec<Mistake>) {
    let variables: BTreeMap<String, String> = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut found = Found::default();
    own_names(&variables, &mut found);
    for (name, key) in ALIASES {
        if let Some(value) = variables.get(*name) {
            found.setting(name, key, value.clone());
        }
    }
    ranges(&variables, &mut found);
    users(&variables, &mut found);
    conflicts(&mut found);
    (found.settings, found.mistakes)
}

#[derive(Default)]
struct Found {
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Found {
    fn setting(&mut self, variable: &str, key: &str, value: String) {
        let origin = Origin::Environment(variable.to_owned());
        self.settings.push(Setting {
            origin,
            key: key.to_owned(),
            value: Value::Text(value),
        });
    }

    fn mistake(&mut self, variable: &str, value: Option<&str>, expected: String) {
        self.mistakes.push(Mistake {
            origin: Origin::Environment(variable.to_owned()),
            key: variable.to_owned(),
            value: value.map(ToOwned::to_owned),
            expected,
        });
    }
}

fn own_names(variables: &BTreeMap<String, String>, found: &mut Found) {
    for (name, value) in variables.range("FWDRILL_".to_owned()..) {
        let Some(rest) = name.strip_prefix("FWDRILL_") else {
            break;
        };
        // Kubernetes sets FWDRILL_PORT... and FWDRILL_SERVICE_... where a Service is called fwdrill.
        if RESERVED.contains(&name.as_str())
            || rest == "PORT"
            || rest.starts_with("PORT_")
            || rest.starts_with("SERVICE_")
        {
            continue;
        }
        match key_of(rest) {
            Some(key) => found.setting(name, &key, value.clone()),
            None => found.mistake(
                name,
                None,
                "expected FWDRILL_<SECTION>_<KEY> with a key of the estate".to_owned(),
            ),
        }
    }
}

/// `FTP_PASSIVE_PORTS` -> `ftp.passive_ports`, `EXPECT_OUTSIDE_CONSOLE` -> `expect.outside.console`.
fn key_of(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if let Some(key) = KEYS.iter().find(|key| key.path.replace('.', "_") == name) {
        return Some(key.path.to_owned());
    }
    let rest = name.strip_prefix("expect_")?;
    let flow = Flow::expectable()
        .filter(|flow| rest.ends_with(&format!("_{}", flow.key())))
        .max_by_key(|flow| flow.key().len())?;
    let vantage = &rest[..rest.len() - flow.key().len() - 1];
    let key = format!("expect.{vantage}.{}", flow.key());
    keys::expectation(&key).map(|_| key.clone())
}

fn ranges(variables: &BTreeMap<String, String>, found: &mut Found) {
    for (low, high) in RANGES {
        match (variables.get(*low), variables.get(*high)) {
            (Some(first), Some(last)) => {
                found.setting(&format!("{low} and {high}"), PASSIVE, format!("{first}-{last}"))
            }
            (Some(value), None) => found.mistake(low, Some(value), format!("expected {high} beside it")),
            (None, Some(value)) => found.mistake(high, Some(value), format!("expected {low} beside it")),
            (None, None) => {}
        }
    }
    if let Some(value) = variables.get("FTP_PASSIVE_PORTS") {
        // Pure-FTPd writes ranges with a colon.
        found.setting("FTP_PASSIVE_PORTS", PASSIVE, value.replace(':', "-"));
    }
}

fn users(variables: &BTreeMap<String, String>, found: &mut Found) {
    match (variables.get("FTP_USER"), variables.get("FTP_PASS")) {
        (Some(name), Some(password)) => found.setting(
            "FTP_USER and FTP_PASS",
            keys::USERS,
            inline([(name.as_str(), password.as_str())]),
        ),
        (Some(_), None) => found.mistake("FTP_USER", None, "expected FTP_PASS beside it".to_owned()),
        (None, Some(_)) => found.mistake("FTP_PASS", None, "expected FTP_USER beside it".to_owned()),
        (None, None) => {}
    }
    // "name|password|folder|uid name2|password2": folder and uid mean nothing here.
    if let Some(list) = variables.get("USERS") {
        let users: Option<Vec<(&str, &str)>> = list
            .split_whitespace()
            .map(|user| {
                let mut fields = user.split('|');
                Some((fields.next().filter(|name| !name.is_empty())?, fields.next()?))
            })
            .collect();
        match users {
            Some(users) => found.setting("USERS", keys::USERS, inline(users)),
            None => found.mistake(
                "USERS",
                Some("(not shown)"),
                "expected name|password pairs with spaces between".to_owned(),
            ),
        }
    }
}

fn inline<'a>(users: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let text = |text: &str| toml::Value::String(text.to_owned());
    let tables: Vec<String> = users
        .into_iter()
        .map(|(name, password)| format!("{{ name = {}, password = {} }}", text(name), text(password)))
        .collect();
    format!("[{}]", tables.join(", "))
}

/// Two variables that set one key to different values: an error that names both.
fn conflicts(found: &mut Found) {
    let mut first_by_key: BTreeMap<&str, &Setting> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for setting in &found.settings {
        let first = first_by_key.entry(&setting.key).or_insert(setting);
        if first.value != setting.value {
            mistakes.push(Mistake {
                origin: setting.origin.clone(),
                key: setting.key.clone(),
                value: (!keys::is_secret(&setting.key)).then(|| setting.value.shown()),
                expected: format!(
                    "{} says something else{}",
                    first.origin,
                    match keys::is_secret(&setting.key) {
                        true => String::new(),
                        false => format!(" ({})", first.value.shown()),
                    }
                ),
            });
        }
    }
    found.mistakes.extend(mistakes);
}

#[cfg(test)]
mod tests {
    use crate::estate::Estate;
    use crate::estate::layers::Layers;
    use crate::flow::{Expected, Flow};

    fn estate(variables: &[(&str, &str)]) -> Result<Estate, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layers::new()
            .environment(variables)
            .resolve()
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn own_names_set_any_key() {
        let estate = estate(&[
            ("FWDRILL_FTP_PASSIVE_PORTS", "5000-5009"),
            ("FWDRILL_PORTS_SELF_EVENTS", "7"),
            ("FWDRILL_FTP_ANONYMOUS", "no"),
            ("FWDRILL_EXPECT_OUTSIDE_SELF_EVENTS", "open"),
            ("FWDRILL_EXPECT_OUTSIDE_CONSOLE", "closed"),
        ])
        .unwrap();
        assert_eq!(estate.ftp.passive_ports.to_string(), "5000-5009");
        assert_eq!(estate.ports.self_events, 7);
        assert!(!estate.ftp.anonymous);
        assert_eq!(estate.expected("outside", Flow::SelfEvents), Expected::Open);
        assert_eq!(estate.expected("outside", Flow::Console), Expected::Closed);
    }

    #[test]
    fn names_from_other_images_are_understood() {
        for name in ["PASV_ADDRESS", "PUBLICHOST", "ADDRESS", "PUBLIC_IP"] {
            let estate = estate(&[(name, "203.0.113.2")]).unwrap();
            assert_eq!(estate.ftp.advertised_address.unwrap().to_string(), "203.0.113.2");
        }
        for pair in [
            [("PASV_MIN_PORT", "30000"), ("PASV_MAX_PORT", "30009")],
            [("MIN_PORT", "30000"), ("MAX_PORT", "30009")],
        ] {
            assert_eq!(estate(&pair).unwrap().ftp.passive_ports.to_string(), "30000-30009");
        }
        assert_eq!(
            estate(&[("FTP_PASSIVE_PORTS", "30000:30009")])
                .unwrap()
                .ftp
                .passive_ports
                .to_string(),
            "30000-30009"
        );
        let named = estate(&[("FTP_USER", "scan"), ("FTP_PASS", "a\"b")]).unwrap();
        assert_eq!(
            (named.ftp.users[0].name.as_str(), named.ftp.users[0].password.as_str()),
            ("scan", "a\"b")
        );
        let listed = estate(&[("USERS", "one|1111|/home/one|1000 two|2222")]).unwrap();
        assert_eq!(listed.ftp.users.len(), 2);
    }

    #[test]
    fn conflicting_names_are_an_error_that_names_both() {
        let error = estate(&[("PASV_ADDRESS", "203.0.113.2"), ("PUBLICHOST", "203.0.113.3")]).unwrap_err();
        insta::assert_snapshot!(error, @r#"environment PUBLICHOST: ftp.advertised_address = "203.0.113.3": environment PASV_ADDRESS says something else ("203.0.113.2")"#);
        assert!(estate(&[("PASV_ADDRESS", "203.0.113.2"), ("PUBLICHOST", "203.0.113.2")]).is_ok());
    }

    #[test]
    fn half_a_pair_is_a_mistake() {
        assert!(estate(&[("PASV_MIN_PORT", "1")]).unwrap_err().contains("PASV_MAX_PORT"));
        assert!(estate(&[("FTP_PASS", "secret")]).unwrap_err().contains("FTP_USER"));
        assert!(!estate(&[("FTP_PASS", "secret")]).unwrap_err().contains("secret"));
    }

    #[test]
    fn unknown_own_names_are_mistakes_but_kubernetes_links_are_not() {
        assert!(
            estate(&[("FWDRILL_FTP_PROT", "1")])
                .unwrap_err()
                .contains("FWDRILL_FTP_PROT")
        );
        assert!(
            estate(&[
                ("FWDRILL_PORT_2021_TCP", "tcp://10.0.0.1:2021"),
                ("FWDRILL_SERVICE_HOST", "10.0.0.1"),
                ("FWDRILL_PORT", "tcp://10.0.0.1:1")
            ])
            .is_ok()
        );
        assert!(estate(&[("FWDRILL_LOG", "debug")]).is_ok());
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(estate(&[("PASV_ADDRESS", "")]).unwrap(), Estate::default());
    }
}
