//! `paintbox doctor --engine`: the daemon's networks on its own device, held against the reference.

use crate::client::{PAINTING_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::progress::spin;
use crate::render::sanitize;
use crate::render::table::{Align, table};
use crate::session::Session;
use paintbox_proto::v1;
use serde::Serialize;

/// A check as JSON; `difference` is null where values are no numbers.
#[derive(Debug, Serialize)]
struct CheckJson<'a> {
    check: &'static str,
    device: &'a str,
    component: &'a str,
    precision: &'a str,
    difference: Option<f64>,
    magnitude: f64,
    tolerance: f64,
    passed: bool,
    problem: &'a str,
}

pub(super) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut engine = client.engine();
    let asked = call("check the engine", PAINTING_DEADLINE, engine.check_engine(v1::CheckEngineRequest {}));
    let v1::CheckEngineResponse { device, checks } = spin(session.watched(), "computing", asked).await?;
    if session.json {
        for check in &checks {
            session.out.json(&CheckJson {
                check: "engine",
                device: &device,
                component: &check.component,
                precision: &check.precision,
                difference: Some(check.difference).filter(|difference| difference.is_finite()),
                magnitude: check.magnitude,
                tolerance: check.tolerance,
                passed: check.passed,
                problem: &check.problem,
            })?;
        }
    } else {
        let titles = [
            ("", Align::Left),
            ("NETWORK", Align::Flexible),
            ("ON", Align::Left),
            ("IN", Align::Left),
            ("DIFFERENCE", Align::Right),
            ("ALLOWED", Align::Right),
        ];
        let rows: Vec<Vec<String>> = checks.iter().map(|check| row(check, &device)).collect();
        for line in table(&titles, &rows, session.terminal.columns) {
            session.out.line(&line)?;
        }
    }
    let all_passed = !checks.is_empty() && checks.iter().all(|check| check.passed);
    Ok(if all_passed { Exit::Done } else { Exit::Failed })
}

fn row(check: &v1::EngineCheck, device: &str) -> Vec<String> {
    let verdict = if check.passed { "ok" } else { "FAILED" };
    let difference = match check.problem.as_str() {
        "" => format!("{:.1e}", check.difference),
        problem => sanitize::line(problem),
    };
    vec![
        verdict.to_owned(),
        sanitize::line(&check.component),
        sanitize::line(device),
        sanitize::line(&check.precision),
        difference,
        format!("{:.1e}", check.tolerance),
    ]
}
