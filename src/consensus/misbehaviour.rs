//! What a replica can be told to do wrong, as the shared code sees it. What the names mean is the protocol's business.

/// A way to lie that a protocol's replicas know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Its name on the command line, as `equivocate`.
    pub name: &'static str,
    /// What it does, for people: one line.
    pub summary: &'static str,
}

/// A replica is told to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// How: the name of a [`Behaviour`].
    pub behaviour: String,
    /// Feeds its choices.
    pub seed: u64,
}
