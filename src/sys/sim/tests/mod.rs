//! What the simulated kernel promises, shown by raw entries.

mod anything;
mod cancelling;
mod completions;
mod connections;
mod machine;
mod repeating;
mod streams;
mod waiting;
