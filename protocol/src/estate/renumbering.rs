//! Passive ports that something between the ends renumbers: what clients are told and dial, and where the server listens.

use std::collections::BTreeMap;

use super::port_set::PortSet;

/// Which port the server listens on for each one that it tells: the first of `ftp.passive_listen` for the first of
/// `ftp.passive_ports`, and so on. By default every port is itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renumbering {
    listened: BTreeMap<u16, u16>,
    told: BTreeMap<u16, u16>,
}

impl Renumbering {
    /// Pairs the two sets in ascending order. If nothing is listened on apart, nothing is renumbered.
    pub fn new(told: &PortSet, listened: &PortSet) -> Self {
        let pairs = || told.iter().zip(listened.iter());
        Renumbering {
            listened: pairs().collect(),
            told: pairs().map(|(told, listened)| (listened, told)).collect(),
        }
    }

    /// Where the server listens for who was told this port.
    pub fn listened(&self, told: u16) -> u16 {
        self.listened.get(&told).copied().unwrap_or(told)
    }

    /// Where the server listens for all of these.
    pub fn all_listened(&self, told: &PortSet) -> PortSet {
        told.iter().map(|port| self.listened(port)).collect()
    }

    /// What clients are told of a port that the server listens on.
    pub fn told(&self, listened: u16) -> u16 {
        self.told.get(&listened).copied().unwrap_or(listened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_paired_in_their_order_and_others_are_themselves() {
        let (told, listened) = ("40000-40001,40005".parse().unwrap(), "30000-30002".parse().unwrap());
        let renumbering = Renumbering::new(&told, &listened);
        assert_eq!(
            told.iter().map(|port| renumbering.listened(port)).collect::<Vec<_>>(),
            [30000, 30001, 30002]
        );
        assert_eq!(renumbering.all_listened(&told), listened);
        assert_eq!(renumbering.told(30002), 40005);
        assert_eq!((renumbering.listened(2021), renumbering.told(2021)), (2021, 2021));
        assert_eq!(Renumbering::new(&told, &PortSet::default()), Renumbering::default());
    }
}
