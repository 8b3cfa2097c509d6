//! The log and the snapshots on disk.

/// STAND-IN, replaced by the log's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing.
    #[default]
    Ok,
    /// Each sync takes this much longer.
    Slow(std::time::Duration),
    /// No sync returns until the fault changes.
    Stall,
    /// Writes and syncs fail.
    Fail,
    /// No file can grow.
    Full,
}
