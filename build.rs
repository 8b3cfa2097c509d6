//! Compiles the protos, without a protoc on the machine.

use std::error::Error;

const PROTOS: &[&str] = &["raft.proto", "control.proto", "session.proto", "etcd/rpc.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=protos");
    let descriptors = protox::compile(PROTOS, ["protos"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
