//! Conditions as the API server stores them: what changed is stamped, what did not keeps its time.

use crate::objects::Condition;
use crate::plan::Finding;

/// `findings` as conditions, over those that were there: a condition whose status is the same keeps its time, and those
/// of other types stay.
pub(crate) fn conditions(
    old: &[Condition],
    findings: &[Finding],
    generation: i64,
    now: &str,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = old
        .iter()
        .filter(|condition| !findings.iter().any(|finding| finding.kind == condition.kind))
        .cloned()
        .collect();
    conditions.extend(findings.iter().map(|finding| {
        let status = if finding.holds { "True" } else { "False" };
        let before = old.iter().find(|condition| condition.kind == finding.kind);
        let time = before.filter(|condition| condition.status == status);
        Condition {
            kind: finding.kind.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: shortened(&finding.message),
            observed_generation: generation,
            last_transition_time: time.map_or_else(|| now.to_owned(), |old| old.last_transition_time.clone()),
        }
    }));
    conditions.sort_by(|one, other| one.kind.cmp(&other.kind));
    conditions
}

/// The API server takes 32,768 characters; nobody reads as many.
pub(crate) fn shortened(message: &str) -> String {
    const MOST: usize = 1024;
    message.chars().take(MOST).collect()
}

/// Now, as conditions have it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let good = [Finding::good("Accepted", "Accepted")];
        let first = conditions(&[], &good, 1, "monday");
        let again = conditions(&first, &good, 2, "tuesday");
        assert_eq!((&*again[0].last_transition_time, again[0].observed_generation), ("monday", 2));
        let bad = [Finding::bad("Accepted", "UnsupportedValue", "spec.rules[0]: no".to_owned())];
        let worse = conditions(&again, &bad, 3, "wednesday");
        assert_eq!((&*worse[0].status, &*worse[0].last_transition_time), ("False", "wednesday"));
    }

    #[test]
    fn conditions_of_other_types_stay() {
        let mut old = conditions(&[], &[Finding::good("Accepted", "Accepted")], 1, "monday");
        old[0].kind = "example.com/Checked".to_owned();
        let both = conditions(&old, &[Finding::good("Accepted", "Accepted")], 1, "tuesday");
        let kinds: Vec<&str> = both.iter().map(|condition| &*condition.kind).collect();
        assert_eq!(kinds, ["Accepted", "example.com/Checked"]);
    }
}
