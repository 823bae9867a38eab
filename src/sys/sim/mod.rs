//! A simulated kernel below the ring: the same entries in, the same completions out, and every
//! run repeats from its seed.
//!
//! A `World` holds in-memory sockets, a virtual clock and a sequence of random numbers. A
//! `SimRing` of it takes the place of the kernel's ring, and beside it the world answers the calls
//! on descriptors. What a real kernel leaves open is drawn from the seed: which completion comes
//! first, how many bytes a transfer moves, when they arrive, whether a cancel wins.
//!
//! It never starts a thread, never sleeps, never asks the real clock after it was made, and never
//! hands out a descriptor number that is not really open. It never runs a program's code, so a
//! driver may call it while it borrows what it likes.
//!
//! Read `ring.rs` first (what an `enter` does), then `operations.rs` (what each opcode does), then
//! `tcp.rs`.

mod buffers;
mod calls;
mod cancel;
mod connect;
mod entry_view;
mod faults;
mod name;
mod operations;
mod random;
mod ring;
mod socket;
mod state;
mod tcp;
mod trace;
mod world;

// Without the tests, the users are the ring's second kind, `socket` and the runtime's test support.
pub(crate) use faults::Fault;
pub(crate) use ring::SimRing;
pub(crate) use world::World;

#[cfg(test)]
mod tests;
