use super::*;

const AT_ONCE: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3600);

fn id(number: u64) -> AccessLogSubscriptionId {
    AccessLogSubscriptionId::from_random(number)
}

fn now() -> Timestamp {
    "2026-11-21T10:00:07.123Z".parse().unwrap()
}

fn line(number: u64) -> String {
    format!("{{\"requestId\":\"{number:020}\"}}\n")
}

fn append(spool: &Spool, id: &AccessLogSubscriptionId, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        spool.append(id, line(number).as_bytes(), 1, now());
    }
}

/// Everything there is, in order, acknowledged.
fn drain(spool: &Spool, id: &AccessLogSubscriptionId) -> String {
    let mut all = String::new();
    while let Next::Deliver(segment) = spool.next(id, AT_ONCE, Instant::now()) {
        all.push_str(&String::from_utf8(segment.read().unwrap()).unwrap());
        spool.acknowledge(id);
    }
    all
}

#[test]
fn lines_come_out_once_in_the_order_they_went_in_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    let (tally, _) = spool.admit(&id(1));
    append(&spool, &id(1), 0..40);
    assert!(fs::read_dir(directory.path().join(id(1).as_str())).unwrap().count() > 1);
    assert_eq!(drain(&spool, &id(1)), (0..40).map(line).collect::<String>());
    assert_eq!(drain(&spool, &id(1)), "");
    assert_eq!((tally.accepted.value(), tally.waiting.value(), tally.dropped.value()), (40, 0, 0));
    spool.discard(&id(1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_open_segment_is_given_out_when_it_is_old_enough() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 1 << 20).unwrap();
    spool.admit(&id(1));
    assert_eq!(spool.next(&id(1), LATER, Instant::now()), Next::Wait(None));
    append(&spool, &id(1), [1]);
    let Next::Wait(Some(when)) = spool.next(&id(1), LATER, Instant::now()) else { panic!("given out") };
    assert!(matches!(spool.next(&id(1), LATER, when), Next::Deliver(_)));
}

#[test]
fn what_was_not_acknowledged_is_there_again_after_the_process_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    spool.admit(&id(1));
    append(&spool, &id(1), 0..40);
    let Next::Deliver(first) = spool.next(&id(1), AT_ONCE, Instant::now()) else { panic!("nothing") };
    spool.acknowledge(&id(1));
    assert!(matches!(spool.next(&id(1), AT_ONCE, Instant::now()), Next::Deliver(_)));
    drop(spool);

    let spool = Spool::open(directory.path(), 4096).unwrap();
    assert_eq!(spool.subscriptions(), [id(1)]);
    spool.admit(&id(1));
    append(&spool, &id(1), 40..42);
    assert_eq!(drain(&spool, &id(1)), (first.lines..42).map(line).collect::<String>());
}

#[test]
fn a_segment_cut_at_any_byte_gives_every_whole_line() {
    let whole: String = (0..3).map(line).collect();
    for cut in 0..=whole.len() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path(), 1 << 20).unwrap();
        spool.admit(&id(1));
        append(&spool, &id(1), 0..3);
        drop(spool);
        let queue = directory.path().join(id(1).as_str());
        let file = fs::read_dir(&queue).unwrap().next().unwrap().unwrap().path();
        OpenOptions::new().write(true).open(&file).unwrap().set_len(cut as u64).unwrap();

        let spool = Spool::open(directory.path(), 1 << 20).unwrap();
        spool.admit(&id(1));
        append(&spool, &id(1), [9]);
        let kept = cut / line(0).len();
        let expected: String = (0..kept as u64).chain([9]).map(line).collect();
        assert_eq!(drain(&spool, &id(1)), expected, "cut at {cut}");
        assert_eq!(fs::read_dir(&queue).unwrap().count(), 0, "cut at {cut}");
    }
}

#[test]
fn a_full_spool_drops_the_oldest_of_whoever_holds_most_and_counts() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    let ((small, _), (large, _)) = (spool.admit(&id(1)), spool.admit(&id(2)));
    append(&spool, &id(1), 0..3);
    append(&spool, &id(2), 0..1000);
    assert_eq!(small.dropped.value(), 0);
    let held: u64 = [&small, &large].iter().map(|tally| tally.waiting.value()).sum();
    assert!(held <= 4096, "{held}");
    let lost = large.dropped.value();
    assert!(lost > 800, "{lost}");
    assert_eq!(drain(&spool, &id(1)), (0..3).map(line).collect::<String>());
    assert_eq!(drain(&spool, &id(2)), (lost..1000).map(line).collect::<String>());
}

#[test]
fn what_is_being_delivered_is_not_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    spool.admit(&id(1));
    append(&spool, &id(1), 0..5);
    let Next::Deliver(first) = spool.next(&id(1), AT_ONCE, Instant::now()) else { panic!("nothing") };
    append(&spool, &id(1), 5..1000);
    assert_eq!(first.read().unwrap(), (0..5).map(line).collect::<String>().as_bytes());
    spool.put_back(&id(1));
    append(&spool, &id(1), 1000..2000);
    assert!(first.read().unwrap().is_empty());
}

#[test]
fn a_smaller_bound_holds_for_what_is_found_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    spool.admit(&id(1));
    append(&spool, &id(1), 0..100);
    drop(spool);
    let spool = Spool::open(directory.path(), 2048).unwrap();
    let (tally, _) = spool.admit(&id(1));
    let lost = tally.dropped.value();
    assert!(tally.waiting.value() <= 2048 && lost > 0);
    assert_eq!(drain(&spool, &id(1)), (lost..100).map(line).collect::<String>());
}

#[test]
fn lines_of_a_subscription_that_is_gone_are_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), 4096).unwrap();
    spool.admit(&id(1));
    spool.discard(&id(1));
    append(&spool, &id(1), [1]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
