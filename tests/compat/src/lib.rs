//! Tests of the bridges to other libraries; they stand in `tests`.

// The guides are compiled, and run, with the documentation's examples. They name other crates, so
// the library itself cannot do it.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/getting-started.md")]
struct GettingStarted;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/buffers-and-cancellation.md")]
struct BuffersAndCancellation;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-asyncio.md")]
struct ComingFromAsyncio;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-tokio.md")]
struct ComingFromTokio;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/files.md")]
struct Files;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/synchronisation.md")]
struct Synchronisation;

// The `tokio::select!` of the library's documentation: the library does without tokio.
#[cfg(doctest)]
#[doc = include_str!("../../../src/tokio_select.md")]
struct TokioSelect;
