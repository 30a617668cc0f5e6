//! Nearest known names, for unknown keys and dangling references.

/// The known name nearest to `name`, when it is near enough to be a slip of the hand: at most a third of its letters
/// differ.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths; nobody mistypes a name this long by accident.
    if name.len() > 64 {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("tempereture", ["temperature", "top_p"]), Some("temperature"));
        assert_eq!(nearest("colour", ["temperature", "top_p"]), None);
        assert_eq!(nearest("sese", ["sees", "seed"]), Some("sees"));
    }
}
