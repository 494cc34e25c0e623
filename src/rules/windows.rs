//! Windows Defender Firewall: rules of a group of their own, made anew (New-NetFirewallRule of the module NetSecurity).

use std::fmt::Write;
use std::net::IpAddr;

use anyhow::bail;

use super::plan::{Opening, Place, Plan};
use super::script::{head, ranges};

/// Takes away every rule of the group, and is content where there is none.
const REMOVE: &str = "Get-NetFirewallRule -Group 'fwdrill' -ErrorAction SilentlyContinue | Remove-NetFirewallRule\n";

/// A PowerShell script.
pub(super) fn text(plan: &Plan, undo: bool) -> anyhow::Result<String> {
    let Place::Host { server } = &plan.place else {
        bail!("Windows Defender Firewall protects the host it runs on: its topology is host");
    };
    let mut text = "#Requires -RunAsAdministrator\n".to_owned();
    if undo {
        text.push_str("# Takes back what fwdrill's rules did.\n$ErrorActionPreference = 'Stop'\n");
        text.push_str(REMOVE);
        return Ok(text);
    }
    text.push_str(&head(
        plan,
        "#",
        &[
            "Made by fwdrill rules. Apply: powershell -File FILE. Undo: the script of fwdrill rules --undo.",
            "For a firewall that blocks inbound connections that no rule allows (the default of every profile).",
            "It lets answers in by itself, and ICMP errors by its Core Networking rules.",
        ],
    ));
    text.push_str("$ErrorActionPreference = 'Stop'\n");
    text.push_str(REMOVE);
    for opening in &plan.openings {
        text.push_str(&rule(opening, "Inbound", "LocalPort", opening.sources(server)));
    }
    for opening in &plan.back {
        text.push_str(&rule(opening, "Outbound", "RemotePort", server));
    }
    Ok(text)
}

fn rule(opening: &Opening, direction: &str, port: &str, remote: &[IpAddr]) -> String {
    let ports: Vec<String> = (ranges(&opening.ports, "-").iter().map(|range| format!("'{range}'"))).collect();
    // An update agent has the same flows both ways.
    let way = if direction == "Outbound" { ", outbound" } else { "" };
    let mut text = format!(
        "New-NetFirewallRule -Group 'fwdrill' -DisplayName '{}{way}' -Direction {direction} -Action Allow -Profile Any -Protocol TCP -{port} {}",
        opening.comment(),
        ports.join(",")
    );
    if !remote.is_empty() {
        let remote: Vec<String> = remote.iter().map(|address| format!("'{address}'")).collect();
        let _ = write!(text, " -RemoteAddress {}", remote.join(","));
    }
    text.push_str(" | Out-Null\n");
    text
}
