//! "Did you mean": the nearest of the names that would be right.

/// A help line that names the candidate nearest to `text`, if one is near.
pub(crate) fn did_you_mean<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(text, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// The candidate nearest to `text`: at most a third of its letters differ, two neighbours swapped count once.
pub(crate) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let length = text.chars().count();
    // Every other name of one letter would be near to one.
    if !(2..=LONGEST).contains(&length) {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .filter(|name| *name != text && name.chars().count().abs_diff(length) <= allowed)
        .map(|name| (strsim::osa_distance(&text.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_only() {
        let names = ["numprocs", "command", "user"];
        assert_eq!(nearest("numproc", names.into_iter()), Some("numprocs"));
        assert_eq!(nearest("comamnd", names.into_iter()), Some("command"));
        assert_eq!(nearest("zzz", names.into_iter()), None);
        assert_eq!(nearest("a", ["b"].into_iter()), None);
        assert_eq!(nearest("User", names.into_iter()), Some("user"));
    }
}
