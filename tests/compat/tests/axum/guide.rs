//! What the guide promises beside its code, which is compiled with the documentation's examples.

const GUIDE: &str = include_str!("../../../../docs/coming-from-tokio.md");

/// What becomes of tokio's, in this order.
const CHANGES: &[(&str, &str)] = &[
    ("hyper_util::rt::{TokioIo, TokioTimer}", "corering::compat::{Hyper, HyperTimer}"),
    ("TokioIo::new", "Hyper::new"),
    ("TokioTimer::new()", "HyperTimer"),
    ("let (tcp, _) =", "let tcp ="),
    ("tokio::task::spawn", "corering::spawn"),
    ("axum::serve", "corering::compat::serve"),
    ("tokio::", "corering::"),
];

/// The first two pieces of code under a heading.
fn pair_under(heading: &str) -> [&'static str; 2] {
    let start = GUIDE.find(&format!("\n## {heading}\n")).expect("the guide has this heading");
    let mut pieces = GUIDE[start..].split("```rust,no_run\n").skip(1);
    [(); 2].map(|()| {
        let piece = pieces.next().expect("there are two pieces");
        piece.split_once("```").expect("a piece ends").0
    })
}

#[test]
fn hello_programs_differ_in_lines_of_runtime_only() {
    for library in ["hyper", "axum"] {
        let [before, after] = pair_under(library);
        let changed = CHANGES.iter().fold(before.to_owned(), |text, (tokio, ours)| {
            assert!(GUIDE.contains(tokio), "{tokio} is not in the guide");
            text.replace(tokio, ours)
        });
        assert_eq!(changed, after, "the hello of {library}");
    }
}
