//! Compiles the protos, without a protoc on the machine, and notes the commit for failure reports.

use std::error::Error;
use std::process::Command;

const PROTOS: &[&str] = &["raft.proto", "pbft.proto", "control.proto", "session.proto", "etcd/rpc.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=protos");
    println!("cargo:rerun-if-changed=.git/HEAD");
    // A source archive has no commit; its reports say so.
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    if let Some(commit) = commit.ok().filter(|output| output.status.success()) {
        println!("cargo:rustc-env=CONSENSUSCTL_COMMIT={}", String::from_utf8_lossy(&commit.stdout).trim());
    }
    let descriptors = protox::compile(PROTOS, ["protos"])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
