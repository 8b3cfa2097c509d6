//! The `consensusctl` binary.

fn main() {}
