//! Tests of the bridges to other libraries; they stand in `tests`.
