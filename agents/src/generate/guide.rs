//! Holds one answer to the form that its request asks for.
//!
//! What may come next is known before a pass and changes only when a token is accepted, so a pass can be repeated, and a request
//! that is put back goes on where it was.

use super::request::GenerateError;
use super::stop::TokenBytes;
use crate::parse::Form;
#[cfg(feature = "constrained")]
use crate::parse::{Constraint, ConstraintError};

/// What is left of a form as an answer grows.
#[derive(Debug)]
pub(crate) struct Guide {
    #[cfg(feature = "constrained")]
    constraint: Constraint,
    /// A bit for each id that may come next.
    allowed: Vec<u32>,
}

#[cfg(feature = "constrained")]
impl Guide {
    /// A guide at the beginning of an answer.
    pub(crate) fn start(form: &Form, tokens: &dyn TokenBytes, suppressed: &[u32]) -> Result<Self, GenerateError> {
        let constraint = tokens.constraints().and_then(|constraints| constraints.start(form)).map_err(failed)?;
        let mut guide = Self { constraint, allowed: Vec::new() };
        guide.look_ahead(suppressed)?;
        Ok(guide)
    }

    /// Goes on behind `id`, which was drawn from what was allowed. True if the answer ends with it.
    pub(crate) fn accept(&mut self, id: u32, suppressed: &[u32]) -> Result<bool, GenerateError> {
        self.constraint.commit(id).map_err(failed)?;
        if self.constraint.has_ended() {
            return Ok(true);
        }
        self.look_ahead(suppressed)?;
        Ok(false)
    }

    fn look_ahead(&mut self, suppressed: &[u32]) -> Result<(), GenerateError> {
        let set = self.constraint.mask().map_err(failed)?;
        if set.iter().all(|id| suppressed.contains(&id)) {
            let reason = "every id that could follow is suppressed".to_owned();
            return Err(GenerateError::Constraint { reason });
        }
        self.allowed.clear();
        self.allowed.extend_from_slice(set.words());
        Ok(())
    }
}

#[cfg(feature = "constrained")]
fn failed(error: ConstraintError) -> GenerateError {
    GenerateError::Constraint { reason: error.to_string() }
}

#[cfg(not(feature = "constrained"))]
impl Guide {
    pub(crate) fn start(_form: &Form, _tokens: &dyn TokenBytes, _suppressed: &[u32]) -> Result<Self, GenerateError> {
        let reason = crate::parse::UNCONSTRAINED.to_owned();
        Err(GenerateError::Constraint { reason })
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "callers know one form of it in both builds")]
    pub(crate) fn accept(&mut self, _id: u32, _suppressed: &[u32]) -> Result<bool, GenerateError> {
        Ok(false)
    }
}

impl Guide {
    /// A bit for each id that may come next: id i is bit i % 32 of word i / 32.
    pub(crate) fn allowed(&self) -> &[u32] {
        &self.allowed
    }
}
