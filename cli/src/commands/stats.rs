//! `paintbox stats`.

use crate::client::{DISK_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::StatsJson;
use crate::render::progress::spin;
use crate::render::table::{Align, facts, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

pub(crate) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut shelf = client.shelf();
    let asked = call("count what is here", DISK_DEADLINE, shelf.get_stats(v1::GetStatsRequest {}));
    let stats = spin(session.watched(), "counting", asked).await?;
    if session.json {
        session.out.json(&StatsJson::from(&stats))?;
        return Ok(Exit::Done);
    }
    for line in facts(&sums(&stats), session.terminal.columns) {
        session.out.line(&line)?;
    }
    let named = |shares: &[v1::Share], unnamed: &str| -> Vec<Vec<String>> {
        shares.iter().map(|share| row(&or(&share.name, unnamed), share.files, share.file_bytes)).collect()
    };
    for (title, rows) in [
        ("KIND", named(&stats.kinds, "unknown")),
        ("ARCHITECTURE", named(&stats.architectures, "unknown")),
        ("PRECISION", named(&stats.precisions, "unknown")),
        ("PLACE", stats.places.iter().map(|place| row(&words(place), place.files, place.file_bytes)).collect()),
        ("CREATOR", named(&stats.creators, "unknown")),
        ("PICTURES", named(&stats.pictures, "unknown")),
    ] {
        print(&[(title, Align::Flexible), ("FILES", Align::Right), ("SIZE", Align::Right)], &rows, session)?;
    }
    let hubs: Vec<Vec<String>> = stats.hubs.iter().map(hub).collect();
    let titles = [
        ("HUB", Align::Flexible),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("MODELS", Align::Right),
        ("HERE", Align::Right),
        ("GONE", Align::Right),
    ];
    print(&titles, &hubs, session)?;
    Ok(Exit::Done)
}

fn print(titles: &[(&str, Align)], rows: &[Vec<String>], session: &mut Session) -> Result<(), CliError> {
    if rows.is_empty() {
        return Ok(());
    }
    session.out.line("")?;
    for line in table(titles, rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(())
}

fn sums(stats: &v1::Stats) -> [(&'static str, String); 5] {
    let sum = |share: &Option<v1::Share>, what: &str| match share {
        Some(share) if share.files > 0 => {
            format!("{}, {}{what}", units::count(share.files, "file"), units::bytes(share.file_bytes))
        }
        _ => String::new(),
    };
    let total = sum(&stats.total, ", each content counted once");
    [
        ("here", if total.is_empty() { "nothing yet".to_owned() } else { total }),
        ("not read", sum(&stats.unread, "; the daemon reads them in the background")),
        ("unknown", sum(&stats.unknown, "")),
        ("refused", sum(&stats.refused, ", because they are broken or hold code")),
        ("catalogue", units::bytes(stats.catalogue_bytes)),
    ]
}

fn row(name: &str, files: u64, bytes: u64) -> Vec<String> {
    vec![sanitize::line(name), units::grouped(files), units::bytes(bytes)]
}

fn hub(hub: &v1::HubShare) -> Vec<String> {
    let mut row = row(&hub.hub, hub.files, hub.file_bytes);
    row.extend([hub.models, hub.downloaded_models, hub.gone_models].map(units::grouped));
    row
}

fn or(name: &str, otherwise: &str) -> String {
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

/// A place in words.
fn words(place: &v1::PlaceShare) -> String {
    let name = match (place.place.as_str(), place.name.as_str()) {
        ("elsewhere", _) => "in other tools' caches".to_owned(),
        (place, "") => place.to_owned(),
        (place, name) => format!("{place} {name}"),
    };
    if place.away { format!("{name} (away)") } else { name }
}
