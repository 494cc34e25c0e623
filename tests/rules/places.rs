//! Where rules are tried: hosts and firewalls of the paths that rehearsals start from (fixtures/paths/topology).

use crate::bench::Place;

/// The server's own host, dialled over both families.
pub(crate) const SERVER_HOST: Place = Place {
    host: "srv",
    probe: &[],
    path: "extends = 'routed'
probe.host = 'update.example.net'
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }
",
    before: "",
};

/// The firewall in front of it.
pub(crate) const IN_FRONT: Place = Place {
    host: "fw",
    path: "extends = 'routed'
probe.host = 'update.example.net'
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }
firewall.fw.base = 'none'
",
    ..SERVER_HOST
};

/// The firewall that translates an address of its own.
pub(crate) const FORWARDING: Place = Place {
    path: "firewall.fw.base = 'none'\n",
    ..IN_FRONT
};

/// The same, for a client beside the server.
pub(crate) const HAIRPIN: Place = Place {
    path: "firewall.fw.base = 'none'\nprobe.on = 'lanc'\n",
    probe: &["--from=inside"],
    ..IN_FRONT
};

/// The host of an update agent, dialled from its own network over both families.
pub(crate) const AGENT_HOST: Place = Place {
    host: "ua",
    probe: &["--from=branch"],
    before: "$FWDRILL publish /run/lab/server/depot --state /run/lab/server",
    path: "extends = 'routed'
host.pc.addresses = { eth0 = ['192.168.50.10/24', '2001:db8:50::10/64'] }
host.ua.addresses = { eth0 = ['192.168.50.20/24', '2001:db8:50::20/64'] }
names = { 'agent.example.net' = ['192.168.50.20', '2001:db8:50::20'] }
estate = { 'expect.branch.console' = 'any', 'expect.branch.events' = 'any' }
probe.on = 'pc'
probe.host = 'agent.example.net'
server.on = 'ua'
server.args = ['--role=update-agent']
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '192.168.50.20' }
",
};

/// The firewall in front of an update agent that stands where the server does on other paths.
pub(crate) const IN_FRONT_OF_AGENT: Place = Place {
    host: "fw",
    probe: &["--from=branch"],
    before: "",
    path: "extends = 'routed'
host.srv.run = ['$FWDRILL publish /run/lab/server/depot --state /run/lab/server']
estate = { 'expect.branch.console' = 'any', 'expect.branch.events' = 'any' }
probe.host = 'update.example.net'
server.args = ['--role=update-agent']
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }
firewall.fw.base = 'none'
",
};

/// The same, translating.
pub(crate) const FORWARDING_TO_AGENT: Place = Place {
    path: "host.srv.run = ['$FWDRILL publish /run/lab/server/depot --state /run/lab/server']
estate = { 'expect.branch.console' = 'any', 'expect.branch.events' = 'any' }
server.args = ['--role=update-agent']
firewall.fw.base = 'none'
",
    ..IN_FRONT_OF_AGENT
};

/// A client's own host, that the server dials too, over both families.
pub(crate) const CLIENT_HOST: Place = Place {
    host: "cli",
    path: "extends = 'routed'
estate = { 'expect.outside.tasks' = 'open' }
probe.host = 'update.example.net'
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }
",
    ..SERVER_HOST
};

/// The same, of a server behind a firewall that translates.
pub(crate) const CLIENT_HOST_OF_NAT: Place = Place {
    path: "estate = { 'expect.outside.tasks' = 'open' }\n",
    ..CLIENT_HOST
};

/// A branch's firewall that translates nothing: the server dials the branch's clients too, over both families.
pub(crate) const BRANCH: Place = Place {
    host: "bfw",
    probe: &["--from=branch"],
    before: "",
    path: "extends = 'routed'
host.isp.routes = ['10.20.0.0/24 via 203.0.113.2', '2001:db8:20::/64 via 2001:db8:2::2', '192.168.50.0/24 via 198.51.100.2', '2001:db8:50::/64 via 2001:db8:1::2']
host.bfw.addresses = { wan = ['198.51.100.2/24', '2001:db8:1::2/64'], lan = ['192.168.50.1/24', '2001:db8:50::1/64'] }
host.bfw.routes = ['default via 198.51.100.1', 'default via 2001:db8:1::1']
host.pc.addresses = { eth0 = ['192.168.50.10/24', '2001:db8:50::10/64'] }
host.pc.routes = ['default via 192.168.50.1', 'default via 2001:db8:50::1']
estate = { 'expect.branch.tasks' = 'open' }
probe.on = 'pc'
probe.host = 'update.example.net'
server.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }
firewall.bfw.base = 'none'
",
};

/// One that hides its clients behind its address, of a server behind another.
pub(crate) const BRANCH_OF_NAT: Place = Place {
    path: "probe.on = 'pc'\n",
    ..BRANCH
};
