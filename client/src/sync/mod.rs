//! One client's update cycle.
