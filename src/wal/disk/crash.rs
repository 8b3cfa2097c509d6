//! What a crash leaves of writes that were not synced.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::faulty::Change;

/// A disk reads and writes whole sectors of this many bytes.
const SECTOR_BYTES: usize = 512;

/// What a crash does to changes that are not durable: of contents, and of names in directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// All are lost.
    Lose,
    /// All survive, as after the kill of a process whose machine lives on.
    Keep,
    /// The first so many bytes of what was written survive, in order over all files by name; so do all names.
    Cut(u64),
    /// Of the changes of each file, and of the names, those survive whose bit is set.
    Subset(u64),
    /// Drawn from a seed: any set of names; and each sector of a file holds any of the writes to it, or is torn between
    /// two, in any order.
    Random(u64),
}

/// The source of a random crash.
pub(super) type Rng = Option<ChaCha8Rng>;

impl Crash {
    pub(super) fn rng(&self) -> Rng {
        match self {
            Self::Random(seed) => Some(ChaCha8Rng::seed_from_u64(*seed)),
            _ => None,
        }
    }

    /// How many bytes of writes survive.
    pub(super) fn budget(&self) -> u64 {
        match self {
            Self::Cut(bytes) => *bytes,
            _ => 0,
        }
    }

    /// Whether change `number` survives whole.
    pub(super) fn keeps(&self, number: usize, rng: &mut Rng) -> bool {
        match self {
            Self::Lose => false,
            Self::Keep | Self::Cut(_) => true,
            Self::Subset(mask) => number >= 64 || mask >> number & 1 == 1,
            Self::Random(_) => below(rng, 2) == 0,
        }
    }
}

/// A number below `bound`, from the crash's source.
fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.as_mut().map_or(0, |rng| (rng.next_u64() % bound as u64) as usize)
}

/// What a file holds after a crash.
pub(super) fn survivors(
    durable: &[u8],
    pending: &[Change],
    crash: &Crash,
    budget: &mut u64,
    rng: &mut Rng,
) -> Vec<u8> {
    let mut content = durable.to_vec();
    match crash {
        Crash::Cut(_) => pending.iter().for_each(|change| cut(change, &mut content, budget)),
        Crash::Random(_) => content = shuffled(durable, pending, rng),
        _ => {
            let kept = pending.iter().enumerate().filter(|(number, _)| crash.keeps(*number, &mut None));
            kept.for_each(|(_, change)| change.apply(&mut content));
        }
    }
    content
}

/// Applies as much of a change as the budget allows.
fn cut(change: &Change, content: &mut Vec<u8>, budget: &mut u64) {
    match change {
        Change::SetLen(_) => change.apply(content),
        Change::Write(offset, data) => {
            let count = data.len().min(*budget as usize);
            *budget -= count as u64;
            if count > 0 {
                Change::Write(*offset, data[..count].to_vec()).apply(content);
            }
        }
    }
}

/// Each sector as it was after any of the changes, or torn between two such states: the system writes pages back in any
/// order, and a disk may lose power within a sector.
fn shuffled(durable: &[u8], pending: &[Change], rng: &mut Rng) -> Vec<u8> {
    let lengths: Vec<usize> = std::iter::once(durable.len())
        .chain(pending.iter().scan(durable.len(), |length, change| {
            *length = change.length_after(*length);
            Some(*length)
        }))
        .collect();
    let length = lengths[below(rng, lengths.len())];
    let mut content = vec![0; length];
    for start in (0..length).step_by(SECTOR_BYTES) {
        let sector = &mut content[start..(start + SECTOR_BYTES).min(length)];
        let torn = if below(rng, 4) == 0 { below(rng, sector.len()) } else { sector.len() };
        let (before, after) = (below(rng, pending.len() + 1), below(rng, pending.len() + 1));
        let mut other = sector.to_vec();
        sector_after(durable, &pending[..before], start, sector);
        sector_after(durable, &pending[..after], start, &mut other);
        sector[torn..].copy_from_slice(&other[torn..]);
    }
    content
}

/// The sector that begins at `start`, after these changes.
fn sector_after(durable: &[u8], changes: &[Change], start: usize, sector: &mut [u8]) {
    sector.fill(0);
    copy_overlap(durable, 0, start, sector);
    for change in changes {
        match change {
            Change::Write(offset, data) => copy_overlap(data, *offset as usize, start, sector),
            Change::SetLen(bytes) => {
                let kept = (*bytes as usize).saturating_sub(start).min(sector.len());
                sector[kept..].fill(0);
            }
        }
    }
}

/// Copies what `from`, which lies at `at`, has in common with `to`, which lies at `start`.
fn copy_overlap(from: &[u8], at: usize, start: usize, to: &mut [u8]) {
    let (low, high) = (at.max(start), (at + from.len()).min(start + to.len()));
    if low < high {
        to[low - start..high - start].copy_from_slice(&from[low - at..high - at]);
    }
}
