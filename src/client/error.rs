//! What a client is told when it gets no answer from the store.

/// Why a call failed. The three cases call for different things: correct the request or wait, find out what happened,
/// or look for the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A node said no, and what was asked for has not been and will not be done.
    #[error("{message}")]
    Refused {
        /// Why, in the server's words.
        message: String,
        /// Which node said so.
        endpoint: String,
    },
    /// What was asked for may have been done, now or later, and cannot be asked again safely.
    #[error("the outcome is unknown: {message}")]
    Unknown {
        /// What happened to the last attempt.
        message: String,
    },
    /// No node was reached.
    #[error("no node could be reached: {message}")]
    Unreachable {
        /// What happened at each endpoint that was tried last.
        message: String,
    },
}

impl Error {
    /// Whether the call is certain to have had no effect.
    pub fn never_executed(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// What went wrong with the one node that was asked.
    pub fn of_one_node(self) -> String {
        match self {
            Self::Unreachable { message } => message,
            error => error.to_string(),
        }
    }
}
