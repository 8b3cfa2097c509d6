//! The stories, suite by suite. Each begins on a cluster that serves, with its clients at work, and must leave all nodes
//! running and all links whole; what follows (convergence, the audit, the verdict) is the same for all.

pub(super) mod byzantine;
pub(super) mod chaos;
pub(super) mod election;
pub(super) mod replication;
