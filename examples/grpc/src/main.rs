//! A gRPC server by tonic, on corering: requests and answers that are single and streamed. tonic's own
//! server needs tokio; its service is one of tower, which `compat::serve` takes.

#![forbid(unsafe_code)]

#[cfg(not(without_protoc))]
mod server;

#[cfg(not(without_protoc))]
fn main() {
    server::main();
}

#[cfg(without_protoc)]
fn main() {
    eprintln!(
        "grpc_greeter: it was built where protoc was missing; install it (Debian: protobuf-compiler), \
         and build again"
    );
    std::process::exit(1);
}
