//! Advantages, credit and orders against the numbers of reference programs, and the properties they must have.

#[path = "estimators/build.rs"]
mod build;
#[path = "estimators/fixtures.rs"]
mod fixtures;
#[path = "estimators/fixtures_gae.rs"]
mod fixtures_gae;
#[path = "estimators/properties.rs"]
mod properties;
