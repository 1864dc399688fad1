//! Inserts whose outcome the worker cannot know: requests and replies lost, late, refused, torn.
//!
//! In: a plan of the proxy. Out: the account.
//!
//! # Invariants
//! - The proxy has done what the row is about, and says how often.
//! - A late original lands after the worker has dealt with its loss.
//!
//! Deliberately unknown here: crashes.

use std::time::Duration;

use crate::kafka::Record;
use crate::proxy::{Asked, Fate};
use crate::scene::{Scene, event};

/// A plan: of the inserts into a table, the third and the fourth meet this fate.
fn third_and_fourth(table: &'static str, fate: Fate) -> impl FnMut(&Asked<'_>) -> Fate + Send {
    let mut seen = 0;
    move |asked| {
        seen += i32::from(asked.inserts(table));
        if asked.inserts(table) && (3..=4).contains(&seen) { fate.clone() } else { Fate::Pass }
    }
}

/// Each table's inserts meet this fate in turn.
async fn meets(fate: Fate, name: &str) {
    let scene = Scene::new("outcome", 2).await;
    let worker = scene.worker();
    for table in ["events", "quarantine"] {
        scene.proxy.plan(third_and_fourth(table, fate.clone()));
        scene.produce(400);
        scene.settle().await;
    }
    assert_eq!(scene.proxy.count(name), 4, "{:?}", scene.proxy.counts());
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.quarantined), (800, 80), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_lost() {
    meets(Fate::Lost, "request lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_is_applied_and_its_reply_lost() {
    meets(Fate::ReplyLost, "reply lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_whose_reply_is_cut_in_half() {
    meets(Fate::ReplyTorn, "reply torn").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_something_between_answers_500_or_503() {
    meets(Fate::Answer(500, "Internal Server Error".to_owned()), "answered").await;
    meets(Fate::Answer(503, "no healthy upstream".to_owned()), "answered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_is_slow() {
    meets(Fate::Slow(Duration::from_millis(700)), "slow").await;
}

/// What looks after a lost reply is lost too, several times over.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_after_which_nothing_gets_through_for_a_while() {
    let scene = Scene::new("outcome", 2).await;
    let (mut inserts, mut broken) = (0, 0);
    scene.proxy.plan(move |asked| {
        inserts += i32::from(asked.inserts("events"));
        broken += i32::from(inserts >= 3);
        match broken {
            1 => Fate::ReplyLost,
            2..=4 => Fate::Lost,
            5..=6 => Fate::Answer(502, "Bad Gateway".to_owned()),
            7 => Fate::ReplyTorn,
            _ => Fate::Pass,
        }
    });
    let worker = scene.worker();
    scene.produce(400);
    scene.proxy.await_count("reply torn", 1);
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.quarantined), (400, 40), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_refused_and_cut() {
    let scene = Scene::new("outcome", 2).await;
    let mut worker = scene.worker();
    scene.produce(200);
    scene.settle().await;
    scene.proxy.deaf(true);
    scene.produce(200);
    scene.proxy.await_count("connections refused", 3);
    assert!(worker.is_running());
    scene.proxy.deaf(false);
    scene.finish([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_arrives_when_its_repeat_is_long_done() {
    let scene = Scene::new("late", 2).await;
    let worker = scene.worker();
    for table in ["events", "quarantine"] {
        scene.proxy.plan(third_and_fourth(table, Fate::Late));
        scene.produce(400);
        scene.settle().await;
        // All is stored without the originals; now they come.
        assert_eq!(scene.proxy.send_late().len(), 2);
    }
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.quarantined), (800, 80), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_arrives_after_a_crash_and_its_replay() {
    let scene = Scene::new("late", 1).await;
    scene.produce(200);
    let mut first = scene.worker();
    scene.proxy.plan(third_and_fourth("events", Fate::Late));
    scene.proxy.await_count("late", 1);
    first.kill();
    scene.proxy.heal();
    let second = scene.successor();
    scene.settle().await;
    scene.proxy.send_late();
    scene.finish([second]).await;
}

/// The insert that a stop did not wait for lands when the next owner is long done with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_whose_deadline_passes_and_then_its_insert() {
    let mut scene = Scene::new("stopped", 2).await;
    scene.config.pipeline.drain_ms = 1_000;
    let mut seen = 0;
    scene.proxy.plan(move |asked| {
        seen += i32::from(asked.inserts("events"));
        if seen == 3 && asked.inserts("events") { Fate::Held } else { Fate::Pass }
    });
    scene.produce(400);
    let mut first = scene.worker();
    scene.proxy.await_count("waiting", 1);
    let status = first.terminate();
    assert!(!status.success(), "a stop that left work undone must not look like one that did it");
    let heir = scene.successor();
    scene.settle().await;
    scene.proxy.heal();
    scene.proxy.await_count("held", 1);
    scene.finish([heir]).await;
}

/// One table partition took its rows, the other did not: made by dropping what it took, which
/// clears its tokens too. Then the original comes late, whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_table_partition_that_fails_and_then_a_late_original() {
    let scene = Scene::new("months", 1).await;
    let months = ["2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"];
    let record =
        |n: u64| Record { payload: event(n, months[(n % 2) as usize]), ..Record::default() };
    let mut seen = 0;
    scene.proxy.plan(move |asked| {
        seen += i32::from(asked.inserts("events"));
        match seen {
            1 if asked.inserts("events") => Fate::AppliedAndLate,
            // Whatever follows, a read or a repeat, waits until the partition is gone.
            1.. => Fate::Held,
            _ => Fate::Pass,
        }
    });
    scene.kafka.produce(&scene.topic, (0..50).map(record));
    let worker = scene.worker();
    scene.proxy.await_count("waiting", 1);
    scene.await_rows("events", 50).await;
    scene.sql("ALTER TABLE events DROP PARTITION 202602").await;
    scene.proxy.heal();
    scene.settle().await;
    assert_eq!(scene.proxy.send_late(), [200]);
    let account = scene.finish([worker]).await;
    assert_eq!(account.stored, 50, "{account}");
}
