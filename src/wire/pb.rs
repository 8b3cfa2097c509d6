//! What the build generates from `protos/`.

#![expect(
    unreachable_pub,
    clippy::pedantic,
    clippy::enum_variant_names,
    reason = "generated code: the protos carry the documentation"
)]

/// etcd's services and their messages.
pub(crate) mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// etcd's key-value pair.
pub(crate) mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// `ControlService`.
pub(crate) mod control {
    tonic::include_proto!("consensusctl.control.v1");
}

/// `SessionService`.
pub(crate) mod session {
    tonic::include_proto!("consensusctl.session.v1");
}
