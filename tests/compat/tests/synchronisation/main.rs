//! `tokio::sync` without tokio's runtime, and what asyncio has beside it: within a shard, across shards, and
//! as `docs/synchronisation.md` shows it.

#[path = "../../../common/simulated.rs"]
mod simulated;

mod across;
mod condition;
mod dropped;
mod event;
mod turns;

/// What the page says is what the tests run.
mod page {
    const PAGE: &str = include_str!("../../../../docs/synchronisation.md");

    /// A file without the line that says what it is, and without its tests.
    fn program(file: &str) -> &str {
        let (_, code) = file.split_once("\n\n").expect("a file begins with what it is");
        let (program, _) = code.split_once("\n\n#[cfg(test)]\n").expect("it ends with tests");
        program
    }

    #[test]
    fn page_shows_the_programs_that_are_tested() {
        for file in [include_str!("event.rs"), include_str!("condition.rs")] {
            let program = program(file);
            assert!(PAGE.contains(program), "the page has another program than:\n{program}");
        }
    }
}
