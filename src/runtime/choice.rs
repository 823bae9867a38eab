//! Which driver a runtime runs on.

use std::env;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::driver;

/// The kernel's interface that a runtime uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Driver {
    /// io_uring where it is allowed, else epoll; one line of the log then says why. The environment
    /// variable `CORERING_DRIVER` (`uring`, `epoll` or `auto`) decides instead if it is set.
    #[default]
    Auto,
    /// io_uring, or an error that says why not and what to do.
    Uring,
    /// epoll, and a pool of threads for files.
    Epoll,
}

/// Decides for [`Driver::Auto`].
const VARIABLE: &str = "CORERING_DRIVER";

impl Driver {
    /// The interface that a driver stands on.
    pub(crate) fn of(driver: &driver::Driver) -> Self {
        driver.can().name.parse().expect("an interface is named as the choice of it")
    }

    /// What the environment makes of this choice.
    pub(crate) fn with_environment(self) -> io::Result<Self> {
        if self != Driver::Auto {
            return Ok(self);
        }
        match env::var(VARIABLE) {
            Err(env::VarError::NotPresent) => Ok(Driver::Auto),
            Err(error) => Err(invalid(format!("{VARIABLE}: {error}"))),
            Ok(value) => value.parse().map_err(|error| invalid(format!("{VARIABLE}: {error}"))),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl FromStr for Driver {
    type Err = UnknownDriver;

    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        match name {
            "auto" => Ok(Driver::Auto),
            "uring" => Ok(Driver::Uring),
            "epoll" => Ok(Driver::Epoll),
            other => Err(UnknownDriver { name: other.into() }),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Auto => "auto",
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// No driver has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownDriver {
    /// The name that was given.
    pub name: String,
}

impl fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a driver; the drivers are uring, epoll and auto", self.name)
    }
}

impl std::error::Error for UnknownDriver {}
