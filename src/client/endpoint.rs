//! One address of a node, and the connection to it.

use std::error::Error as _;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint as Address};
use tonic::{ConnectError, Status};

use super::Error;

/// How long a connection may take to come about. On loopback and in a data centre it takes milliseconds; a node that
/// was cut off without a word must not cost much of a call's deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A node's address and the connection to it, which comes about with the first call and again after it broke. Clones
/// share the connection.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    name: String,
    channel: Channel,
}

impl Endpoint {
    /// For `host:port`, with or without `http://` before it. Nothing is sent yet; must be called within a runtime.
    pub(super) fn new(address: &str) -> Result<Self, Error> {
        let name = address.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let refused = |why: &str| Error::Refused {
            message: format!("endpoint {address:?}: {why}; write it as host:port"),
            endpoint: name.clone(),
        };
        if name.starts_with("https://") {
            return Err(refused("links are not encrypted"));
        }
        let address = Address::from_shared(format!("http://{name}")).map_err(|_| refused("is no address"))?;
        if address.uri().port_u16().is_none() {
            return Err(refused("has no port"));
        }
        let channel = address.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).connect_lazy();
        Ok(Self { name, channel })
    }

    /// The address as `host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The connection, for a generated client.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Whether a call failed before anything of it was sent: there was no connection.
pub(super) fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether an error was made at this end: the connection broke, or was never there. A server's own answer has no
/// cause behind it.
pub(super) fn connection_failed(status: &Status) -> bool {
    status.source().is_some()
}

/// The innermost cause of an error, in words: `connection refused` rather than `transport error`.
pub(super) fn words_of(status: &Status) -> String {
    let mut innermost: Option<&dyn std::error::Error> = status.source();
    while let Some(cause) = innermost.and_then(std::error::Error::source) {
        innermost = Some(cause);
    }
    match innermost {
        Some(cause) => cause.to_string(),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => status.message().to_owned(),
    }
}
