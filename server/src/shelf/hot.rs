//! Contents of small files kept in memory by their digest: most clients of an update ask for the same few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fwdrill_protocol::update_set::Sha256;

/// No more bytes of contents are in memory, those included that are still being sent.
const MOST_BYTES: u64 = 64 << 20;
/// A larger file is left to the page cache. Of the largest, four have room.
pub(super) const LARGEST: u64 = MOST_BYTES / 4;
/// No more contents are kept.
const MOST_CONTENTS: usize = 1024;

/// The contents. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Hot {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    contents: HashMap<Sha256, Entry>,
    /// Of all contents that are in memory or on their way there.
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` while somebody reads it.
    bytes: Option<Bytes>,
    used: u64,
}

/// Room for one content, which nobody else reads meanwhile. Without [`Room::fill`] all is as before.
pub(super) struct Room {
    kept: Arc<Mutex<Kept>>,
    of: Sha256,
    size: u64,
    filled: bool,
}

impl Hot {
    /// A content that is there.
    pub(super) fn get(&self, of: &Sha256) -> Option<Bytes> {
        let mut kept = locked(&self.kept);
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.contents.get_mut(of)?;
        entry.used = now;
        entry.bytes.clone()
    }

    /// Room for a content that is not there, at the expense of those unused for the longest time. `None` where it is too
    /// large, is being read already, or what is being sent takes all the room.
    pub(super) fn room(&self, of: Sha256, size: u64) -> Option<Room> {
        let mut kept = locked(&self.kept);
        if size > LARGEST || kept.contents.contains_key(&of) {
            return None;
        }
        while kept.bytes + size > MOST_BYTES || kept.contents.len() >= MOST_CONTENTS {
            if !kept.evict() {
                return None;
            }
        }
        kept.bytes += size;
        kept.clock += 1;
        let used = kept.clock;
        kept.contents.insert(of, Entry { bytes: None, used });
        Some(Room {
            kept: self.kept.clone(),
            of,
            size,
            filled: false,
        })
    }
}

impl Kept {
    /// Forgets the content that nobody sends and whose last use is longest ago; `false` if there is none.
    fn evict(&mut self) -> bool {
        let idle = |entry: &Entry| entry.bytes.as_ref().is_some_and(Bytes::is_unique);
        let idle = self.contents.iter().filter(|(_, entry)| idle(entry));
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(of, _)| *of);
        let evicted = oldest.and_then(|oldest| self.contents.remove(&oldest)?.bytes);
        self.bytes -= evicted.as_ref().map_or(0, |bytes| bytes.len() as u64);
        evicted.is_some()
    }
}

impl Room {
    /// Puts the content there, and returns it.
    pub(super) fn fill(mut self, bytes: Vec<u8>) -> Bytes {
        // Not from_owner, of which nobody can tell whether it is the only one.
        let bytes = Bytes::from(bytes);
        let mut kept = locked(&self.kept);
        if let Some(entry) = kept.contents.get_mut(&self.of) {
            entry.bytes = Some(bytes.clone());
        }
        drop(kept);
        self.filled = true;
        bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.filled {
            let mut kept = locked(&self.kept);
            kept.contents.remove(&self.of);
            kept.bytes -= self.size;
        }
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // Nothing that holds the lock can panic with the numbers half changed.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u16) -> Sha256 {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Sha256::from_bytes(bytes)
    }

    fn keep(hot: &Hot, number: u16, size: u64) -> Option<Bytes> {
        Some(hot.room(digest(number), size)?.fill(vec![number as u8; size as usize]))
    }

    fn bytes(hot: &Hot) -> u64 {
        locked(&hot.kept).bytes
    }

    #[test]
    fn what_was_unused_for_the_longest_time_makes_room() {
        let hot = Hot::default();
        for number in 0..4 {
            keep(&hot, number, LARGEST).unwrap();
        }
        assert!(hot.get(&digest(0)).is_some());
        keep(&hot, 4, LARGEST).unwrap();
        assert!(hot.get(&digest(0)).is_some() && hot.get(&digest(1)).is_none());
        assert_eq!(bytes(&hot), MOST_BYTES);
    }

    #[test]
    fn what_is_being_sent_keeps_its_place_and_counts() {
        let hot = Hot::default();
        let sent: Vec<Bytes> = (0..4).map(|number| keep(&hot, number, LARGEST).unwrap()).collect();
        assert!(keep(&hot, 4, 1).is_none(), "all of the room is in use");
        drop(sent);
        assert!(keep(&hot, 4, 1).is_some());
        assert!(bytes(&hot) <= MOST_BYTES);
    }

    #[test]
    fn too_large_is_too_large_and_nobody_reads_the_same_twice() {
        let hot = Hot::default();
        assert!(hot.room(digest(0), LARGEST + 1).is_none());
        let room = hot.room(digest(0), 10).unwrap();
        assert!(hot.get(&digest(0)).is_none());
        assert!(hot.room(digest(0), 10).is_none());
        drop(room);
        assert_eq!(bytes(&hot), 0);
        assert_eq!(keep(&hot, 0, 10).unwrap(), [0; 10].as_slice());
        assert_eq!(hot.get(&digest(0)).unwrap(), [0; 10].as_slice());
    }

    #[test]
    fn contents_are_bounded_in_number_too() {
        let hot = Hot::default();
        for number in 0..2_000 {
            keep(&hot, number, 1).unwrap();
        }
        assert_eq!(locked(&hot.kept).contents.len(), MOST_CONTENTS);
        assert_eq!(bytes(&hot), MOST_CONTENTS as u64);
    }
}
