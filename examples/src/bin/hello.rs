//! Placeholder until the runtime can run a task.
fn main() {}
