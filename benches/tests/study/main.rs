//! What a study says: invented measurements in, the verdict and the report out.

mod comparison;
mod conclusion;
mod fixture;
mod page;
