//! Measurements of corering.
