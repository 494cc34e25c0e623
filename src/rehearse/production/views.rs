//! From where the service is measured, and what is dialled there: what follows from the description and the rules together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::bail;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::expectation::OUTSIDE;
use fwdrill_protocol::flow::{Expected, Flow};

use super::facts::Facts;
use super::path::{Programs, View};
use super::topology::{Family, Topology};

/// Every place that a client stands in, and what it dials.
pub(super) fn all(
    topology: &Topology,
    facts: &Facts,
    estate: &Estate,
    programs: &mut Programs,
    notes: &mut Vec<String>,
) -> Vec<View> {
    let mut views = Vec::new();
    let Some(outside) = topology.outside() else {
        return views;
    };
    for family in [Family::V4, Family::V6] {
        let Some(server) = family.pick(&topology.server) else {
            continue;
        };
        let translated = facts
            .translations
            .iter()
            .any(|translation| translation.target == server);
        let public: Vec<IpAddr> = outside.of(family).map(|net| net.addr()).collect();
        let target = match translated.then(|| public_address(&public, facts, estate)).flatten() {
            Some(target) => {
                notes.push(format!(
                    "clients dial {target}: the ruleset translates to the server, {server}"
                ));
                if family == Family::V4 && estate.ftp.advertised_address.is_none() {
                    programs.server.push(format!("--set=ftp.advertised_address={target}"));
                    notes.push(format!(
                        "the server advertises {target} in its 227 replies: the estate names no ftp.advertised_address"
                    ));
                }
                target
            }
            None => {
                notes.push(format!("clients dial {server}: the ruleset translates nothing to it"));
                server
            }
        };
        let mut view = |vantage: &str, client: Option<IpAddr>| {
            let dialled = topology.dial.get(vantage).and_then(|addresses| family.pick(addresses));
            views.extend(client.map(|client| View {
                vantage: vantage.to_owned(),
                family,
                client,
                target: dialled.unwrap_or(target),
                server,
                tasks: tasks(vantage, client, server, topology, estate),
            }));
        };
        if !public.is_empty() {
            view("outside", topology.client(family, &facts.networks));
        }
        for zone in topology.zones.iter().filter(|zone| zone.name != outside.name) {
            // Who has the server on the same cable meets the firewall only by way of its outside address.
            if translated || zone.net_of(server).is_none() {
                view(&zone.name, zone.of(family).next().and_then(|net| topology.free(net)));
            }
        }
        view("update-agent", family.pick(&topology.update_agent));
    }
    views
}

/// The server, where the ruleset leaves one answer only.
pub(super) fn server_of(facts: &Facts, estate: &Estate) -> anyhow::Result<(IpAddr, String)> {
    let ours: Vec<u16> = estate.flows().filter_map(|flow| estate.port(flow)).collect();
    let planned = facts
        .translations
        .iter()
        .filter(|translation| ours.iter().any(|port| translation.ports.contains(*port)));
    let planned: BTreeSet<IpAddr> = planned.map(|translation| translation.target).collect();
    let all: BTreeSet<IpAddr> = facts
        .translations
        .iter()
        .map(|translation| translation.target)
        .collect();
    for targets in [&planned, &all] {
        if let (1, Some(server)) = (targets.len(), targets.first()) {
            return Ok((
                *server,
                format!("the server is {server}: the ruleset translates the service's ports to it"),
            ));
        }
    }
    let candidates: Vec<String> = if planned.is_empty() { all } else { planned }
        .iter()
        .map(IpAddr::to_string)
        .collect();
    if candidates.is_empty() {
        bail!("which is the server? the ruleset translates to nobody: give --server ADDRESS");
    }
    bail!(
        "which is the server? the ruleset translates to {}: give --server ADDRESS",
        candidates.join(", ")
    )
}

/// What tasks have to do with a place, where the estate leaves it open. Who polls because of a NAT that forwards nothing does
/// not stand in a network of the firewall's own; and next to the server they do not come through the firewall.
fn tasks(vantage: &str, client: IpAddr, server: IpAddr, topology: &Topology, estate: &Estate) -> Option<Expected> {
    if estate.ports.agent == 0 {
        return None;
    }
    let zone = topology.zone_of(client).filter(|zone| zone.name != OUTSIDE)?;
    if zone.net_of(server).is_some() {
        return Some(Expected::Any);
    }
    let said = estate
        .expect
        .get(vantage)
        .is_some_and(|flows| flows.contains_key(&Flow::Tasks));
    (!said).then_some(Expected::Open)
}

/// Says so of the places that it holds for.
pub(super) fn note_of_tasks(views: &[View], estate: &Estate) -> Option<String> {
    let mut places: Vec<&str> = Vec::new();
    for view in views.iter().filter(|view| view.tasks == Some(Expected::Open)) {
        if !places.contains(&view.vantage.as_str()) {
            places.push(&view.vantage);
        }
    }
    (!places.is_empty()).then(|| {
        format!(
            "the server has to reach clients on {} at {}: the estate does not say otherwise (expect.{}.tasks = \"any\")",
            estate.ports.agent,
            places.join(", "),
            places[0]
        )
    })
}

/// Of several outside addresses the one that is advertised, or that a rule names.
fn public_address(public: &[IpAddr], facts: &Facts, estate: &Estate) -> Option<IpAddr> {
    let said = [
        estate.ftp.advertised_address.as_ref().map(ToString::to_string),
        estate.server.host.clone(),
    ];
    let said = said
        .into_iter()
        .flatten()
        .filter_map(|text| text.parse::<IpAddr>().ok());
    let named = public
        .iter()
        .copied()
        .filter(|address| facts.networks.contains(&(*address).into()));
    said.filter(|address| public.contains(address))
        .chain(named)
        .chain(public.iter().copied())
        .next()
}
