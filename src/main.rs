//! marft
fn main() {}
