//! What messages are called and how much room they take.

use super::evidence::Said;
use super::message::{Batch, Message, NewView, Prepared, Reply, Request, Signed, Stable, ViewChange};
use super::options::Options;
use super::quorum::Quorum;
use crate::consensus::NodeId;

/// About what a statement's fixed fields and its signature take.
const STATEMENT_BYTES: usize = 160;
/// About what a command takes besides its own bytes.
const COMMAND_BYTES: usize = 16;

impl Request {
    /// Bytes of its commands.
    pub fn command_bytes(&self) -> usize {
        self.commands.iter().map(|(_, command)| command.len()).sum()
    }
}

impl Signed<Request> {
    /// About how many bytes it takes, in memory, on disk or on the network.
    pub fn size(&self) -> usize {
        STATEMENT_BYTES + self.body.commands.len() * COMMAND_BYTES + self.body.command_bytes()
    }
}

impl Batch {
    /// About how many bytes it takes, in memory, on disk or on the network.
    pub fn size(&self) -> usize {
        self.0.iter().map(Signed::<Request>::size).sum()
    }

    /// How many commands it holds.
    pub fn commands(&self) -> usize {
        self.0.iter().map(|request| request.body.commands.len()).sum()
    }
}

fn prepared_size(prepared: &Prepared) -> usize {
    STATEMENT_BYTES * (1 + prepared.prepares.len())
}

fn stable_size(stable: &Stable) -> usize {
    STATEMENT_BYTES * stable.checkpoints.len()
}

/// About how many bytes a VIEW-CHANGE takes, on disk or on the network.
pub(super) fn view_change_size(view_change: &ViewChange) -> usize {
    let prepared: usize = view_change.prepared.iter().map(prepared_size).sum();
    STATEMENT_BYTES + stable_size(&view_change.stable) + prepared
}

/// About how many bytes a NEW-VIEW takes, on disk or on the network.
pub(super) fn new_view_size(new_view: &NewView) -> usize {
    let view_changes: usize = new_view.view_changes.iter().map(|signed| view_change_size(&signed.body)).sum();
    view_changes + STATEMENT_BYTES * (1 + new_view.pre_prepares.len())
}

/// About how many bytes the largest record takes: a batch with its PRE-PREPARE, or, in a large cluster or window, a
/// NEW-VIEW by whose VIEW-CHANGEs all that a window holds has prepared.
pub(super) fn largest_record(options: &Options, members: usize) -> usize {
    let members: Vec<NodeId> = (1..=members.max(1) as u64).map(NodeId).collect();
    let (quorum, window) = (Quorum::new(&members).quorum(), options.window as usize);
    let view_change = 1 + quorum + window * quorum;
    let new_view = quorum * view_change + 1 + window;
    let commands = options.max_batch_bytes.max(options.max_request_bytes);
    let batch = commands + options.max_batch_requests * (STATEMENT_BYTES + COMMAND_BYTES);
    batch.max(new_view * STATEMENT_BYTES)
}

/// About how many bytes a statement of a piece of evidence takes, on disk or on the network.
pub(super) fn said_size(said: &Said) -> usize {
    match said {
        Said::PrePrepare(_) | Said::Prepare(_) | Said::Commit(_) | Said::Checkpoint(_) => STATEMENT_BYTES,
        Said::ViewChange(signed) => view_change_size(&signed.body),
        Said::NewView(signed) => new_view_size(&signed.body),
        Said::Certificate(prepared) => prepared_size(prepared),
    }
}

/// About how many bytes a REPLY takes, in memory or on the network.
pub(super) fn reply_size(reply: &Reply) -> usize {
    let result = |result: &Option<bytes::Bytes>| result.as_ref().map_or(0, bytes::Bytes::len);
    reply.results.iter().map(|(_, bytes)| COMMAND_BYTES + result(bytes)).sum()
}

impl crate::consensus::Message for Message {
    const KINDS: &'static [&'static str] = &[
        "Request",
        "PrePrepare",
        "Prepare",
        "Commit",
        "Reply",
        "Disputed",
        "Checkpoint",
        "Stable",
        "ViewChange",
        "NewView",
        "Status",
        "FetchBatch",
        "Batch",
        "FetchState",
        "State",
        "Evidence",
    ];

    fn kind(&self) -> &'static str {
        match self {
            Self::Request(_) => "Request",
            Self::PrePrepare { .. } => "PrePrepare",
            Self::Prepare(_) => "Prepare",
            Self::Commit(_) => "Commit",
            Self::Reply(_) => "Reply",
            Self::Disputed(_) => "Disputed",
            Self::Checkpoint(_) => "Checkpoint",
            Self::Stable(_) => "Stable",
            Self::ViewChange(_) => "ViewChange",
            Self::NewView(_) => "NewView",
            Self::Status(_) => "Status",
            Self::FetchBatch(_) => "FetchBatch",
            Self::Batch { .. } => "Batch",
            Self::FetchState(_) => "FetchState",
            Self::State(_) => "State",
            Self::Evidence(_) => "Evidence",
        }
    }

    fn size(&self) -> usize {
        STATEMENT_BYTES
            + match self {
                Self::Request(request) => request.size(),
                Self::PrePrepare { batch, .. } | Self::Batch { batch, .. } => batch.size(),
                Self::Reply(reply) | Self::Disputed(reply) => reply_size(&reply.body),
                Self::Stable(stable) => stable_size(stable),
                Self::ViewChange(signed) => view_change_size(&signed.body),
                Self::NewView(signed) => new_view_size(&signed.body),
                Self::State(state) => state.data.as_ref().map_or(0, bytes::Bytes::len),
                Self::Evidence(evidence) => evidence.said().iter().map(said_size).sum(),
                Self::Prepare(_)
                | Self::Commit(_)
                | Self::Checkpoint(_)
                | Self::Status(_)
                | Self::FetchBatch(_)
                | Self::FetchState(_) => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::pbft::message::{Sequence, View};
    use crate::consensus::pbft::record::Record;
    use crate::consensus::pbft::testing::Cast;
    use crate::consensus::{Digest, Encode as _};

    /// A log that cannot hold it would end the node in the middle of a view change.
    #[test]
    fn no_new_view_is_larger_than_the_largest_record() {
        for members in [4, 7, 13] {
            let cast = Cast::new(members);
            let options = Options {
                checkpoint_interval: 4,
                window: 16,
                max_batch_bytes: 1,
                max_request_bytes: 1,
                max_batch_requests: 1,
                ..Options::default()
            };
            let digest = Digest([7; 32]);
            let prepared: Vec<_> =
                (9..=24).map(|number| cast.prepared(View(0), Sequence(number), digest)).collect();
            let stable = cast.stable(Sequence(8), digest);
            let of = |id| cast.view_change(id, View(1), stable.clone(), prepared.clone());
            let quorum = cast.quorum.quorum() as u64;
            let new_view = cast.new_view(View(1), (1..=quorum).map(of).collect());
            let record = Record::NewView(new_view).to_bytes();
            let limit = largest_record(&options, members as usize);
            assert!(record.len() <= limit, "{} of {limit} bytes with {members} members", record.len());
            assert!(limit < 2 * record.len(), "the estimate is near: {limit} for {}", record.len());
        }
    }
}
