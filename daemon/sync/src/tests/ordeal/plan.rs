//! What an ordeal is, decided by its seed alone.

use super::Chance;
use crate::tests::{digest, large_weights};
use bytes::Bytes;
use paintbox_domain::Sha256;
use paintbox_testkit::{
    FakeCivitaiModel, FakeFile, FakeHub, FakeRepository, FakeVersion, Fault, FaultHandle, FaultRule, Server,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a fault may cost in bytes that are fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// What was in flight.
    InFlight,
    /// A whole file: its bytes were wrong, or the server did not go on with them.
    Whole,
}

#[derive(Debug, Clone)]
pub(super) struct Trouble {
    server: Server,
    path: &'static str,
    kind: Kind,
    skip: usize,
    times: usize,
}

#[derive(Debug, Clone)]
enum Kind {
    Breaks(Fault, Cost),
    RedirectsInCircles,
    RedirectsInside,
}

impl Trouble {
    fn of(chance: &mut Chance, hub: On, bytes: u64) -> Self {
        let at = chance.below(bytes.max(1));
        let breaks = |fault| Kind::Breaks(fault, Cost::InFlight);
        let spoils = |fault| Kind::Breaks(fault, Cost::Whole);
        let status = |code| Fault::Status { code, body: String::new(), headers: Vec::new() };
        let kind = match chance.below(18) {
            0..=3 => breaks(Fault::TruncateBodyAfter(at)),
            4 => breaks(Fault::HangUp),
            5 => breaks(Fault::StallBodyAfter(at)),
            6 => breaks(Fault::SlowBody { chunk: 1 + at as usize / 8, pause: Duration::from_millis(10) }),
            7 => breaks(Fault::Stall),
            8 => breaks(Fault::HtmlLoginPage),
            9 => breaks(status(503)),
            10 => breaks(status(403)),
            11 => spoils(status(416)),
            12 => spoils(Fault::CorruptByteAt(at)),
            13 => spoils(Fault::IgnoreRange),
            14 => spoils(Fault::WrongContentLength(at)),
            15 => spoils(Fault::Body(Bytes::from_static(b"{\"error\":\"not what you think\"}"))),
            16 => Kind::RedirectsInCircles,
            _ => Kind::RedirectsInside,
        };
        // Most of what goes wrong goes wrong while bytes flow.
        let at_the_hub = matches!(kind, Kind::RedirectsInCircles | Kind::RedirectsInside) || chance.below(8) == 0;
        let (server, path) = match (hub, at_the_hub) {
            (On::Civitai, true) => (Server::CivitaiSite, "/api/download"),
            (On::Civitai, false) => (Server::CivitaiStorage, ""),
            (On::HuggingFace, true) => (Server::HfEndpoint, "/konan"),
            (On::HuggingFace, false) => (chance.pick(&[Server::HfCdn, Server::HfCdn, Server::HfStore]), ""),
        };
        let times = if matches!(kind, Kind::RedirectsInCircles) { 8 } else { 1 + chance.below(2) as usize };
        Self { server, path, kind, skip: chance.below(3) as usize, times }
    }

    pub(super) fn arm(&self, hub: &FakeHub) -> FaultHandle {
        let fault = match &self.kind {
            Kind::Breaks(fault, _) => fault.clone(),
            Kind::RedirectsInCircles => Fault::RedirectTo(format!("{}{}/again", hub.origin(self.server), self.path)),
            Kind::RedirectsInside => Fault::RedirectTo("http://10.0.0.7/secrets".to_owned()),
        };
        hub.faults().add(FaultRule::new(self.server, self.path, fault).skip(self.skip).times(self.times))
    }

    pub(super) fn costs(&self) -> Cost {
        match &self.kind {
            Kind::Breaks(_, cost) => *cost,
            Kind::RedirectsInCircles | Kind::RedirectsInside => Cost::InFlight,
        }
    }
}

/// How a life ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Finishes,
    /// Before the lasting write of this number.
    KilledAtPoint(u64),
    KilledAfter(Duration),
}

#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) faults: Vec<Trouble>,
    pub(super) end: End,
    pub(super) expires_addresses: bool,
    /// What the clock shows when it begins, in hours after the beginning of everything.
    pub(super) clock_hours: i64,
    /// At the lasting write of this number the clock jumps by so many hours.
    pub(super) jump_at: Option<(u64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Civitai,
    HuggingFace,
}

