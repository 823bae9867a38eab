//! Attacks the static server from outside, on both drivers: a process of its own, and clients that send raw bytes.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../benches/tests/common/programs.rs"]
mod programs;
mod support;

mod changes;
mod confinement;
mod connections;
mod files;
mod overload;
mod parts;
mod process;
mod refusals;
mod variants;
