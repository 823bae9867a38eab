//! Makes the code of the service from its description, by the program `protoc`.

use std::env;
use std::process::Command;

const DESCRIPTION: &str = "proto/greeter.proto";

fn main() {
    println!("cargo::rerun-if-changed={DESCRIPTION}");
    println!("cargo::rerun-if-env-changed=PROTOC");
    println!("cargo::rustc-check-cfg=cfg(without_protoc)");
    let protoc = env::var("PROTOC").unwrap_or_else(|_| "protoc".to_owned());
    if Command::new(protoc).arg("--version").output().is_ok() {
        tonic_prost_build::compile_protos(DESCRIPTION).expect("the description is valid");
        return;
    }
    println!(
        "cargo::warning=grpc_greeter is built without its service, since protoc is missing; install \
         it (Debian: protobuf-compiler), or set PROTOC to its path"
    );
    println!("cargo::rustc-cfg=without_protoc");
    // A path that does not exist is looked for at each build: protoc may be there then.
    println!("cargo::rerun-if-changed=protoc");
}
