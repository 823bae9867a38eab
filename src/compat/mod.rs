//! Layer 7: the traits of other libraries, over corering's streams. Each bridge stands behind a
//! feature of its own.

#![forbid(unsafe_code)]
