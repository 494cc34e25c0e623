//! What is wrong with one port, before it is put into words.

use fwdrill_protocol::finding::{Confidence, FindingId, Place};

/// Why a port is not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) id: FindingId,
    pub(super) confidence: Confidence,
    pub(super) place: Place,
    /// Which device, as far as it is known: its address, or "hop 2".
    pub(super) device: Option<String>,
    pub(super) evidence: Vec<String>,
    pub(super) alternatives: Vec<FindingId>,
}

impl Cause {
    pub(super) fn certain(id: FindingId, place: Place) -> Self {
        Cause {
            id,
            confidence: Confidence::Certain,
            place,
            device: None,
            evidence: Vec::new(),
            alternatives: Vec::new(),
        }
    }

    pub(super) fn likely(id: FindingId, place: Place, alternatives: &[FindingId]) -> Self {
        Cause {
            confidence: Confidence::Likely,
            alternatives: alternatives.to_vec(),
            ..Cause::certain(id, place)
        }
    }

    pub(super) fn possible(id: FindingId, place: Place, alternatives: &[FindingId]) -> Self {
        Cause {
            confidence: Confidence::Possible,
            ..Cause::likely(id, place, alternatives)
        }
    }

    pub(super) fn at(mut self, device: Option<String>) -> Self {
        self.device = device;
        self
    }

    pub(super) fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// Whether two ports suffer from one and the same thing.
    pub(super) fn is_the_same_as(&self, other: &Cause) -> bool {
        (self.id, self.place, &self.device) == (other.id, other.place, &other.device)
    }

    /// Adds what speaks for the same cause at another port. The finding is as sure as its least sure port.
    pub(super) fn take(&mut self, other: Cause) {
        self.confidence = self.confidence.max(other.confidence);
        for line in other.evidence {
            if !self.evidence.contains(&line) {
                self.evidence.push(line);
            }
        }
        self.alternatives.extend(other.alternatives);
    }
}
