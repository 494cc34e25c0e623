//! Cycles against scripted servers.

mod basics;
mod changes;
mod cuts;
mod full_disk;
mod refusals;
mod trouble_here;
mod uploads;
mod world;
