//! Links of a toy protocol over loopback, all in one runtime.

mod faults;
mod links;
mod refusals;
mod rig;
