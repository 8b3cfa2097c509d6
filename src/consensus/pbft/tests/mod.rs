//! Situations in a small cluster that nothing moves but the test.

mod chaos;
mod checkpoints;
mod cluster;
mod durability;
mod evidence;
mod normal;
mod pace;
mod promises;
mod requests;
mod store;
mod transfer;
mod view_change;
