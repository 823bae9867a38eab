//! Guides: the pages of `docs/`, which are here as well.
//!
//! | to do this | read |
//! |---|---|
//! | write a first server | [`getting_started`] |
//! | know what a limit or a drop leaves behind | [`buffers_and_cancellation`] |
//! | choose a channel or a lock | [`synchronisation`] |
//! | read, write, copy, lock, watch and serve files | [`files`] |
//! | find what stands in the place of a name of asyncio | [`coming_from_asyncio`] |
//! | find what stands in the place of a name of tokio | [`coming_from_tokio`] |
//!
// Some of the names are there by a feature.
#![cfg_attr(
    all(
        feature = "macros",
        feature = "axum-ws",
        feature = "futures-io",
        feature = "hyper-client",
        feature = "process-pool",
        feature = "tokio-guest",
        feature = "tokio-io"
    ),
    doc = "# Names\n\nEvery name of corering that the tables of these pages give:\n",
    doc = include_str!("../docs/names.md")
)]
#![forbid(unsafe_code)]

/// A page. Its links lead to files where they are read as such; here they lead to modules, since the
/// first definition of a link counts.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = "[getting-started]: crate::guide::getting_started"]
        #[doc = "[buffers-and-cancellation]: crate::guide::buffers_and_cancellation"]
        #[doc = "[coming-from-asyncio]: crate::guide::coming_from_asyncio"]
        #[doc = "[coming-from-tokio]: crate::guide::coming_from_tokio"]
        #[doc = "[cancel_safety]: crate::cancel_safety"]
        #[doc = "[cleaning-up]: crate::guide::buffers_and_cancellation#code-that-must-run-in-the-end"]
        #[doc = "[synchronisation]: crate::guide::synchronisation"]
        #[doc = "[files]: crate::guide::files"]
        #[doc = "[tls]: crate::guide::coming_from_tokio#codecs-tls-and-extension-traits"]
        #[doc = ""]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

page!(getting_started, "../docs/getting-started.md");
page!(buffers_and_cancellation, "../docs/buffers-and-cancellation.md");
page!(synchronisation, "../docs/synchronisation.md");
page!(files, "../docs/files.md");
page!(coming_from_asyncio, "../docs/coming-from-asyncio.md");
page!(coming_from_tokio, "../docs/coming-from-tokio.md");