#[derive(Debug, Clone)]
pub(super) struct Ordeal {
    pub(super) hub: On,
    sizes: Vec<u64>,
    /// The hub lists no digest of the first file.
    first_is_unlisted: bool,
    pub(super) small_disk: bool,
    pub(super) lives: Vec<Life>,
}

impl Ordeal {
    pub(super) fn of(chance: &mut Chance) -> Self {
        let hub = if chance.below(2) == 0 { On::Civitai } else { On::HuggingFace };
        let sizes: Vec<u64> = (0..=chance.below(3))
            .map(|_| match chance.below(100) {
                0..=84 => 10_000 + chance.below(600_000),
                85..=97 => 2_000_000 + chance.below(4_000_000),
                _ => 20_000_000 + chance.below(12_000_000),
            })
            .collect();
        let largest = sizes.iter().copied().max().unwrap_or_default();
        let mut lives: Vec<Life> = (0..=chance.below(3))
            .map(|_| Life {
                faults: (0..chance.below(4)).map(|_| Trouble::of(chance, hub, largest)).collect(),
                end: match chance.below(10) {
                    0..=1 => End::Finishes,
                    2..=7 => End::KilledAtPoint(1 + chance.below(60)),
                    _ => End::KilledAfter(Duration::from_millis(20 + chance.below(300))),
                },
                expires_addresses: chance.below(4) == 0,
                clock_hours: chance.below(2_000) as i64 - 1_000,
                jump_at: (chance.below(3) == 0).then(|| (chance.below(40), chance.below(2_000) as i64 - 1_000)),
            })
            .collect();
        // The last one meets an honest hub, and must bring everything here.
        let clock_hours = chance.below(2_000) as i64 - 1_000;
        let expires_addresses = chance.below(2) == 0;
        lives.push(Life { faults: Vec::new(), end: End::Finishes, expires_addresses, clock_hours, jump_at: None });
        let spoils = |life: &Life| life.faults.iter().any(|fault| fault.costs() == Cost::Whole);
        // Where nothing is listed, nothing can tell wrong bytes of the right length.
        let first_is_unlisted = hub == On::Civitai && chance.below(6) == 0 && !lives.iter().any(spoils);
        Self { hub, sizes, first_is_unlisted, small_disk: chance.below(6) == 0, lives }
    }

    pub(super) fn publish(&self, hub: &FakeHub) -> Truth {
        let contents: Vec<(String, Bytes)> = self
            .sizes
            .iter()
            .enumerate()
            .map(|(index, size)| (format!("{index}.safetensors"), large_weights(*size as usize + index)))
            .collect();
        match self.hub {
            On::Civitai => {
                for (index, (name, bytes)) in contents.iter().enumerate() {
                    let scan_pending = self.first_is_unlisted && index == 0;
                    let file = FakeFile { scan_pending, ..FakeFile::model(name, bytes.clone()) };
                    let version = FakeVersion::new("v1", "SDXL 1.0").file(file);
                    hub.publish(FakeCivitaiModel::new("konan", "LORA", name).version(version));
                }
            }
            On::HuggingFace => {
                for (name, bytes) in &contents {
                    let id = format!("konan/{}", name.replace('.', "-"));
                    let files = BTreeMap::from([(name.clone(), bytes.clone())]);
                    let repository = FakeRepository::new(&id, files);
                    hub.publish_repository(FakeRepository {
                        pipeline_tag: Some("text-to-image".to_owned()),
                        ..repository
                    });
                }
            }
        }
        let unlisted = contents.first().filter(|_| self.first_is_unlisted).map(|(name, _)| name.clone());
        let files = contents.into_iter().map(|(name, bytes)| (name, (digest(&bytes), bytes.len() as u64))).collect();
        Truth { files, unlisted }
    }

    pub(super) fn target(&self) -> &'static str {
        match self.hub {
            On::Civitai => "civitai:konan",
            On::HuggingFace => "hf:konan",
        }
    }
}

/// What the hub really has.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    /// By name: digest and length.
    pub(super) files: BTreeMap<String, (Sha256, u64)>,
    /// The file whose digest it keeps to itself.
    pub(super) unlisted: Option<String>,
}

impl Truth {
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|(_, bytes)| bytes).sum()
    }
}
