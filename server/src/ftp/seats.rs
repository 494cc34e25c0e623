//! How many sessions there are, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded number of seats, and fewer for any one address.
#[derive(Debug)]
pub(super) struct Seats {
    in_all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One session's seat; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    pub(super) fn new(in_all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Seats {
            in_all,
            per_address,
            taken: Mutex::default(),
        })
    }

    /// A seat for a client at `address`, unless all are taken, or all that its address may have.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut taken = self.taken();
        let from_there = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.in_all >= self.in_all || from_there >= self.per_address {
            return None;
        }
        taken.in_all += 1;
        taken.by_address.insert(address, from_there + 1);
        Some(Seat {
            seats: self.clone(),
            address,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing that holds the lock can panic with the numbers half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.in_all -= 1;
        match taken.by_address.get_mut(&self.address) {
            Some(more) if *more > 1 => *more -= 1,
            _ => {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_all_have_the_rest() {
        let seats = Seats::new(3, 2);
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let first = seats.take(address(1)).unwrap();
        let second = seats.take(address(1)).unwrap();
        assert!(seats.take(address(1)).is_none());
        let other = seats.take(address(2)).unwrap();
        assert!(seats.take(address(3)).is_none());
        drop(first);
        let third = seats.take(address(1)).unwrap();
        assert!(seats.take(address(2)).is_none());
        drop((second, third, other));
        let left = seats.taken();
        assert_eq!((left.in_all, left.by_address.len()), (0, 0));
    }
}
