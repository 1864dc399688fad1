//! Partitions that move between living workers.
//!
//! In: workers that come, go and come back. Out: the account.
//!
//! # Invariants
//! - Inserts are slow, so that batches are in flight whenever partitions move.
//! - Who shall have how many partitions is waited for.
//!
//! Deliberately unknown here: deaths.

use std::time::Duration;

use crate::proxy::Fate;
use crate::scene::{Scene, await_partitions};

async fn slow(name: &str, partitions: i32) -> Scene {
    let scene = Scene::new(name, partitions).await;
    scene.proxy.plan(|asked| {
        if asked.is_insert() { Fate::Slow(Duration::from_millis(60)) } else { Fate::Pass }
    });
    scene
}

/// From one worker to three and back to one, with batches in flight at each step.
async fn scaled(scene: Scene) {
    let mut first = scene.worker();
    await_partitions(&mut [&mut first], &[6]).await;
    scene.produce(1_200);
    let (mut second, mut third) = (scene.worker(), scene.successor());
    await_partitions(&mut [&mut first, &mut second, &mut third], &[2, 2, 2]).await;
    scene.produce(1_200);
    assert!(first.terminate().success());
    scene.produce(600);
    assert!(third.terminate().success());
    await_partitions(&mut [&mut second], &[6]).await;
    scene.produce(600);
    let account = scene.finish([second]).await;
    assert_eq!((account.records, account.quarantined), (3_600, 360), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_1_3_1_with_the_cooperative_protocol() {
    scaled(slow("scale", 6).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_1_3_1_with_the_eager_protocol() {
    let mut scene = slow("scale", 6).await;
    let range = ("partition.assignment.strategy".to_owned(), "range".to_owned());
    scene.config.kafka.properties.extend([range]);
    scaled(scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_1_3_1_with_the_consumer_protocol() {
    let mut scene = slow("scale", 6).await;
    scene.broker_assigns();
    scaled(scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_is_killed_and_comes_back_under_its_name() {
    let scene = slow("static", 4).await;
    let (mut first, mut second) = (scene.static_worker("one"), scene.static_worker("two"));
    await_partitions(&mut [&mut first, &mut second], &[2, 2]).await;
    for _ in 0..3 {
        scene.produce(400);
        scene.proxy.await_count("slow", scene.proxy.count("slow") + 2);
        first.kill();
        first = scene.static_worker("one");
    }
    scene.finish([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_whose_name_another_takes_ends() {
    let scene = slow("twin", 2).await;
    let mut first = scene.static_worker("one");
    await_partitions(&mut [&mut first], &[2]).await;
    scene.produce(800);
    scene.proxy.await_count("slow", 2);
    let twin = scene.static_worker("one");
    let status = first.await_exit();
    assert!(!status.success(), "a fenced worker must not look like one that has done its work");
    scene.finish([twin]).await;
}
