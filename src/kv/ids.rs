//! [`Ids`]: which request ids were executed, without what they answered.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use imbl::OrdMap;

use super::codec::ascending;
use super::hash::{Domain, Hasher};
use crate::consensus::{Decode, DecodeError, Digest, Encode, NodeId, Reader, RequestId};

/// How far behind an origin's newest executed counter another may still come and be executed. More than a node keeps
/// in flight, since what falls behind is dropped: nobody knows any more whether it was executed.
pub const REQUEST_WINDOW: u64 = 65_536;

/// The executed requests of every origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    origins: OrdMap<NodeId, Window>,
}

/// What one origin had executed.
#[derive(Clone, Debug, Default)]
struct Window {
    /// The origin's newest life of which something was executed; what older ones proposed is not executed any more.
    incarnation: u64,
    /// The executed counters within the window as runs, first to last, that do not touch. Usually one: the gaps are
    /// proposals that were lost.
    runs: OrdMap<u64, u64>,
}

impl Window {
    /// Whether a counter was executed before, or may have been.
    fn has(&self, counter: u64) -> bool {
        let before = self.runs.get_prev(&counter);
        before.is_some_and(|(_, last)| counter <= *last) || too_old(counter, self.newest())
    }

    /// Notes a counter as executed; `false` if it was before, or may have been.
    fn admit(&mut self, counter: u64) -> bool {
        if self.has(counter) {
            return false;
        }
        let before = self.runs.get_prev(&counter).map(|(&first, &last)| (first, last));
        let mut run = (counter, counter);
        if let Some((first, _)) = before.filter(|(_, last)| last + 1 == counter) {
            run.0 = first;
        }
        if let Some(last) = counter.checked_add(1).and_then(|next| self.runs.remove(&next)) {
            run.1 = last;
        }
        self.runs.insert(run.0, run.1);
        self.forget_old();
        true
    }

    fn newest(&self) -> u64 {
        self.runs.get_max().map_or(0, |(_, last)| *last)
    }

    /// Drops the runs below the window: what lies there counts as executed anyway.
    fn forget_old(&mut self) {
        let newest = self.newest();
        while let Some((first, _)) = self.runs.get_min().copied().filter(|(_, last)| too_old(*last, newest)) {
            self.runs.remove(&first);
        }
    }
}

/// Whether a counter is below the window that ends at the newest one.
fn too_old(counter: u64, newest: u64) -> bool {
    counter.checked_add(REQUEST_WINDOW).is_some_and(|edge| edge <= newest)
}

impl Ids {
    /// Notes a request as executed; `false` if it is not to be executed: it was before, or may have been.
    pub(super) fn admit(&mut self, id: RequestId) -> bool {
        let window = self.origins.entry(id.origin).or_default();
        if id.incarnation < window.incarnation {
            return false;
        }
        if id.incarnation > window.incarnation {
            *window = Window { incarnation: id.incarnation, runs: OrdMap::new() };
        }
        window.admit(id.counter)
    }

    /// Whether a request was executed before, or may have been.
    pub(super) fn has(&self, id: RequestId) -> bool {
        self.origins.get(&id.origin).is_some_and(|window| {
            id.incarnation < window.incarnation
                || (id.incarnation == window.incarnation && window.has(id.counter))
        })
    }
}

/// Sections of a snapshot: one for each origin, by its position in the order of ids.
impl Ids {
    /// The digest of each section.
    pub(super) fn section_digests(&self) -> BTreeMap<u32, Digest> {
        let digest = |(id, window): (&NodeId, &Window)| digest(*id, window);
        (0..).zip(self.origins.iter().map(digest)).collect()
    }

    /// Encodes one section.
    pub(super) fn encode_section(&self, number: u32, buf: &mut BytesMut) {
        let (id, window) = self.origins.iter().nth(number as usize).expect("the layout names origins");
        encode(*id, window, buf);
    }

    /// Takes one section of a snapshot, and answers its digest as it would be in [`Self::section_digests`].
    pub(super) fn decode_section(reader: &mut Reader) -> Result<(Self, Digest), DecodeError> {
        let (origin, incarnation) = (NodeId::decode(reader)?, reader.u64()?);
        let mut window = Window { incarnation, ..Window::default() };
        for _ in 0..reader.u32()? {
            let first = reader.u64()?;
            ascending("a run", first, window.runs.get_max().map(|(last, _)| *last))?;
            window.runs.insert(first, reader.u64()?);
        }
        let digest = digest(origin, &window);
        Ok((Self { origins: OrdMap::unit(origin, window) }, digest))
    }

    /// Adds a section whose digest was found to be right.
    pub(super) fn restore_section(&mut self, section: Self) {
        self.origins.extend(section.origins);
    }

    /// How many bytes each section takes in a snapshot.
    pub(super) fn weights(&self) -> impl Iterator<Item = usize> {
        self.origins.values().map(|window| 20 + 16 * window.runs.len())
    }
}

fn encode(origin: NodeId, window: &Window, buf: &mut BytesMut) {
    origin.encode(buf);
    buf.put_u64_le(window.incarnation);
    buf.put_u32_le(window.runs.len() as u32);
    for (first, last) in &window.runs {
        buf.put_u64_le(*first);
        buf.put_u64_le(*last);
    }
}

fn digest(origin: NodeId, window: &Window) -> Digest {
    let mut buf = BytesMut::new();
    encode(origin, window, &mut buf);
    Hasher::new(Domain::Requests).bytes(&buf).finish()
}
