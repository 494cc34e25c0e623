//! `eserv.ini`, section `[General]`, as Windows programs write and read it.
//!
//! Read the way `GetPrivateProfileString` does, which no INI crate follows: any letter case, the
//! first of two equal keys wins, surrounding quotes are dropped, lines that say nothing are
//! passed over, and whatever other keys the product keeps there are none of our business.

use std::collections::HashMap;

use super::layers::Setting;
use super::mistake::{Mistake, Origin};
use super::port_set::PortSet;
use super::value::Value;

/// The passive range that an `eserv.ini` states, whatever other layers say; `None` where it states none, or a wrong one.
pub fn passive_ports(bytes: &[u8]) -> Option<PortSet> {
    passive_range(&section(&decode(bytes), "general")).ok()??.parse().ok()
}

/// The settings that an `eserv.ini` makes.
pub(crate) fn settings(name: &str, bytes: &[u8]) -> (Vec<Setting>, Vec<Mistake>) {
    let text = decode(bytes);
    let general = section(&text, "general");
    let origin = Origin::File(name.to_owned());
    let mut settings = Vec::new();
    let mut mistakes = Vec::new();
    let setting = |key: &str, value: String| Setting {
        origin: origin.clone(),
        key: key.to_owned(),
        value: Value::Text(value),
    };

    match passive_range(&general) {
        Ok(None) => {}
        Ok(Some(range)) => settings.push(setting("ftp.passive_ports", range)),
        Err(wrong) => mistakes.extend(wrong.into_iter().map(|(key, expected)| Mistake {
            origin: origin.clone(),
            key: format!("[General] {key}"),
            value: general.get(&key.to_ascii_lowercase()).map(|value| (*value).to_owned()),
            expected: expected.to_owned(),
        })),
    }
    if let Some(address) = general.get("ser_pasv_ipaddr") {
        match address.parse::<std::net::Ipv4Addr>() {
            Ok(_) => settings.push(setting("ftp.advertised_address", (*address).to_owned())),
            Err(_) => mistakes.push(Mistake {
                origin: origin.clone(),
                key: "[General] Ser_Pasv_IPAddr".to_owned(),
                value: Some((*address).to_owned()),
                expected: "expected the public IPv4 address of the server, such as 203.0.113.2".to_owned(),
            }),
        }
    }
    (settings, mistakes)
}

/// Windows text: UTF-8 or UTF-16 by its byte order mark, UTF-8 if it is that, else Windows-1252.
fn decode(bytes: &[u8]) -> String {
    let assumed = if std::str::from_utf8(bytes).is_ok() {
        encoding_rs::UTF_8
    } else {
        encoding_rs::WINDOWS_1252
    };
    assumed.decode(bytes).0.into_owned()
}

/// The keys of a section in lower case, and their values; empty values count as absent.
fn section<'a>(text: &'a str, wanted: &str) -> HashMap<String, &'a str> {
    let mut inside = false;
    let mut found = HashMap::new();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.trim().eq_ignore_ascii_case(wanted);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            found
                .entry(key.trim().to_ascii_lowercase())
                .or_insert_with(|| unquote(value.trim()));
        }
    }
    found.retain(|_, value| !value.is_empty());
    found
}

