//! The table of the functions that workers run, and how each is called with bytes.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{self, TooLarge};

/// The functions that a worker runs, made by [`functions!`](super::functions).
#[derive(Clone, Copy)]
pub struct Functions {
    table: &'static [&'static dyn Function],
}

impl Functions {
    #[doc(hidden)]
    pub const fn new(table: &'static [&'static dyn Function]) -> Self {
        Functions { table }
    }

    /// The place of a function, which has a type of its own.
    pub(super) fn index_of<F: 'static>(&self) -> Option<u32> {
        let place = self.table.iter().position(|function| function.id() == TypeId::of::<F>());
        place.map(|index| index as u32)
    }

    pub(super) fn at(&self, index: u32) -> Option<&'static dyn Function> {
        self.table.get(index as usize).copied()
    }

    /// A number by which two tables differ if their functions do (FNV-1a).
    pub(super) fn checksum(&self) -> u64 {
        let bytes = self.table.iter().flat_map(|function| function.name().bytes().chain([0]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table.iter().map(|function| function.name())).finish()
    }
}

/// The functions of a pool's workers, as a table: `functions![primes, sum]`.
///
/// Each is a function of one argument that captures nothing. The argument implements
/// `serde::de::DeserializeOwned`, and what it returns `serde::Serialize`. An argument of several parts is
/// a tuple.
///
/// # Examples
///
/// ```
/// use corering::process::{Functions, functions};
///
/// fn sum(numbers: Vec<u64>) -> u64 {
///     numbers.iter().sum()
/// }
///
/// fn repeated((text, times): (String, usize)) -> String {
///     text.repeat(times)
/// }
///
/// const FUNCTIONS: Functions = functions![sum, repeated];
/// # println!("{FUNCTIONS:?}");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __process_functions {
    ($($function:expr),* $(,)?) => {{
        const TABLE: &[&dyn $crate::process::Function] = &[$(&$crate::process::Typed::new($function)),*];
        $crate::process::Functions::new(TABLE)
    }};
}

// A macro that is exported stands at the root; users find it beside the pool.
#[doc(inline)]
pub use __process_functions as functions;

/// A function as workers call it.
#[doc(hidden)]
pub trait Function: Sync {
    /// The function's own type.
    fn id(&self) -> TypeId;

    fn name(&self) -> &'static str;

    /// Calls it, and appends what it returns.
    fn run(&self, request: &[u8], answer: Vec<u8>, max: usize) -> Result<Vec<u8>, Failure>;
}

/// Why a call has no answer, although its function did not panic.
#[doc(hidden)]
#[derive(Debug)]
pub enum Failure {
    Request(String),
    Answer(String),
    TooLarge,
}

/// A function with the types of its request and its answer.
#[doc(hidden)]
pub struct Typed<F, Q, A> {
    function: F,
    types: PhantomData<fn(Q) -> A>,
}

impl<F: Fn(Q) -> A, Q, A> Typed<F, Q, A> {
    pub const fn new(function: F) -> Self {
        const {
            assert!(
                size_of::<F>() == 0,
                "a table has functions by their names: neither a pointer nor what captures something"
            );
        }
        Typed { function, types: PhantomData }
    }
}

impl<F, Q, A> Function for Typed<F, Q, A>
where
    F: Fn(Q) -> A + Sync + 'static,
    Q: DeserializeOwned,
    A: Serialize,
{
    fn id(&self) -> TypeId {
        TypeId::of::<F>()
    }

    fn name(&self) -> &'static str {
        type_name::<F>()
    }

    fn run(&self, request: &[u8], answer: Vec<u8>, max: usize) -> Result<Vec<u8>, Failure> {
        let request = postcard::from_bytes(request);
        let request = request.map_err(|error| Failure::Request(error.to_string()))?;
        let returned = (self.function)(request);
        frame::append(&returned, answer, max).map_err(|error| match error {
            Ok(TooLarge) => Failure::TooLarge,
            Err(error) => Failure::Answer(error.to_string()),
        })
    }
}

impl<F, Q, A> fmt::Debug for Typed<F, Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<F>())
    }
}
