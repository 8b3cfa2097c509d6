//! What is remembered of requests that were executed, so that one that reaches the order twice is executed once.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::hash::{Domain, Hasher};
use super::ids::Ids;
use super::lives::Lives;
use super::replies::Known;
use super::response::Reply;
use crate::consensus::{Answers, Digest, Encode, Outcome, Recall, RequestId};

/// What a store remembers of the requests that it executed. Part of what replicas agree on: all of a cluster keep alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Their ids: of each origin those of its newest life, within [`REQUEST_WINDOW`](super::REQUEST_WINDOW). Enough
    /// where the node that was asked answers, and so has answered already.
    #[default]
    Ids,
    /// Their ids and replies: of each origin the lives that were heard of last
    /// ([`REPLY_LIVES`](super::REPLY_LIVES)), within [`REPLY_WINDOW`](super::REPLY_WINDOW). For clients who ask again
    /// until enough nodes have answered them.
    Replies,
}

impl From<Answers> for Retention {
    fn from(answers: Answers) -> Self {
        match answers {
            Answers::ByNode => Self::Ids,
            Answers::ByVote => Self::Replies,
        }
    }
}

/// What came of a request in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was executed now.
    Now {
        /// What it answered.
        reply: Reply,
        /// The same in the canonical encoding, where replies are kept: see [`Retention::Replies`].
        encoded: Option<Bytes>,
    },
    /// It was executed before, and answered this, in the canonical encoding.
    Before(Bytes),
    /// It was executed before, or may have been; what it answered then is not known.
    Forgotten,
}

impl Answered {
    /// What a replica tells about it.
    pub fn into_outcome(self) -> Outcome {
        match self {
            Self::Now { encoded: Some(bytes), .. } | Self::Before(bytes) => Outcome::Answered(bytes),
            Self::Now { reply, encoded: None } => Outcome::Answered(reply.to_bytes()),
            Self::Forgotten => Outcome::Forgotten,
        }
    }
}

/// The executed requests of every origin.
#[derive(Clone, Debug)]
pub(super) enum Requests {
    Ids(Ids),
    Replies(Lives),
}

impl Requests {
    pub(super) fn new(retention: Retention) -> Self {
        match retention {
            Retention::Ids => Self::Ids(Ids::default()),
            Retention::Replies => Self::Replies(Lives::default()),
        }
    }

    pub(super) fn retention(&self) -> Retention {
        match self {
            Self::Ids(_) => Retention::Ids,
            Self::Replies(_) => Retention::Replies,
        }
    }

    /// What is known of a request.
    pub(super) fn recall(&self, id: RequestId) -> Recall {
        let known = match self {
            Self::Ids(ids) if ids.has(id) => Known::Lost,
            Self::Ids(_) => Known::New,
            Self::Replies(lives) => lives.find(id),
        };
        match known {
            Known::New => Recall::NotExecuted,
            Known::Reply(reply) => Recall::Executed(Outcome::Answered(reply)),
            Known::Lost | Known::TooOld => Recall::Executed(Outcome::Forgotten),
        }
    }

    /// What to answer to a request that is not to be executed: it was before, or may have been.
    pub(super) fn answer(&self, id: RequestId) -> Option<Answered> {
        match self.recall(id) {
            Recall::NotExecuted => None,
            Recall::Executed(Outcome::Answered(reply)) => Some(Answered::Before(reply)),
            Recall::Executed(Outcome::Forgotten) => Some(Answered::Forgotten),
        }
    }

    /// Notes a request as executed, and keeps its reply if replies are kept.
    pub(super) fn executed(&mut self, id: RequestId, reply: Reply) -> Answered {
        match self {
            Self::Ids(ids) => {
                assert!(ids.admit(id), "what is executed was not executed before");
                Answered::Now { reply, encoded: None }
            }
            Self::Replies(lives) => {
                let encoded = reply.to_bytes();
                lives.executed(id, encoded.clone());
                Answered::Now { reply, encoded: Some(encoded) }
            }
        }
    }

    /// The digests of the sections that a snapshot has of this, by their numbers.
    pub(super) fn section_digests(&mut self) -> BTreeMap<u32, Digest> {
        match self {
            Self::Ids(ids) => ids.section_digests(),
            Self::Replies(lives) => lives.section_digests(),
        }
    }

    /// Encodes one section, without what is a [part](Part::Life) by itself.
    pub(super) fn encode_section(&self, number: u32, buf: &mut BytesMut) {
        match self {
            Self::Ids(ids) => ids.encode_section(number, buf),
            Self::Replies(lives) => lives.encode_section(number, buf),
        }
    }

    /// Encodes one life of an origin.
    pub(super) fn encode_life(&self, number: u32, incarnation: u64, buf: &mut BytesMut) {
        match self {
            Self::Ids(_) => unreachable!("ids have no lives of their own"),
            Self::Replies(lives) => lives.encode_life(number, incarnation, buf),
        }
    }

    /// The parts in which a snapshot moves the requests, each with about how many bytes it takes.
    pub(super) fn parts(&self) -> Vec<(Part, usize)> {
        match self {
            Self::Ids(ids) => (0..).map(Part::Section).zip(ids.weights()).collect(),
            Self::Replies(lives) => (0..)
                .zip(lives.weights())
                .flat_map(|(number, (weight, lives))| {
                    let lives =
                        lives.into_iter().map(move |(life, weight)| (Part::Life(number, life), weight));
                    std::iter::once((Part::Section(number), weight)).chain(lives)
                })
                .collect(),
        }
    }
}

/// What a snapshot moves at once of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// An origin, with the digests of its lives if these follow by themselves.
    Section(u32),
    /// One life of that origin.
    Life(u32, u64),
}

/// The digest over all sections.
pub(super) fn digest_from_requests(sections: &BTreeMap<u32, Digest>) -> Digest {
    let hasher = Hasher::new(Domain::RequestSections);
    sections
        .iter()
        .fold(hasher, |hasher, (number, digest)| hasher.u64(u64::from(*number)).digest(digest))
        .finish()
}
