//! The form that an answer must have: plain data, whether or not this build can hold an answer to it.

use marft_topologies::team::Constraint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::Text;

/// The form that an answer must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// JSON that satisfies this schema.
    JsonSchema(Value),
    /// Text that this expression matches as a whole, in the syntax of the regex crate without look-around.
    Regex(String),
}

impl From<&Constraint> for Form {
    fn from(constraint: &Constraint) -> Self {
        match constraint {
            Constraint::JsonSchema(schema) => Self::JsonSchema((**schema).clone()),
            Constraint::Regex(regex) => Self::Regex(regex.clone()),
        }
    }
}

impl Form {
    /// Whether this build can hold answers of models on a device to a form.
    pub const FOLLOWED: bool = cfg!(feature = "constrained");

    /// Finds out whether answers of a model on a device can be held to this form, by a vocabulary of single bytes: every other
    /// one spells the same texts.
    ///
    /// # Errors
    /// It cannot be followed, in words; or this build lacks the feature `constrained`.
    pub fn check(&self) -> Result<(), String> {
        self.check_for(&Text::bytes().map_err(|error| error.to_string())?)
    }

    /// Finds out whether answers in the tokens of `text` can be held to this form.
    ///
    /// # Errors
    /// It cannot be followed, or no token could end an answer, in words; or this build lacks the feature `constrained`.
    #[cfg(feature = "constrained")]
    pub fn check_for(&self, text: &Text) -> Result<(), String> {
        let constraints = text.constraints().map_err(|error| error.to_string())?;
        let refusal = constraints.start(self).err().map(|error| error.to_string());
        // what follows the first line draws the place in a grammar that nobody wrote
        refusal.map_or(Ok(()), |refusal| Err(refusal.lines().next().unwrap_or_default().to_owned()))
    }

    /// Finds out whether answers in the tokens of `text` can be held to this form.
    ///
    /// # Errors
    /// This build lacks the feature `constrained`.
    #[cfg(not(feature = "constrained"))]
    pub fn check_for(&self, _text: &Text) -> Result<(), String> {
        Err(super::UNCONSTRAINED.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "constrained")]
    #[test]
    fn a_form_that_cannot_be_followed_says_why() {
        assert_eq!(Form::Regex("(yes|no)".to_owned()).check(), Ok(()));
        assert_eq!(Form::JsonSchema(serde_json::json!({"type": "object"})).check(), Ok(()));
        let ahead = Form::Regex("(?=a)a".to_owned()).check().unwrap_err();
        assert!(ahead.contains("cannot be held to this form"), "{ahead}");
    }

    #[cfg(not(feature = "constrained"))]
    #[test]
    fn a_build_that_follows_no_form_says_so() {
        assert_eq!(
            Form::Regex("(yes|no)".to_owned()).check(),
            Err("this build lacks the feature `constrained`".to_owned())
        );
    }

    #[test]
    fn forms_are_plain_data() {
        let form: Form = serde_json::from_str(r#"{"regex": "[0-9]+"}"#).unwrap();
        assert_eq!(form, Form::Regex("[0-9]+".to_owned()));
    }
}
