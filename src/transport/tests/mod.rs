//! Links of a toy protocol over loopback, all in one runtime.

mod clients;
mod faults;
mod links;
mod refusals;
mod rig;
