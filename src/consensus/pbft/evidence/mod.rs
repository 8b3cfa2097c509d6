//! Evidence: what proves that a replica lied, to anybody, from signed messages and public keys alone.
//!
//! # The idea
//!
//! An honest replica says one thing about each place, over all its lives (invariant 2 of the protocol). So two messages
//! that one replica signed, and that say two things about one place, convict it, whoever shows them and wherever they were
//! found: sent, relayed, or inside a certificate of somebody else. A replica that finds such a pair keeps it through
//! restarts, tells the others once, and names the culprit in `status`.
//!
//! # What convicts, and why no honest replica can have signed it
//!
//! | what | why no honest replica signs both | kind |
//! |---|---|---|
//! | two of PRE-PREPARE, PREPARE and COMMIT for one view and number, with different digests | it accepts one PRE-PREPARE of a number in a view, on disk before anything leaves (1, 2); its PREPARE repeats that one, and its COMMIT follows from a certificate for that one in the same view | `Kind::Votes` |
//! | two CHECKPOINTs for one number with different digests | it signs one, on disk before it leaves, and remembers it until the checkpoint is stable; up to there it signs none any more (5). That holds also for one whose state was wrong and that repaired itself: for that number it stays with its first word | `Kind::Checkpoints` |
//! | two VIEW-CHANGEs for one view that differ | it leaves a view once (3), and sends its word again byte for byte | `Kind::ViewChanges` |
//! | two NEW-VIEWs for one view that differ | it enters with the one that it made, on disk before it leaves, and makes none for a view that it is in | `Kind::NewViews` |
//! | a COMMIT for a number, and a VIEW-CHANGE for a later view from below that number without a certificate for it of the COMMIT's view or a later one | the COMMIT leaves once the certificate is on disk; every VIEW-CHANGE tells the certificates of the highest views above its stable checkpoint, which never goes back | `Kind::Hidden` |
//! | a VIEW-CHANGE whose proofs prove nothing: too few votes, votes that do not match, a signature that does not hold | it puts in only what it has checked | `Kind::FalseProofs` |
//! | a NEW-VIEW whose O does not follow from its V, or whose V proves nothing | O is computed from V; V holds what it has checked | `Kind::WrongNewView` |
//! | a COMMIT, and a prepared certificate for the same view and number with another digest | its COMMIT needs a certificate of its own, and there are no two with different digests in one view (C) **as long as at most f replicas lie** | `Kind::Uncertified` |
//!
//! The last is the only one that rests on the fault model, and whoever verifies it is told so. With more than f liars it
//! may name an honest replica; but then two certificates can be shown, whose common signers are convicted by their votes
//! alone. It is what convicts a replica that votes for another digest than everybody else, and towards all alike.
//!
//! # What does not convict
//!
//! Anything that a store computed, since a fault of the memory makes an honest replica say it: a CHECKPOINT that differs
//! from a stable one, a REPLY that differs from the f + 1 equal ones or from an earlier one, a piece of a state that does
//! not match its digest. Anything that a lost or late message explains: silence, delay, neglect of a client. STATUS, which
//! promises nothing: it may go back over a restart. A batch that does not have the digest of its PRE-PREPARE: it is not
//! signed with it. All that is suspicion at most.
//!
//! # What is seen
//!
//! Every signed statement in a checked message counts, also inside STABLE, VIEW-CHANGE and NEW-VIEW and in messages that
//! have no effect otherwise. A contradiction is found if both statements reach a replica while it remembers the first:
//!
//! - votes, certificates and CHECKPOINTs between the last stable checkpoint but one (or the last executed number, if that
//!   is lower, though not further back than twice the window) and the high water mark, of each replica those of
//!   [`VIEWS_OF_EACH`](memory::VIEWS_OF_EACH) views about a number, of which those that are furthest ahead of this replica
//!   give way first;
//! - VIEW-CHANGEs for later views as long as the view change keeps them, and those in the NEW-VIEW of the view that is
//!   installed; and that NEW-VIEW;
//! - in one life: what was said, apart from the evidence itself, is not remembered over a restart.
//!
//! Of each culprit the first [`PIECES_OF_KIND`](book::PIECES_OF_KIND) pieces of each kind are kept, in the log on disk:
//! one is as good as many. A replica keeps nothing against itself.
//!
//! # What a verifier trusts
//!
//! The members' ids and public keys, and the cluster's id; nothing that the piece says about itself. The judgement is a
//! pure function ([`Evidence::judge`]). It does not depend on settings that could differ between replicas, as the width
//! of the window.

mod book;
mod judge;
mod memory;
mod observe;
mod said;
mod words;

#[cfg(test)]
mod tests;

pub(super) use book::Book;
#[cfg(test)]
pub(super) use book::PIECES_OF_KIND;
pub(super) use memory::Memory;
pub use said::{Evidence, Said};
pub(super) use words::judge_bytes;
