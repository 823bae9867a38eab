//! The service of `grpc_greeter`, as tonic makes it from `proto/greeter.proto`.

#![forbid(unsafe_code)]

/// Messages, server and client.
#[cfg(not(without_protoc))]
#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
pub mod greeter {
    tonic::include_proto!("greeter");
}
