//! PowerShell's texts, read by a parser of its language: neither Windows nor PowerShell has seen them.

use std::collections::BTreeMap;

use tree_sitter::{Node, Parser};

use crate::rules;

/// A cmdlet of a text: its name, and its parameters with their values.
#[derive(Debug)]
struct Cmdlet {
    name: String,
    parameters: BTreeMap<String, Vec<String>>,
}

/// Every cmdlet, in order; each pipeline a list. What is no PowerShell is a mistake, and so is a parameter that stands twice.
fn pipelines(text: &str) -> Vec<Vec<Cmdlet>> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    let tree = parser.parse(text, None).unwrap();
    assert!(!tree.root_node().has_error(), "{}: {text}", tree.root_node().to_sexp());
    let commands = |pipeline: &Node| {
        let cmdlets = below(*pipeline, "command").into_iter();
        cmdlets.map(|command| cmdlet(command, text)).collect()
    };
    let chains = below(tree.root_node(), "pipeline_chain");
    let mut pipelines: Vec<Vec<Cmdlet>> = chains.iter().map(commands).collect();
    // The right side of an assignment is a pipeline without a cmdlet.
    pipelines.retain(|cmdlets| !cmdlets.is_empty());
    pipelines
}

/// The outermost nodes of a kind.
fn below<'a>(node: Node<'a>, kind: &str) -> Vec<Node<'a>> {
    if node.kind() == kind {
        return vec![node];
    }
    let children = node.named_children(&mut node.walk()).collect::<Vec<_>>();
    children.into_iter().flat_map(|child| below(child, kind)).collect()
}

fn cmdlet(command: Node, text: &str) -> Cmdlet {
    let said = |node: Node| text[node.byte_range()].to_owned();
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = None;
    let elements = below(command, "command_elements").into_iter();
    for element in elements.flat_map(|elements| elements.named_children(&mut elements.walk()).collect::<Vec<_>>()) {
        match element.kind() {
            "command_argument_sep" => {}
            "command_parameter" => {
                let name = said(element);
                assert!(parameters.insert(name.clone(), Vec::new()).is_none(), "{name} twice");
                last = Some(name);
            }
            _ => {
                let strings = below(element, "verbatim_string_characters").into_iter();
                let mut values: Vec<String> = strings.map(|value| said(value).trim_matches('\'').to_owned()).collect();
                if values.is_empty() {
                    values.push(said(element));
                }
                let of = last.take().expect("a value without a parameter");
                parameters.insert(of, values);
            }
        }
    }
    Cmdlet {
        name: said(command.child_by_field_name("command_name").unwrap()),
        parameters,
    }
}

/// Direction, flow, ports and addresses of every rule that a text makes; all else about them is the same for all.
fn made(arguments: &[&str]) -> Vec<(String, String, String, String)> {
    let pipelines = pipelines(&rules("windows", arguments));
    let made = pipelines
        .iter()
        .filter(|pipeline| pipeline[0].name == "New-NetFirewallRule");
    made.map(|pipeline| {
        assert_eq!((pipeline.len(), pipeline[1].name.as_str()), (2, "Out-Null"));
        let mut parameters = pipeline[0].parameters.clone();
        let mut take = |name: &str| parameters.remove(name).map(|values| values.join(","));
        for (name, value) in [
            ("-Group", "fwdrill"),
            ("-Action", "Allow"),
            ("-Profile", "Any"),
            ("-Protocol", "TCP"),
        ] {
            assert_eq!(take(name).as_deref(), Some(value));
        }
        let (name, direction) = (take("-DisplayName").unwrap(), take("-Direction").unwrap());
        assert_eq!(name.ends_with(", outbound"), direction == "Outbound");
        let flow = name
            .strip_prefix("fwdrill ")
            .unwrap()
            .split_once(": ")
            .unwrap()
            .0
            .to_owned();
        let ports = take(if direction == "Inbound" {
            "-LocalPort"
        } else {
            "-RemotePort"
        });
        let addresses = take("-RemoteAddress").unwrap_or_default();
        assert!(parameters.is_empty(), "{parameters:?}");
        (direction, flow, ports.unwrap(), addresses)
    })
    .collect()
}

/// The flows of one direction as [`made`] tells them.
fn each(direction: &str, flows: &[(&str, &str)], addresses: &str) -> Vec<(String, String, String, String)> {
    let rule = |(flow, ports): &(&str, &str)| [direction, flow, ports, addresses].map(str::to_owned).into();
    flows.iter().map(rule).collect()
}

const TASKS: (&str, &str) = ("tasks", "2222");
const SERVER: [(&str, &str); 6] = [
    ("ftp-control", "2021"),
    ("ftp-passive", "3023-3332,3334-4022"),
    ("version", "3333"),
    ("agent", "2222"),
    ("events", "2225"),
    ("console", "10443"),
];

#[test]
fn powershell_makes_one_rule_for_each_flow_and_nothing_else() {
    let server = [each("Inbound", &SERVER, ""), each("Outbound", &[TASKS], "")].concat();
    assert_eq!(made(&[]), server);
    let both = "203.0.113.2,2001:db8:20::10";
    let client = [each("Inbound", &[TASKS], both), each("Outbound", &SERVER, both)].concat();
    let arguments = ["--role=client", "--server=203.0.113.2", "--server=2001:db8:20::10"];
    assert_eq!(made(&arguments), client);
    let agent = [
        each("Inbound", &SERVER[..4], ""),
        each("Outbound", &SERVER, "203.0.113.2"),
    ];
    assert_eq!(made(&["--role=update-agent", "--server=203.0.113.2"]), agent.concat());
}

#[test]
fn powershell_takes_its_own_group_away_first_and_the_undo_does_only_that() {
    for arguments in [&[][..], &["--undo"]] {
        let pipelines = pipelines(&rules("windows", arguments));
        let [get, remove] = pipelines[0].as_slice() else {
            panic!("{pipelines:?}")
        };
        assert_eq!(
            (get.name.as_str(), remove.name.as_str()),
            ("Get-NetFirewallRule", "Remove-NetFirewallRule")
        );
        assert_eq!(get.parameters["-Group"], ["fwdrill"]);
        // A group that is not there is no failure.
        assert_eq!(get.parameters["-ErrorAction"], ["SilentlyContinue"]);
        assert_eq!(pipelines.len() == 1, arguments == ["--undo"]);
    }
}
