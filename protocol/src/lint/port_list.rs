//! A list of ports to open, as it stands in a guide or a change request.

use std::ops::RangeInclusive;

use crate::estate::mistake::{Mistake, Mistakes, Origin};
use crate::estate::port_set::PortSet;

/// The TCP ports of a list: one or several to a line, `TCP port 10443`, `TCP port range 3023 – 4023`, `2221, 2222/tcp`.
///
/// A line may begin with a bullet, and `and` and `to` may stand for comma and hyphen. What follows `(`, `[`, `#` or `;` is a remark. Pieces may overlap: the guide's own list names 3333 and a range around it.
/// `name` is what mistakes call the list; all of them are told, each with its line.
pub fn parse(name: &str, text: &str) -> Result<PortSet, Mistakes> {
    let mut ports = Vec::new();
    let mut mistakes = Vec::new();
    let mistake = |key: String, value: Option<&str>, expected: &str| Mistake {
        origin: Origin::File(name.to_owned()),
        key,
        value: value.map(str::to_owned),
        expected: expected.to_owned(),
    };
    for (at, line) in text.lines().enumerate() {
        let line = line.split(['(', '[', '#', ';']).next().unwrap_or_default();
        let line = line.trim_start_matches([' ', '\t', '-', '*', '\u{2022}']);
        let pieces = line.split(',').flat_map(|piece| piece.split(" and "));
        let pieces = pieces.map(str::trim).filter(|piece| !piece.is_empty());
        for piece in pieces {
            match range(piece) {
                Some(range) => ports.extend(range),
                None => mistakes.push(mistake(
                    format!("line {}", at + 1),
                    Some(piece),
                    "expected a TCP port or a range, such as 3023-4022",
                )),
            }
        }
    }
    if ports.is_empty() && mistakes.is_empty() {
        mistakes.push(mistake("ports".to_owned(), None, "expected at least one"));
    }
    if mistakes.is_empty() {
        Ok(ports.into_iter().collect())
    } else {
        Err(Mistakes(mistakes))
    }
}

fn range(piece: &str) -> Option<RangeInclusive<u16>> {
    let piece = piece.to_ascii_lowercase();
    let mut words = piece.trim_start_matches('\u{feff}').trim();
    for word in ["tcp", "ports", "port", "range"] {
        words = words
            .strip_prefix(word)
            .unwrap_or(words)
            .trim_start_matches([' ', '\t', '/', ':']);
    }
    let words = words.strip_suffix("/tcp").unwrap_or(words);
    let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port != 0);
    // A hyphen, the dashes of word processors, the colon of iptables, a word.
    let separated = |by: &str| words.split_once(by);
    let (low, high) = (["-", "\u{2013}", "\u{2014}", ":", "..", " to "].into_iter())
        .find_map(separated)
        .unwrap_or((words, words));
    let (low, high) = (port(low)?, port(high)?);
    (low <= high).then_some(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_own_lines_are_read() {
        let list = "TCP port 10443\n\nTCP port 3333\n\nTCP Port 2222\n\nTCP port 2021\n\nTCP port 2225\n\n\
                    TCP port range 3023 \u{2013} 4023 ( These port numbers can be different, depending upon the configuration)\n";
        assert_eq!(
            parse("guide", list).unwrap().to_string(),
            "2021,2222,2225,3023-4023,10443"
        );
    }

    #[test]
    fn the_ways_of_firewalls_are_read_as_well() {
        assert_eq!(
            parse("list", "2221, 2222/tcp, tcp/2225 # events\r\n3023:3032; passive\n").unwrap(),
            "2221,2222,2225,3023-3032".parse().unwrap()
        );
    }

    #[test]
    fn a_list_that_is_written_for_people_is_read_as_well() {
        let list = "- 2021, 3333 and 2225\n* ports 3023 to 3032\n\u{2022} 4000..4009\n5000\u{2014}5001\n";
        assert_eq!(
            parse("mail", list).unwrap(),
            "2021,2225,3023-3032,3333,4000-4009,5000-5001".parse().unwrap()
        );
    }

    #[test]
    fn every_line_that_is_no_port_is_named() {
        let mistakes = parse("ports.txt", "TCP port 3333\nUDP port 53\n4022-3023\n70000, 0\n").unwrap_err();
        insta::assert_snapshot!(mistakes, @r"
        4 mistakes in the configuration
          - ports.txt: line 2 = UDP port 53: expected a TCP port or a range, such as 3023-4022
          - ports.txt: line 3 = 4022-3023: expected a TCP port or a range, such as 3023-4022
          - ports.txt: line 4 = 70000: expected a TCP port or a range, such as 3023-4022
          - ports.txt: line 4 = 0: expected a TCP port or a range, such as 3023-4022
        ");
    }

    #[test]
    fn a_list_without_a_port_is_a_mistake() {
        assert!(parse("ports.txt", "# nothing\n").is_err());
    }
}
