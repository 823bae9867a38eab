//! Tests of the bridges to other libraries; they stand in `tests`.

// The guide is compiled with the documentation's examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-tokio.md")]
struct ComingFromTokio;

// The `tokio::select!` of the library's documentation: the library does without tokio.
#[cfg(doctest)]
#[doc = include_str!("../../../src/tokio_select.md")]
struct TokioSelect;
