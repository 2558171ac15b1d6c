//! How many of the models that a search finds have which value.

use super::columns::Columns;
use super::filter::Label;
use super::row::{DOWNLOADED, HUBS, hub_number, kind_number, state_number};
use super::segment::{Mask, Segment};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use paintbox_domain::ModelKind;
use paintbox_domain::follow::Maturity;
use paintbox_domain::hub::ModelState;
use std::collections::HashMap;

/// Values of one facet that are told unless more are asked for.
const DEFAULT_VALUES: u32 = 10;
const MOST_VALUES: u32 = 500;
/// The years that 32 bits of seconds reach.
const YEARS: std::ops::Range<i16> = 1970..2107;

/// What models are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Facet {
    Kind,
    Hub,
    State,
    /// The strongest rating.
    Nsfw,
    Downloaded,
    /// Of publication, in UTC.
    Year,
    /// A model with several values counts for each.
    Label(Label),
}

/// The commonest values of a facet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetCounts {
    pub facet: Facet,
    /// The value as filters name it, and how many models have it; the commonest first.
    pub values: Vec<(String, u64)>,
}

impl Facet {
    pub const ALL: [Self; 11] = [
        Self::Kind,
        Self::Label(Label::BaseModel),
        Self::Label(Label::Creator),
        Self::Hub,
        Self::Label(Label::Architecture),
        Self::Nsfw,
        Self::Downloaded,
        Self::Year,
        Self::State,
        Self::Label(Label::Format),
        Self::Label(Label::Precision),
    ];

    /// The name, that of the field in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Hub => "hub",
            Self::State => "state",
            Self::Nsfw => "nsfw",
            Self::Downloaded => "downloaded",
            Self::Year => "year",
            Self::Label(Label::BaseModel) => "base",
            Self::Label(Label::Creator) => "creator",
            Self::Label(Label::Architecture) => "architecture",
            Self::Label(Label::Format) => "format",
            Self::Label(Label::Precision) => "precision",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|facet| facet.as_str() == name)
    }
}

/// A facet while rows are counted: one counter for every number that rows hold for it.
pub(crate) struct Counter {
    facet: Facet,
    counts: Vec<u32>,
    /// The first second of every year, for the facet that needs it.
    years: Vec<u32>,
}

impl Counter {
    pub(crate) fn new(facet: Facet, columns: &Columns) -> Self {
        let numbers = match facet {
            Facet::Kind | Facet::Hub | Facet::State | Facet::Nsfw => usize::from(u8::MAX) + 1,
            Facet::Downloaded => 2,
            Facet::Year => YEARS.len(),
            Facet::Label(_) => columns.labels.len().max(1),
        };
        let begins = |year| Some(Date::new(year, 1, 1).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second());
        let years =
            YEARS.filter(|_| facet == Facet::Year).filter_map(|year| u32::try_from(begins(year)?).ok()).collect();
        Self { facet, counts: vec![0; numbers], years }
    }

    /// Counts these models of a segment.
    pub(crate) fn count(&mut self, segment: &Segment, models: &Mask) {
        let Self { facet, counts, years } = self;
        match facet {
            Facet::Kind => tally(counts, models, |at| segment.kind[at].into()),
            Facet::Hub => tally(counts, models, |at| segment.hub[at].into()),
            Facet::State => tally(counts, models, |at| segment.state[at].into()),
            Facet::Nsfw => tally(counts, models, |at| segment.nsfw[at].into()),
            Facet::Downloaded => tally(counts, models, |at| (segment.flags[at] & DOWNLOADED != 0).into()),
            Facet::Year => tally(counts, models, |at| {
                years.partition_point(|begin| *begin <= segment.created[at]).saturating_sub(1)
            }),
            Facet::Label(of) => {
                let labels = segment.labels(*of);
                tally(counts, models, |at| labels[at] as usize);
            }
        }
    }

    /// Takes over what another counter of the same facet counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    /// The commonest values; `limit` as a request says it.
    pub(crate) fn finish(self, columns: &Columns, limit: u32) -> FacetCounts {
        let limit = if limit == 0 { DEFAULT_VALUES } else { limit.min(MOST_VALUES) };
        let mut values: HashMap<String, u64> = HashMap::new();
        for (number, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            for value in texts(self.facet, number, columns) {
                *values.entry(value).or_default() += u64::from(*count);
            }
        }
        let mut values: Vec<(String, u64)> = values.into_iter().collect();
        values.sort_unstable_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        values.truncate(limit as usize);
        FacetCounts { facet: self.facet, values }
    }
}

fn tally(counts: &mut [u32], models: &Mask, number: impl Fn(usize) -> usize) {
    models.for_each(|at| {
        if let Some(count) = counts.get_mut(number(at)) {
            *count += 1;
        }
    });
}

/// What a number of a facet stands for.
fn texts(facet: Facet, number: usize, columns: &Columns) -> Vec<String> {
    let byte = u8::try_from(number).unwrap_or(0);
    let text = match facet {
        Facet::Kind => ModelKind::ALL.iter().find(|kind| kind_number(**kind) == byte).map(|kind| kind.as_str()),
        Facet::Hub => HUBS.into_iter().find(|hub| hub_number(hub) == byte),
        Facet::State => ModelState::ALL.iter().find(|state| state_number(**state) == byte).map(|state| state.as_str()),
        Facet::Nsfw => match byte.checked_sub(1) {
            None => Some("unrated"),
            Some(at) => Maturity::ALL.get(usize::from(at)).map(|rating| rating.as_str()),
        },
        Facet::Downloaded => Some(if number == 0 { "false" } else { "true" }),
        Facet::Year => return YEARS.clone().nth(number).map(|year| year.to_string()).into_iter().collect(),
        Facet::Label(_) => return columns.labels.texts(number).map(str::to_owned).collect(),
    };
    text.map(str::to_owned).into_iter().collect()
}
