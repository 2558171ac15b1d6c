//! Some thousands of requests, mostly wrong, of every method. `cargo bench -p paintbox-tests --bench requests` sends a
//! million.

use crate::installation;
use paintbox_tests::requests::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_is_asked_the_daemon_answers_as_its_contract_says() {
    let (_hub, installed) = installation().await;
    let plan = Plan { requests: 6_000, seed: 7, connections: 2, in_flight: 4 };
    let report = run(&installed, plan).await.unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.answered > 500 && report.refused > 500, "{} answered, {} refused", report.answered, report.refused);
    let never = report.methods.values().filter(|asked| asked.answered + asked.refused == 0).count();
    assert_eq!(never, 0, "{:#?}", report.methods);
}