fn unquote(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

const ADD: &str = "AddPassivePort";
const START: &str = "StartingPassivePort";
const COUNT: &str = "NoofPassivePorts";

/// The range in our text form; the empty text where the server has no range of its own.
fn passive_range(general: &HashMap<String, &str>) -> Result<Option<String>, Vec<(&'static str, &'static str)>> {
    let get = |key: &str| general.get(&key.to_ascii_lowercase()).copied();
    let number = |key: &'static str, expected: &'static str| match get(key).and_then(|text| text.parse::<u16>().ok()) {
        Some(number) if number > 0 => Ok(number),
        _ => Err((key, expected)),
    };
    match get(ADD) {
        Some("1") => {}
        Some("0") => return Ok(Some(String::new())),
        Some(_) => return Err(vec![(ADD, "expected 1 (use the range) or 0 (no range of its own)")]),
        None if get(START).is_none() && get(COUNT).is_none() => return Ok(None),
        None => {
            return Err(vec![(
                ADD,
                "expected 1 or 0: without it the range below it has no effect",
            )]);
        }
    }
    let start = number(START, "expected the first port of the range, such as 3023");
    let count = number(COUNT, "expected how many ports the range has, such as 1000");
    match (start, count) {
        (Ok(start), Ok(count)) => match start.checked_add(count - 1) {
            Some(end) => Ok(Some(format!("{start}-{end}"))),
            None => Err(vec![(COUNT, "expected a range that ends at or below port 65535")]),
        },
        (start, count) => Err([start.err(), count.err()].into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use crate::estate::Estate;
    use crate::estate::layers::Layers;

    fn estate(ini: &[u8]) -> Result<Estate, String> {
        Layers::new()
            .eserv_ini("eserv.ini", ini)
            .resolve()
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_guides_example_gives_the_guides_range() {
        let estate = estate(b"[General]\r\nAddPassivePort=1\r\nStartingPassivePort=3023\r\nNoofPassivePorts=1000\r\nSer_Pasv_IPAddr=192.0.2.7\r\n").unwrap();
        assert_eq!(estate.ftp.passive_ports.to_string(), "3023-4022");
        assert_eq!(estate.ftp.advertised_address.unwrap().to_string(), "192.0.2.7");
    }

    #[test]
    fn windows_text_of_every_kind_is_read() {
        let plain = "; \u{fc}ber\r\n[GENERAL]\r\n addpassiveport = \"1\" ; yes\r\nSTARTINGPASSIVEPORT=5000\r\nnoofpassiveports=10\r\nnonsense\r\n[Other]\r\nAddPassivePort=0\r\n";
        let bom = [b"\xef\xbb\xbf".as_slice(), plain.as_bytes()].concat();
        let utf16: Vec<u8> = [0xfeff]
            .into_iter()
            .chain(plain.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let windows_1252 = encoding_rs::WINDOWS_1252.encode(plain).0.into_owned();
        for bytes in [plain.as_bytes().to_vec(), bom, utf16, windows_1252] {
            assert_eq!(estate(&bytes).unwrap().ftp.passive_ports.to_string(), "5000-5009");
        }
    }

    #[test]
    fn zero_means_no_range_of_its_own() {
        let estate = estate(b"[General]\nAddPassivePort=0\nStartingPassivePort=3023\nNoofPassivePorts=1000\n").unwrap();
        assert!(estate.ftp.passive_ports.is_empty());
    }

    #[test]
    fn the_first_of_two_equal_keys_wins() {
        let estate = estate(
            b"[General]\nAddPassivePort=1\nStartingPassivePort=3023\nStartingPassivePort=9000\nNoofPassivePorts=1\n",
        )
        .unwrap();
        assert_eq!(estate.ftp.passive_ports.to_string(), "3023");
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let error =
            estate(b"[General]\nAddPassivePort=1\nStartingPassivePort=0\nSer_Pasv_IPAddr=192.x.x.x\n").unwrap_err();
        insta::assert_snapshot!(error, @r"
        3 mistakes in the configuration
          - eserv.ini: [General] StartingPassivePort = 0: expected the first port of the range, such as 3023
          - eserv.ini: [General] NoofPassivePorts: expected how many ports the range has, such as 1000
          - eserv.ini: [General] Ser_Pasv_IPAddr = 192.x.x.x: expected the public IPv4 address of the server, such as 203.0.113.2
        ");
    }

    #[test]
    fn a_range_that_runs_past_the_last_port_is_refused() {
        let error =
            estate(b"[General]\nAddPassivePort=1\nStartingPassivePort=65000\nNoofPassivePorts=1000\n").unwrap_err();
        assert!(error.contains("at or below port 65535"), "{error}");
    }

    #[test]
    fn a_range_without_its_switch_is_a_mistake() {
        let error = estate(b"[General]\nStartingPassivePort=3023\nNoofPassivePorts=10\n").unwrap_err();
        assert!(error.contains("AddPassivePort"), "{error}");
    }

    #[test]
    fn an_ini_without_our_keys_changes_nothing() {
        assert_eq!(estate(b"[General]\nLanguage=en\n").unwrap(), Estate::default());
        assert_eq!(estate(b"").unwrap(), Estate::default());
    }
}
