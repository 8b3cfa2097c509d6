//! The task that keeps a connection to one peer.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::codec::LaneCodec;
use super::endpoint::{self, MAX_MESSAGE_BYTES};
use super::identity::Identity;
use super::links::BadAddress;
use super::peer::Peer;
use super::wire::{Lane, Wire};

/// The pause before the next attempt: doubles from the first to the last. The last is short, because a cluster that was
/// just restarted waits for it, and an attempt costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// A connection that lasted this long was a good one: the pauses start over.
const GOOD_CONNECTION: Duration = Duration::from_secs(1);

/// Keeps a connection to a peer, for as long as the task runs.
pub(super) struct Dialer<P: Wire> {
    peer: Arc<Peer<P>>,
    identity: Identity,
    address: String,
    endpoint: Endpoint,
    pause: Duration,
    rng: ChaCha8Rng,
}

/// The dialer of a peer at `address`.
pub(super) fn dialer<P: Wire>(
    peer: &Arc<Peer<P>>,
    identity: Identity,
    address: String,
) -> Result<Dialer<P>, BadAddress> {
    match endpoint::dialing(&address) {
        Ok(endpoint) => Ok(Dialer::new(Arc::clone(peer), identity, address, endpoint)),
        Err(error) => Err(BadAddress { node: peer.passage().peer, address, error }),
    }
}

impl<P: Wire> Dialer<P> {
    fn new(peer: Arc<Peer<P>>, identity: Identity, address: String, endpoint: Endpoint) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(peer.passage().faults.seed() ^ identity.me.0);
        rng.set_stream(peer.passage().peer.0);
        Self { peer, identity, address, endpoint, pause: FIRST_PAUSE, rng }
    }

    /// Connects, and again whenever the connection is lost. Ends with the task.
    pub(super) async fn run(mut self) {
        loop {
            if !self.peer.passage().life.passed().await {
                return;
            }
            let began = Instant::now();
            let why = self.connect().await;
            if began.elapsed() >= GOOD_CONNECTION {
                self.pause = FIRST_PAUSE;
            }
            self.report(&why);
            self.wait().await;
        }
    }

    /// One connection, from its beginning to its end, and why it ended. All lanes go down together: a peer that is
    /// reached halfway is harder to understand than one that is not reached.
    async fn connect(&self) -> Status {
        let channel = match self.endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return Status::unavailable(explain(&error)),
        };
        tracing::debug!(peer = %self.peer.passage().peer, address = self.address, "connected");
        self.peer.counters().connected();
        let mut lanes = JoinSet::new();
        for number in self.peer.lanes.iter().copied() {
            lanes.spawn(run_lane(Arc::clone(&self.peer), self.identity.clone(), channel.clone(), number));
        }
        match lanes.join_next().await {
            Some(Ok(why)) if why.code() == Code::Unimplemented => {
                Status::unimplemented(format!("the peer does not run {}", P::NAME))
            }
            Some(Ok(why)) => why,
            Some(Err(failure)) => Status::internal(failure.to_string()),
            None => Status::unimplemented("the protocol has no RPCs"),
        }
    }

    /// Tells the log what an operator must see, a peer that refuses this replica, and otherwise what a reader of
    /// debugging logs wants.
    fn report(&mut self, why: &Status) {
        let (peer, address) = (self.peer.passage().peer, &self.address);
        let refused = matches!(
            why.code(),
            Code::FailedPrecondition | Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented
        );
        if !refused {
            tracing::debug!(%peer, address, reason = why.message(), "no connection");
            return;
        }
        if self.peer.refusals.refused_by(peer, address, why.message()) {
            tracing::warn!(%peer, address, reason = why.message(), "the link to a peer was refused");
        }
    }

    /// Waits before the next attempt, less when the peer was heard of: it is back.
    async fn wait(&mut self) {
        let jitter = self.rng.random_range(0.5..1.0);
        let pause = self.pause.mul_f64(jitter);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        tokio::select! {
            () = sleep(pause) => {}
            () = async {
                sleep(FIRST_PAUSE).await;
                self.peer.hint.notified().await;
            } => {}
        }
    }
}

/// One stream, from its beginning to its end, and why it ended.
async fn run_lane<P: Wire>(
    peer: Arc<Peer<P>>,
    identity: Identity,
    channel: Channel,
    number: usize,
) -> Status {
    let (leaving, _hold) = peer.open(Lane::Request(number));
    let mut request = Request::new(leaving.map_while(Result::ok));
    identity.introduce(peer.passage().peer, request.metadata_mut());
    let path = format!("/{}/{}", P::SERVICE, P::LANES[number]);
    let path = PathAndQuery::try_from(path).expect("the names of a service and its RPCs make a path");
    let incoming = Lane::Response(number);
    let codec = LaneCodec::<P>::new(incoming, Arc::clone(peer.counters()));
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    if let Err(error) = client.ready().await {
        return Status::unavailable(explain(&error));
    }
    match client.streaming(request, path, codec).await {
        Ok(response) => {
            peer.refusals.taken_by(peer.passage().peer);
            let _up = peer.up();
            peer.intake.take_in(response.into_inner(), incoming).await
        }
        Err(status) => status,
    }
}

/// An error with its causes: tonic's own message is only "transport error".
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
