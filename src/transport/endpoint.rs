//! How connections are made and kept, on both ends.

use std::time::Duration;

use tonic::transport::{Endpoint, Error, Server};

/// The largest message that is taken: far above what protocols send at once, and a bound for what a length that was
/// made up can make a replica reserve.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// What a peer may have on the way unread, on one stream and on all of a connection: a full second of a fast link.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// How long a host that does not answer holds up the next attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// After how much silence a connection is probed, and how long the answer may take before it counts as dead. Only hosts
/// that vanish need this; the end of a process is seen at once.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to a peer at `address`, a host and port.
pub(super) fn dialing(address: &str) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    Ok(endpoint)
}

/// A server with the settings that links want; for the port on which [`super::Links::routes`] are mounted.
pub fn server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}
