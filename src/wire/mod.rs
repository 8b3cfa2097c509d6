//! Stand-in for the module of the generated code.

/// Generated code.
#[expect(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod pb {
    pub mod control {
        tonic::include_proto!("consensusctl.control.v1");
    }
}
