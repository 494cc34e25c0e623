//! The EICAR test file: harmless, and meant to be found by every scanner on the way.

/// Where it goes in the set. It is only there when it was asked for.
pub(super) const PATH: &str = "extras/eicar-test-file.com";

/// Backwards, so that neither this source nor the program is taken for the test file.
const BACKWARDS: &[u8] = br"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X";

pub(super) fn contents() -> Vec<u8> {
    BACKWARDS.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    #[test]
    fn the_file_is_the_one_that_scanners_know() {
        let digest = hex::encode(sha2::Sha256::digest(contents()));
        assert_eq!(
            digest,
            "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
        );
    }
}
