use super::*;
use crate::plan::PathMatch;

/// Priorities and path prefixes.
type Paths = &'static [(i32, &'static str)];

fn matching(path: &str) -> RuleMatch {
    RuleMatch { path: Some(PathMatch::Prefix(path.to_owned())), ..RuleMatch::default() }
}

fn rule(id: &str, priority: i32, path: &str, status: i32) -> RuleRecord {
    RuleRecord { id: id.to_owned(), priority, matching: matching(path), action: Action::Respond(status) }
}

fn wanted(priority: i32, path: &str, status: i32) -> Wanted {
    (priority, matching(path), Action::Respond(status))
}

/// What becomes of the rules when the changes are made, by priority.
fn made(found: &[RuleRecord], wanted: &[Wanted]) -> (usize, Vec<(i32, String)>) {
    let changes = Changes::between(found, wanted);
    let mut rules = found.to_vec();
    let mut ids: HashMap<usize, String> =
        changes.stay.iter().map(|(&index, &at)| (index, found[at].id.clone())).collect();
    for (at, index) in &changes.rewrite {
        rules[*at].matching.clone_from(&wanted[*index].1);
        rules[*at].action.clone_from(&wanted[*index].2);
    }
    for (index, priority) in &changes.create {
        assert!(rules.iter().all(|rule| rule.priority != *priority), "two rules at priority {priority}");
        let id = format!("new-{index}");
        ids.insert(*index, id.clone());
        let (_, matching, action) = wanted[*index].clone();
        rules.push(RuleRecord { id, priority: *priority, matching, action });
    }
    let most = rules.len();
    for (id, priority) in priorities(&rules, wanted, &ids) {
        rules.iter_mut().filter(|rule| rule.id == id).for_each(|rule| rule.priority = priority);
    }
    let mut seen = BTreeSet::new();
    assert!(rules.iter().all(|rule| seen.insert(rule.priority)), "two rules at one priority: {rules:?}");
    let doomed: Vec<String> = changes.delete.iter().map(|&at| found[at].id.clone()).collect();
    rules.retain(|rule| !doomed.contains(&rule.id));
    rules.sort_by_key(|rule| rule.priority);
    let path = |rule: &RuleRecord| match &rule.matching.path {
        Some(PathMatch::Prefix(path)) => path.clone(),
        other => panic!("{other:?}"),
    };
    (most, rules.iter().map(|rule| (rule.priority, path(rule))).collect())
}

#[test]
fn rules_become_what_is_wanted_with_never_more_of_them_than_before_or_after() {
    let cases: &[(Paths, Paths)] = &[
        (&[], &[(1, "/a"), (2, "/b")]),
        (&[(1, "/a"), (2, "/b")], &[]),
        (&[(1, "/a"), (2, "/b")], &[(1, "/b"), (2, "/a")]),
        (&[(1, "/a"), (2, "/b"), (3, "/c")], &[(1, "/c")]),
        (&[(1, "/a")], &[(1, "/new"), (2, "/a")]),
        (&[(5, "/a"), (100, "/b")], &[(1, "/b"), (2, "/c"), (3, "/d"), (4, "/a")]),
        (&[(1, "/a"), (2, "/b")], &[(1, "/x"), (2, "/y")]),
        (&[(1, "/a"), (2, "/a")], &[(1, "/a")]),
    ];
    for (before, after) in cases {
        let found: Vec<RuleRecord> = before
            .iter()
            .enumerate()
            .map(|(index, (priority, path))| rule(&format!("rule-{index}"), *priority, path, 404))
            .collect();
        let wished: Vec<Wanted> = after.iter().map(|(priority, path)| wanted(*priority, path, 404)).collect();
        let (most, rules) = made(&found, &wished);
        let expected: Vec<_> = after.iter().map(|(priority, path)| (*priority, (*path).to_owned())).collect();
        assert_eq!(rules, expected, "{before:?} -> {after:?}");
        assert!(most <= before.len().max(after.len()), "{before:?} -> {after:?}: {most} rules at once");
    }
}

#[test]
fn what_is_as_it_should_be_costs_no_call() {
    let found = [rule("rule-0", 1, "/a", 404), rule("rule-1", 2, "/b", 500)];
    let wished = [wanted(1, "/a", 404), wanted(2, "/b", 500)];
    let changes = Changes::between(&found, &wished);
    assert!(changes.rewrite.is_empty() && changes.create.is_empty() && changes.delete.is_empty());
    let ids = changes.stay.iter().map(|(&index, &at)| (index, found[at].id.clone())).collect();
    assert!(priorities(&found, &wished, &ids).is_empty());
}

#[test]
fn an_action_that_changes_is_rewritten_in_its_place() {
    let changes = Changes::between(&[rule("rule-0", 7, "/a", 404)], &[wanted(7, "/a", 500)]);
    assert_eq!((changes.rewrite, changes.create.len(), changes.delete.len()), (vec![(0, 0)], 0, 0));
}
