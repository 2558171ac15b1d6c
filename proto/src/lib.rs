//! The public API, generated from the .proto files beside this crate, and its descriptors. Nothing else.

#[expect(clippy::all, clippy::allow_attributes_without_reason, missing_docs, reason = "generated code")]
#[allow(unused_qualifications, unreachable_pub, clippy::derive_partial_eq_without_eq, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("paintbox.v1");
}

/// The compiled descriptors of every .proto file and what they import: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` that the daemon sends.
pub const ERROR_DOMAIN: &str = "paintbox";
