//! The echo servers on other runtimes. They are built for this, once.

use std::process::Command;

use corering::{Driver, test_support};
use corering_bench::server::peers;

use crate::support::{Server, bytes, echoed};

#[test]
fn peers_echo_small_and_large_messages() {
    // They need a ring.
    if !test_support::drivers().contains(&Driver::Uring) {
        return;
    }
    let programs = peers::build().expect("cargo can build them");
    for name in peers::NAMES {
        let mut command = Command::new(programs.join(name));
        command.args(["--workload", "echo", "--addr", "127.0.0.1:0", "--size", "1000"]);
        let server = Server::of(command);
        let mut streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for (seed, length) in [(1, 1000), (2, 300_000), (3, 1000)] {
            for stream in &mut streams {
                let message = bytes(length, seed);
                assert!(echoed(stream, &message) == message, "{name} sent other bytes back");
            }
        }
        server.end();
    }
}
