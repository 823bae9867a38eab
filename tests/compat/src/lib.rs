//! Tests of the bridges to other libraries; they stand in `tests`.

// The guide is compiled with the documentation's examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-tokio.md")]
struct ComingFromTokio;
